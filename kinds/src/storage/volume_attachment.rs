//! VolumeAttachment: the wish to have a volume attached to a node, and what became of it.

use super::GROUP;
use crate::core::pod_spec;
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, keep_field, lens, print, validation};
use api::{Fault, Path, Value, names};

const SPEC: &str = "io.k8s.api.storage.v1.VolumeAttachmentSpec";
const MAX_METADATA: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024;

pub struct VolumeAttachment(Info);

impl VolumeAttachment {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "VolumeAttachment", "volumeattachments").cluster_scoped();
        VolumeAttachment(info.conditional_update().returns_deleted().with_status())
    }
}

fn source_faults(source: Option<&Value>, at: &Path) -> Vec<Fault> {
    let field = |name: &str| source.and_then(|s| s.get(name)).filter(|v| !v.is_null());
    let text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (field("inlineVolumeSpec"), field("persistentVolumeName")) {
        (None, None) => vec![Fault::required(at, text)],
        (Some(_), Some(_)) => vec![Fault::forbidden(at, text)],
        (None, Some(name)) if name.is_empty() => {
            let text = "must specify non empty persistentVolumeName";
            vec![Fault::required(at.child("persistentVolumeName"), text)]
        }
        _ => Vec::new(),
    }
}

fn status_faults(status: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("status");
    let Some(status) = status else { return Vec::new() };
    let mut faults = Vec::new();
    let entries = status.map_at(&["attachmentMetadata"]).into_iter().flat_map(|m| m.iter());
    let bytes: usize = entries.map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if bytes > MAX_METADATA {
        faults.push(Fault::too_long(at.child("attachmentMetadata"), MAX_METADATA));
    }
    for field in ["attachError", "detachError"] {
        if status.str_at(&[field, "message"]).len() > MAX_MESSAGE {
            faults.push(Fault::too_long(at.child(field).child("message"), MAX_METADATA));
        }
        if let Some(code) = status.i64_at(&[field, "errorCode"]).filter(|c| *c < 0) {
            let text = names::inclusive_range_error(0, i32::MAX.into());
            faults.push(Fault::invalid(at.child(field).child("errorCode"), code, text));
        }
    }
    faults
}

impl Kind for VolumeAttachment {
    fn info(&self) -> &Info {
        &self.0
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "spec");
        lens::keep_labels_and_owners(new, old);
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec");
        let mut faults = pod_spec::csi_driver_name(obj.str_at(&["spec", "attacher"]), &at.child("attacher"));
        faults.extend(source_faults(obj.at(&["spec", "source"]), &at.child("source")));
        let node = obj.str_at(&["spec", "nodeName"]);
        faults.extend(validation::dns_subdomain(node, &at.child("nodeName")));
        faults.extend(status_faults(obj.get("status")));
        if let Some(name) = obj.at(&["spec", "source", "persistentVolumeName"]).and_then(Value::as_str) {
            let path = at.child("source").child("persistentVolumeName");
            faults.extend(validation::dns_subdomain(name, &path));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = self.validate(new, cx);
        if !validation::same(new.get("spec"), old.get("spec")) {
            let shown = internal_form(new.get("spec"), SPEC);
            faults.push(Fault::invalid("spec", shown, validation::IMMUTABLE));
        }
        faults
    }

    fn validate_lens(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        self.validate_update(new, old, cx)
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        match subresource {
            "status" => vec![vec!["metadata"], vec!["spec"]],
            _ => vec![vec!["status"]],
        }
    }

    fn columns(&self) -> Vec<Column> {
        let source = "io.k8s.api.storage.v1.VolumeAttachmentSource";
        let status = "io.k8s.api.storage.v1.VolumeAttachmentStatus";
        vec![
            Column::name(),
            Column { format: "name".into(), ..Column::field("Attacher", "string", SPEC, "attacher") },
            Column::field("PV", "string", source, "persistentVolumeName"),
            Column::field("Node", "string", SPEC, "nodeName"),
            Column::field("Attached", "boolean", status, "attached"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        vec![
            print::name(obj),
            obj.str_at(&["spec", "attacher"]).into(),
            obj.str_at(&["spec", "source", "persistentVolumeName"]).into(),
            obj.str_at(&["spec", "nodeName"]).into(),
            obj.bool_at(&["status", "attached"]).into(),
            print::age(obj, now),
        ]
    }
}
