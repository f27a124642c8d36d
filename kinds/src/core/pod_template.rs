//! PodTemplate: a template of pods that nothing uses by itself.

use super::pod_spec;
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Path, Value};

pub struct PodTemplate(Info);

impl PodTemplate {
    pub fn new() -> Self {
        PodTemplate(Info::new("", "v1", "PodTemplate", "podtemplates").with_generation().returns_deleted())
    }
}

impl Kind for PodTemplate {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        obj.make_map(&["template"]);
        if let Some(template) = obj.get_mut("template") {
            pod_spec::fill_template(template);
        }
    }

    fn prepare_create(&self, obj: &mut Value, _cx: &Cx<'_>) {
        if let Some(template) = obj.get_mut("template") {
            pod_spec::drop_disabled_template(template, None);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        if let Some(template) = new.get_mut("template") {
            pod_spec::drop_disabled_template(template, old.get("template"));
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let empty = Value::map();
        pod_spec::validate_template(obj.get("template").unwrap_or(&empty), None, &Path::new("template"))
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let empty = Value::map();
        let template = new.get("template").unwrap_or(&empty);
        pod_spec::validate_template(template, old.get("template"), &Path::new("template"))
    }

    fn warn(&self, new: &Value, old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let old = old.and_then(|o| o.get("template"));
        let warnings =
            new.get("template").map(|t| pod_spec::template_warnings(t, old, &Path::new("template")));
        warnings.unwrap_or_default()
    }

    fn columns(&self) -> Vec<Column> {
        let text = |name, doc| Column::text(name, "string", doc);
        vec![
            Column::name(),
            text("Containers", "Names of each container in the template."),
            text("Images", "Images referenced by each container in the template."),
            text("Pod Labels", "The labels for the pod template."),
        ]
    }

    fn cells(&self, obj: &Value, _now: i64) -> Vec<Value> {
        let (names, images) = print::containers(obj.at(&["template", "spec"]));
        let labels = print::labels(obj.map_at(&["template", "metadata", "labels"]));
        vec![print::name(obj), names.into(), images.into(), labels.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn its_template_is_filled_and_checked() {
        let mut template = tree!({"template": {"spec": {"containers": [{"name": "c"}]}}});
        PodTemplate::new().fill(&mut template, "v1");
        assert_eq!(template.str_at(&["template", "spec", "restartPolicy"]), "Always");
        assert_eq!(
            texts(&PodTemplate::new().validate(&template, &cx(""))),
            ["template.spec.containers[0].image: Required value"]
        );
    }
}
