//! How a container says whose it is and what the kubelet must know of it after a restart.

use crate::runtime::labels as of;
use crate::sandbox;
use api::{Value, json};
use std::collections::HashMap;

/// Whose a container is.
pub fn labels(pod: &Value, container: &Value) -> HashMap<String, String> {
    let name = (of::CONTAINER_NAME.to_owned(), container.str_at(&["name"]).to_owned());
    sandbox::pod_labels(pod).chain([name]).collect()
}

/// What must be known to judge and end a container.
pub fn annotations(pod: &Value, container: &Value, attempt: u32) -> HashMap<String, String> {
    let text = |field| container.str_at(&[field]).to_owned();
    let number = |path: &[&str]| pod.i64_at(path).map(|n| n.to_string());
    let tree = |path: &[&str]| container.at(path).filter(|v| !v.is_empty()).map(json::to_string);
    let pairs = [
        (of::HASH, Some(format!("{:x}", hash(container)))),
        (of::RESTART_COUNT, Some(attempt.to_string())),
        (of::MESSAGE_PATH, Some(text("terminationMessagePath"))),
        (of::MESSAGE_POLICY, Some(text("terminationMessagePolicy"))),
        (of::POD_DELETION_GRACE, number(&["metadata", "deletionGracePeriodSeconds"])),
        (of::POD_TERMINATION_GRACE, number(&["spec", "terminationGracePeriodSeconds"])),
        (of::PRE_STOP, tree(&["lifecycle", "preStop"])),
        (of::PORTS, tree(&["ports"])),
    ];
    pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// A container with another hash is another container: it is made anew. Of the spec only name and image count, as
/// nothing else of it can change; the same number as upstream's.
pub fn hash(container: &Value) -> u32 {
    let text = |field| Value::from(container.str_at(&[field]));
    let picked =
        json::to_vec(&Value::Map([("image", text("image")), ("name", text("name"))].into_iter().collect()));
    // What upstream hashes is a printed list of bytes.
    let bytes: Vec<String> = picked.iter().map(u8::to_string).collect();
    let printed = format!("([]uint8)[{}]", bytes.join(" "));
    printed.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn the_hash_is_upstreams_and_follows_name_and_image_only() {
        let mut container = tree!({"name": "test_container", "image": "foo/image:v1", "args": ["x"]});
        assert_eq!(hash(&container), 0x8e45_cbd0);
        container.set(&["args"], Value::Null);
        assert_eq!(hash(&container), 0x8e45_cbd0);
        container.set(&["image"], "foo/image:v2");
        assert_ne!(hash(&container), 0x8e45_cbd0);
    }

    #[test]
    fn annotations_hold_what_ending_a_container_needs() {
        let pod = tree!({"spec": {"terminationGracePeriodSeconds": 30}});
        let container = tree!({"name": "c", "image": "i", "terminationMessagePath": "/dev/termination-log",
            "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}, "ports": [{"containerPort": 80}]});
        let annotations = annotations(&pod, &container, 3);
        assert_eq!(annotations[of::RESTART_COUNT], "3");
        assert_eq!(annotations[of::POD_TERMINATION_GRACE], "30");
        assert_eq!(annotations[of::PRE_STOP], r#"{"exec":{"command":["x"]}}"#);
        assert_eq!(annotations[of::PORTS], r#"[{"containerPort":80}]"#);
        assert!(!annotations.contains_key(of::POD_DELETION_GRACE));
    }
}
