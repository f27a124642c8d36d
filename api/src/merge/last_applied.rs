//! `kubectl.kubernetes.io/last-applied-configuration`: how `kubectl apply` of old remembered what it applied, kept
//! true while the same objects are applied server-side.

use super::collect::to_field_set;
use super::compare::compare;
use super::field_set::FieldSet;
use super::typing::Typing;
use super::validate::validate;
use crate::{Value, json};

/// The manager that kubectl applies as.
pub(super) const MANAGER: &str = "kubectl";

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
const ANNOTATIONS: [&str; 2] = ["metadata", "annotations"];
/// The most that all annotations of an object may measure, in bytes.
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

fn text(object: &Value) -> &str {
    object.str_at(&[ANNOTATIONS[0], ANNOTATIONS[1], ANNOTATION])
}

/// What client-side apply set last and the object still has; none without a usable annotation.
pub(super) fn fields(typing: &Typing<'_>, api_version: &str, live: &Value) -> Option<FieldSet> {
    let text = text(live);
    let last = json::parse(text.as_bytes()).ok()?;
    if text.is_empty() || last.str_at(&["apiVersion"]) != api_version || last.str_at(&["kind"]).is_empty() {
        return None;
    }
    if !validate(typing, &last, false).is_empty() {
        return None;
    }
    let changes = compare(typing, &last, live).ok()?;
    let set = to_field_set(typing, &last);
    Some(set.difference(&changes.modified).difference(&changes.added).difference(&changes.removed))
}

/// Brings the annotation, where the outcome has one, to the applied configuration. `object` is nothing when the
/// apply left `live` as it is; so is the answer when the annotation is right already.
pub(super) fn refresh(object: Option<Value>, live: &Value, config: &Value) -> Option<Value> {
    let current = text(object.as_ref().unwrap_or(live));
    if current.is_empty() {
        return object;
    }
    let wanted = applied_text(config);
    if current == wanted {
        return object;
    }
    let mut object = object.unwrap_or_else(|| live.clone());
    let annotations = object.make_map(&ANNOTATIONS);
    annotations.insert(ANNOTATION, wanted);
    let size = |(k, v): (&crate::Str, &Value)| k.len() + v.as_str().map_or(0, str::len);
    if annotations.iter().map(size).sum::<usize>() > MAX_ANNOTATIONS_BYTES {
        annotations.remove(ANNOTATION);
    }
    Some(object)
}

/// The configuration as kubectl writes it down: sorted keys, a line end, and not the annotation itself.
fn applied_text(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) = config.at_mut(&ANNOTATIONS).and_then(Value::as_map_mut) {
        annotations.remove(ANNOTATION);
    }
    config.sort();
    json::to_string(&config) + "\n"
}
