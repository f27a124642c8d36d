//! Names that OpenAPI gives to groups, operations and custom kinds.

/// `RbacAuthorizationV1` of `rbac.authorization.k8s.io` and `v1`; `CoreV1` of the core group.
pub fn title(group: &str, version: &str) -> String {
    let words = words(group).map(upper_first).collect::<String>();
    format!("{words}{}", upper_first(version))
}

/// `rbacAuthorization_v1`, or `rbacAuthorization` without a version.
pub fn tag(group: &str, version: &str) -> String {
    let title = title(group, "");
    let mut chars = title.chars();
    let first: String = chars.next().map(|c| c.to_ascii_lowercase()).into_iter().collect();
    let name = format!("{first}{}", chars.as_str());
    if version.is_empty() { name } else { format!("{name}_{version}") }
}

fn words(group: &str) -> impl Iterator<Item = &str> {
    let short = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    short.split(['.', '-'])
}

/// The first letter as a capital.
pub fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_ascii_uppercase()).into_iter().collect();
    first + chars.as_str()
}

/// The definition of a custom kind: `com.example.stable.v1.CronTab` of `stable.example.com`.
pub fn custom_definition(group: &str, version: &str, kind: &str) -> String {
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

/// ` a `, ` an `, or a blank before a plural.
pub fn article(noun: &str) -> &'static str {
    if noun.ends_with('s') && !noun.ends_with("ss") {
        return " ";
    }
    if noun.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']) { " an " } else { " a " }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_clients_know_them() {
        assert_eq!(title("rbac.authorization.k8s.io", "v1"), "RbacAuthorizationV1");
        assert_eq!(title("", "v1"), "CoreV1");
        assert_eq!(tag("flowcontrol.apiserver.k8s.io", "v1"), "flowcontrolApiserver_v1");
        assert_eq!(tag("apps", ""), "apps");
        assert_eq!(title("stable.example.com", "v1"), "StableExampleComV1");
        assert_eq!(custom_definition("stable.example.com", "v1", "CronTab"), "com.example.stable.v1.CronTab");
        assert_eq!(format!("delete{}Endpoints", article("Endpoints")), "delete Endpoints");
        assert_eq!((article("IPAddress"), article("Pod")), (" an ", " a "));
    }
}
