//! Which system calls a container may make (seccomp), and what it may touch (AppArmor).

use crate::cri::SecurityProfile;
use crate::cri::security_profile::ProfileType;
use api::Value;
use std::path::Path;

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

fn profile(ty: ProfileType, reference: String) -> SecurityProfile {
    SecurityProfile { profile_type: ty.into(), localhost_ref: reference }
}

fn own_or_pods<'a>(pod: &'a Value, container: &'a Value, field: &str) -> Option<&'a Value> {
    container
        .at(&["securityContext", field])
        .filter(|p| !p.is_null())
        .or_else(|| pod.at(&["spec", "securityContext", field]).filter(|p| !p.is_null()))
}

/// The container's seccomp profile, or else the pod's, or else none. Profiles of the machine are under `root`.
///
/// # Errors
/// When a profile of the machine has no name.
pub fn seccomp(pod: &Value, container: &Value, root: &Path) -> Result<SecurityProfile, String> {
    let wanted = own_or_pods(pod, container, "seccompProfile");
    match wanted.map(|p| (p.str_at(&["type"]), p.str_at(&["localhostProfile"]))) {
        Some(("RuntimeDefault", _)) => Ok(profile(ProfileType::RuntimeDefault, String::new())),
        Some(("Localhost", "")) => {
            Err("localhostProfile must be set if seccompProfile type is Localhost.".to_owned())
        }
        Some(("Localhost", name)) => {
            Ok(profile(ProfileType::Localhost, root.join(name).to_string_lossy().into_owned()))
        }
        _ => Ok(profile(ProfileType::Unconfined, String::new())),
    }
}

/// The container's AppArmor profile, and the same as older runtimes take it.
///
/// # Errors
/// When a profile of the machine has no name.
pub fn app_armor(pod: &Value, container: &Value) -> Result<Option<(SecurityProfile, String)>, String> {
    let empty = Value::Null;
    let annotation = format!("{APP_ARMOR_ANNOTATION}{}", container.str_at(&["name"]));
    let annotated = pod.str_at(&["metadata", "annotations", &annotation]);
    let own = container.at(&["securityContext", "appArmorProfile"]).filter(|p| !p.is_null());
    let (ty, name) = match (own, annotated) {
        (None, "runtime/default") => ("RuntimeDefault", ""),
        (None, "unconfined") => ("Unconfined", ""),
        (None, text) if text.starts_with("localhost/") => {
            ("Localhost", text.trim_start_matches("localhost/"))
        }
        _ => {
            let wanted = own_or_pods(pod, container, "appArmorProfile").unwrap_or(&empty);
            (wanted.str_at(&["type"]), wanted.str_at(&["localhostProfile"]))
        }
    };
    match ty {
        "" => Ok(None),
        "RuntimeDefault" => {
            Ok(Some((profile(ProfileType::RuntimeDefault, String::new()), "runtime/default".to_owned())))
        }
        "Unconfined" => Ok(Some((profile(ProfileType::Unconfined, String::new()), "unconfined".to_owned()))),
        "Localhost" if name.is_empty() => Err("missing localhost apparmor profile name".to_owned()),
        "Localhost" => {
            Ok(Some((profile(ProfileType::Localhost, name.to_owned()), format!("localhost/{name}"))))
        }
        other => Err(format!("unknown apparmor profile type: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_containers_profile_wins_over_the_pods() {
        let pod = tree!({"spec": {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}});
        let of = |container: Value| seccomp(&pod, &container, Path::new("/s"));
        assert_eq!(of(tree!({})).unwrap().profile_type(), ProfileType::RuntimeDefault);
        let own = tree!({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}});
        assert_eq!(of(own).unwrap().localhost_ref, "/s/a.json");
        assert!(of(tree!({"securityContext": {"seccompProfile": {"type": "Localhost"}}})).is_err());
        let none = seccomp(&tree!({}), &tree!({}), Path::new("/s")).unwrap();
        assert_eq!(none.profile_type(), ProfileType::Unconfined);
    }

    #[test]
    fn app_armor_comes_from_the_container_the_annotation_or_the_pod() {
        let pod = tree!({
            "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/a": "localhost/x"}},
            "spec": {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}});
        let of = |container: Value| app_armor(&pod, &container).unwrap().unwrap().1;
        assert_eq!(of(tree!({"name": "a"})), "localhost/x");
        assert_eq!(of(tree!({"name": "b"})), "runtime/default");
        assert_eq!(
            of(tree!({"name": "a", "securityContext": {"appArmorProfile": {"type": "Unconfined"}}})),
            "unconfined"
        );
        assert_eq!(app_armor(&tree!({}), &tree!({})).unwrap(), None);
    }
}
