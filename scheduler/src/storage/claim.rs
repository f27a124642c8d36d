//! A PersistentVolumeClaim, as far as placing pods goes.

use api::selector::LabelSelector;
use api::{Str, Value, resources};

/// Says that the volume controller has bound a claim for good.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Names the node for which a claim's volume is to be made.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// How classes were named before they had a field.
pub const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// See the head of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub namespace: Str,
    pub name: Str,
    pub uid: Str,
    pub resource_version: Str,
    /// The name of its class; empty for none.
    pub class: Str,
    /// The name of its volume; empty for none.
    pub volume: Str,
    /// It has its volume for good.
    pub is_bound: bool,
    pub is_lost: bool,
    pub is_terminating: bool,
    /// The UID of its controller.
    pub controller: Str,
    /// The node for which a volume is being made.
    pub selected_node: Option<Str>,
    pub access_modes: Vec<Str>,
    /// Bytes asked for, if it says.
    pub request: Option<i64>,
    pub selector: Option<LabelSelector>,
    pub volume_mode: Str,
    pub attributes_class: Str,
}

impl Claim {
    pub fn of(claim: &Value) -> Self {
        let meta = |field: &str| claim.str_at(&["metadata", field]).into();
        let text = |field: &str| claim.str_at(&["spec", field]).into();
        let volume: Str = text("volumeName");
        let owners = claim.list_at(&["metadata", "ownerReferences"]).iter();
        let controller =
            owners.filter(|owner| owner.bool_at(&["controller"])).map(|o| o.str_at(&["uid"])).next();
        let selector = claim.at(&["spec", "selector"]).filter(|selector| !selector.is_null());
        Claim {
            namespace: meta("namespace"),
            name: meta("name"),
            uid: meta("uid"),
            resource_version: meta("resourceVersion"),
            class: class(claim),
            is_bound: !volume.is_empty() && annotation(claim, BIND_COMPLETED).is_some(),
            volume,
            is_lost: claim.str_at(&["status", "phase"]) == "Lost",
            is_terminating: !claim.str_at(&["metadata", "deletionTimestamp"]).is_empty(),
            controller: controller.unwrap_or_default().into(),
            selected_node: annotation(claim, SELECTED_NODE).map(Str::from),
            access_modes: texts(claim.list_at(&["spec", "accessModes"])),
            request: bytes(claim.at(&["spec", "resources", "requests"])),
            selector: selector
                .map(|s| LabelSelector::from_value(Some(s)).unwrap_or_else(|_| LabelSelector::nothing())),
            volume_mode: volume_mode(claim),
            attributes_class: text("volumeAttributesClassName"),
        }
    }

    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.at(&["metadata", "annotations", name]).and_then(Value::as_str)
}

/// The class that a claim or a volume names.
pub fn class(object: &Value) -> Str {
    annotation(object, CLASS).unwrap_or_else(|| object.str_at(&["spec", "storageClassName"])).into()
}

pub fn volume_mode(object: &Value) -> Str {
    match object.str_at(&["spec", "volumeMode"]) {
        "" => "Filesystem".into(),
        mode => mode.into(),
    }
}

pub fn texts(list: &[Value]) -> Vec<Str> {
    list.iter().filter_map(Value::as_str).map(Into::into).collect()
}

/// The `storage` of a list of quantities.
pub fn bytes(quantities: Option<&Value>) -> Option<i64> {
    resources::quantity(quantities?.get("storage")?).map(|quantity| quantity.value())
}
