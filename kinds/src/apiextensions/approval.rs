//! Groups of the Kubernetes community are protected: definitions there say who approved them.

use api::{Fault, Path, Value};

const ANNOTATION: &str = "api-approved.kubernetes.io";
const PULL: &str = "https://github.com/kubernetes/enhancements/pull/1111";

#[derive(PartialEq)]
enum State {
    Missing,
    Bypassed,
    Approved,
    Invalid,
}

fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|own| group == *own || group.strip_suffix(own).is_some_and(|rest| rest.ends_with('.')))
}

fn annotation(obj: &Value) -> &str {
    obj.str_at(&["metadata", "annotations", ANNOTATION])
}

fn state(annotation: &str) -> State {
    let is_url = annotation.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(word)
            && !host.is_empty()
            && !annotation.contains(|c: char| c.is_control() || c == ' ')
    });
    match () {
        () if annotation.is_empty() => State::Missing,
        () if annotation.starts_with("unapproved") => State::Bypassed,
        () if is_url => State::Approved,
        () => State::Invalid,
    }
}

/// The fault of a definition in a protected group that is not approved; an update may leave things as they are.
pub fn fault(obj: &Value, old: Option<&Value>) -> Option<Fault> {
    if !is_protected(obj.str_at(&["spec", "group"])) {
        return None;
    }
    let now = state(annotation(obj));
    if old.is_some_and(|old| state(annotation(old)) == now) {
        return None;
    }
    let at = Path::new("metadata").child("annotations").key(ANNOTATION);
    match now {
        State::Bypassed | State::Approved => None,
        State::Missing => {
            let text = format!("protected groups must have approval annotation \"{ANNOTATION}\", see {PULL}");
            Some(Fault::required(at, text))
        }
        State::Invalid => {
            let text = format!(
                "protected groups must have approval annotation \"{ANNOTATION}\" with either a URL or a reason starting \
                 with \"unapproved\", see {PULL}"
            );
            Some(Fault::invalid(at, annotation(obj), text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn protected_groups_are_approved_or_say_that_they_are_not() {
        let crd = |value: &str| tree!({"metadata": {"annotations": {ANNOTATION: value}}, "spec": {"group": "a.k8s.io"}});
        assert!(fault(&crd("https://example.com/pull/1"), None).is_none());
        assert!(fault(&crd("unapproved, testing"), None).is_none());
        assert!(fault(&crd("maybe"), None).unwrap().to_string().contains("Invalid value: \"maybe\""));
        assert!(fault(&crd("maybe"), Some(&crd("perhaps"))).is_none());
        assert!(fault(&tree!({"spec": {"group": "k8s.io"}}), None).is_some());
        assert!(fault(&tree!({"spec": {"group": "myk8s.io"}}), None).is_none());
    }
}
