//! Templates of pods inside workloads: where they stand in the object, and the shared pod rules applied to them.

use crate::core::pod_spec;
use api::{Fault, Path, Value};

/// Fills the template at a path; a missing one is made, as upstream's is a struct.
pub fn fill_at(obj: &mut Value, path: &[&str]) {
    obj.make_map(path);
    if let Some(template) = obj.at_mut(path) {
        pod_spec::fill_template(template);
    }
}

/// Drops what gates that are off hide, unless the old object's template uses it.
pub fn drop_disabled_at(new: &mut Value, old: Option<&Value>, path: &[&str]) {
    let old = old.and_then(|old| old.at(path));
    if let Some(template) = new.at_mut(path) {
        pod_spec::drop_disabled_template(template, old);
    }
}

/// All faults of a template; `path` is its own.
pub fn faults(template: Option<&Value>, old: Option<&Value>, path: &Path) -> Vec<Fault> {
    let empty = Value::map();
    pod_spec::validate_template(template.unwrap_or(&empty), old, path)
}

/// Warnings about the template at a path.
pub fn warnings_at(new: &Value, old: Option<&Value>, path: &[&str]) -> Vec<String> {
    let at = path.iter().fold(Path::new(""), |at, field| at.child(field));
    let old = old.and_then(|old| old.at(path));
    new.at(path).map(|template| pod_spec::template_warnings(template, old, &at)).unwrap_or_default()
}
