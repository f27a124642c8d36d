//! `autoscaling/v1 Scale`: how many replicas an object wants and has, read from and written to its parent through the
//! lens `scale`. Pure functions for the corridor; a Scale is never stored.

use crate::validation::not_negative;
use crate::{Column, ScalePaths, print};
use api::selector::LabelSelector;
use api::{Fault, Map, Path, Str, Value, tree};

const SPEC: &str = "io.k8s.api.autoscaling.v1.ScaleSpec";
const STATUS: &str = "io.k8s.api.autoscaling.v1.ScaleStatus";
/// What of the parent's metadata a Scale shows.
const METADATA: [&str; 5] = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];

/// The Scale of a parent. An error (the text of a 400) when the parent's selector is malformed.
pub fn from_parent(parent: &Value, paths: &ScalePaths) -> Result<Value, String> {
    let shown = |field: &&str| parent.at(&["metadata", field]).map(|v| (Str::from(*field), v.clone()));
    let metadata: Map = METADATA.iter().filter_map(shown).collect();
    let count = |path: &[Str]| at(parent, path).and_then(Value::as_i64).unwrap_or(0);
    let mut scale = tree!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": (Value::Map(metadata)),
        "spec": {},
        "status": {"replicas": (count(&paths.status_replicas))},
    });
    let wanted = count(&paths.spec_replicas);
    if wanted != 0 {
        scale.set(&["spec", "replicas"], wanted);
    }
    let selector = selector_text(at(parent, &paths.selector))?;
    if !selector.is_empty() {
        scale.set(&["status", "selector"], selector);
    }
    Ok(scale)
}

/// Writes a Scale into its parent: replicas, and the resource version that the caller insists on ("" for none).
pub fn to_parent(scale: &Value, parent: &mut Value, paths: &ScalePaths) {
    let replicas: Vec<&str> = paths.spec_replicas.iter().map(Str::as_str).collect();
    parent.set(&replicas, scale.i64_at(&["spec", "replicas"]).unwrap_or(0));
    parent.set(&["metadata", "resourceVersion"], scale.str_at(&["metadata", "resourceVersion"]));
}

/// Faults of a Scale that a client sends, beyond metadata.
pub fn faults(scale: &Value) -> Vec<Fault> {
    not_negative(scale.i64_at(&["spec", "replicas"]), &Path::new("spec").child("replicas"))
}

/// A selector as text: it is a text already (custom kinds), a map of labels, or a LabelSelector.
fn selector_text(selector: Option<&Value>) -> Result<String, String> {
    match selector {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::Str(text)) => Ok(text.to_string()),
        Some(Value::Map(labels)) if labels.values().all(|v| v.as_str().is_some()) => {
            Ok(LabelSelector::from_labels(labels).to_string())
        }
        selector => LabelSelector::from_value(selector).map(|s| s.to_string()),
    }
}

fn at<'a>(obj: &'a Value, path: &[Str]) -> Option<&'a Value> {
    if path.is_empty() {
        return None;
    }
    path.iter().try_fold(obj, |v, key| v.get(key))
}

/// The columns of a Scale's table.
pub fn columns() -> Vec<Column> {
    vec![
        Column { format: "".into(), ..Column::name() },
        Column::field("Desired", "integer", SPEC, "replicas"),
        Column::field("Available", "integer", STATUS, "replicas"),
        Column::age(),
    ]
}

/// The cells of a Scale's row.
pub fn cells(scale: &Value, now: i64) -> Vec<Value> {
    let count = |part: &str| scale.i64_at(&[part, "replicas"]).unwrap_or(0);
    vec![print::name(scale), count("spec").into(), count("status").into(), print::age(scale, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Info;

    fn paths() -> ScalePaths {
        let info = Info::new("apps", "v1", "X", "xs").with_scale(
            "spec.replicas",
            "status.replicas",
            "spec.selector",
        );
        match info.subresources.into_iter().next().map(|s| s.form) {
            Some(crate::Form::Scale(paths)) => paths,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_scale_shows_numbers_and_the_selector_as_text() {
        let parent = tree!({"metadata": {"name": "d", "labels": {"a": "b"}, "uid": "u"}, "spec": {"replicas": 2,
            "selector": {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}},
            "status": {"replicas": 1}});
        let wanted = tree!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "d", "uid": "u"},
            "spec": {"replicas": 2}, "status": {"replicas": 1, "selector": "app=a,x"}});
        assert_eq!(from_parent(&parent, &paths()), Ok(wanted));
    }

    #[test]
    fn selectors_of_all_forms_become_text() {
        let text = |value: Value| selector_text(Some(&value)).unwrap();
        assert_eq!(text("a=b".into()), "a=b");
        assert_eq!(text(tree!({"s": "t"})), "s=t");
        assert_eq!(text(tree!({"matchLabels": {"s": "t"}})), "s=t");
        assert_eq!(selector_text(None).unwrap(), "");
    }

    #[test]
    fn writing_changes_replicas_only() {
        let mut parent =
            tree!({"metadata": {"name": "d", "resourceVersion": "7"}, "spec": {"replicas": 2, "x": 1}});
        let scale =
            tree!({"metadata": {"resourceVersion": "5"}, "spec": {"replicas": 4}, "status": {"replicas": 9}});
        to_parent(&scale, &mut parent, &paths());
        assert_eq!(
            parent,
            tree!({"metadata": {"name": "d", "resourceVersion": "5"}, "spec": {"replicas": 4, "x": 1}})
        );
        assert_eq!(faults(&tree!({"spec": {"replicas": (-1)}})).len(), 1);
    }
}
