//! Which checks of metadata each kind runs itself, besides those that the corridor runs for all kinds. What is found by
//! a check that runs twice is told twice among the causes, so that it matters who runs which.
//!
//! Source: the `Validate…` functions of each group.

use crate::Info;

/// What a kind looks at when an object changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    Nothing,
    /// What may not change.
    Change,
    /// The metadata of the new object, as of one that is created.
    Whole,
    Both,
}

/// What the main resource of a kind looks at.
pub fn on_update(info: &Info) -> Own {
    match (info.group.as_str(), info.kind.as_str()) {
        ("policy", _) => Own::Nothing,
        ("admissionregistration.k8s.io" | "discovery.k8s.io" | "flowcontrol.apiserver.k8s.io", _)
        | ("", "LimitRange" | "PersistentVolume")
        | ("storage.k8s.io", "CSINode" | "VolumeAttachment") => Own::Whole,
        ("certificates.k8s.io" | "rbac.authorization.k8s.io" | "apiregistration.k8s.io", _)
        | (
            "",
            "ConfigMap"
            | "Secret"
            | "ServiceAccount"
            | "Node"
            | "PersistentVolumeClaim"
            | "Pod"
            | "Endpoints",
        )
        | ("apps", "ControllerRevision" | "StatefulSet")
        | ("networking.k8s.io", "Ingress" | "IngressClass")
        | ("resource.k8s.io", "DeviceClass" | "ResourceClaim")
        | ("storage.k8s.io", "VolumeAttributesClass") => Own::Both,
        _ => Own::Change,
    }
}

/// What a lens of a kind looks at.
pub fn on_lens(info: &Info) -> Own {
    match info.group.as_str() {
        "policy" | "admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io" => Own::Nothing,
        "certificates.k8s.io" => Own::Both,
        _ => Own::Change,
    }
}

/// Kinds that look at the metadata of new objects only after everything else is well.
pub fn comes_last(info: &Info) -> bool {
    info.group == "policy" || info.kind == "Event"
}

/// Kinds that want finalizers to have a domain, or to be among the few that are known.
pub fn knows_finalizers(info: &Info) -> bool {
    const STRANGERS: [&str; 5] = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
    ];
    !STRANGERS.contains(&info.group.as_str()) && !comes_last(info)
}
