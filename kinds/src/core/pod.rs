//! Pod: containers that run together on one node.
//!
//! Its spec is shared with all templates of pods (`pod_spec`). Pods are deleted gracefully, only few fields of their
//! spec may change, and each part that may has a lens of its own. Source: `pkg/registry/core/pod/strategy.go`.

use super::{pod_spec, pod_status, pod_table};
use crate::{Column, Cx, Form, HotField, Info, Kind, Verbs, keep_field, lens};
use api::{Fault, Value, names, proto, schema, tree};

pub struct Pod(Info);

impl Pod {
    pub fn new() -> Self {
        let stream = |info: Info, name: &str, kind: &str, verbs: Verbs| {
            info.subresource(name, "", "", kind, verbs, Form::Stream)
        };
        let command = |info: Info, name: &str, group: &str, kind: &str| {
            let version = if group.is_empty() { "" } else { "v1" };
            info.subresource(name, group, version, kind, Verbs::CREATE, Form::Command)
        };
        let get_create = Verbs::CREATE.and(Verbs::GET);
        let mut info = Info::new("", "v1", "Pod", "pods").short(&["po"]).categories(&["all"]);
        info = info.with_generation().returns_deleted();
        info = stream(info, "attach", "PodAttachOptions", get_create);
        info = command(info, "binding", "", "Binding");
        info = info.lens("ephemeralcontainers");
        info = command(info, "eviction", "policy", "Eviction");
        info = stream(info, "exec", "PodExecOptions", get_create);
        info = stream(info, "log", "Pod", Verbs::GET);
        info = stream(info, "portforward", "PodPortForwardOptions", get_create);
        info = stream(info, "proxy", "PodProxyOptions", super::PROXY_VERBS);
        Pod(info.lens("resize").with_status())
    }
}

impl Kind for Pod {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        pod_spec::fill_pod(obj);
    }

    fn prepare_create(&self, obj: &mut Value, cx: &Cx<'_>) {
        let empty = Value::map();
        let class = match obj.str_at(&["status", "qosClass"]) {
            "" => pod_spec::qos_class(obj.get("spec").unwrap_or(&empty)).to_owned(),
            class => class.to_owned(),
        };
        obj.set(&["status"], tree!({"phase": "Pending", "qosClass": class}));
        if let Some(spec) = obj.get_mut("spec") {
            pod_spec::drop_disabled(spec, None);
        }
        if !obj.list_at(&["spec", "schedulingGates"]).is_empty() {
            let gated = tree!({
                "type": "PodScheduled", "status": "False", "lastTransitionTime": cx.now, "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            });
            obj.set(&["status", "conditions"], vec![gated]);
        }
        pod_spec::merge_label_keys(obj);
        pod_spec::sync_app_armor(obj);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "status");
        if let Some(spec) = new.get_mut("spec") {
            pod_spec::drop_disabled(spec, old.get("spec"));
        }
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, cx: &Cx<'_>) {
        match cx.subresource {
            "status" => pod_status::prepare(new, old),
            "ephemeralcontainers" => {
                let containers = new.at(&["spec", "ephemeralContainers"]).cloned();
                keep_field(new, old, "spec");
                match containers {
                    Some(containers) => new.set(&["spec", "ephemeralContainers"], containers),
                    None => drop(new.unset(&["spec", "ephemeralContainers"])),
                }
                keep_field(new, old, "status");
                lens::keep_labels_and_owners(new, old);
            }
            _ => {
                let spec = pod_spec::keep_resized(new, old);
                new.set(&["spec"], spec);
                keep_field(new, old, "status");
                lens::keep_labels_and_owners(new, old);
            }
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = pod_spec::validate_pod(obj, None);
        faults.extend(pod_spec::validate_new_pod(obj));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = pod_spec::validate_pod(new, Some(old));
        faults.extend(pod_spec::validate_annotation_update(new, old));
        faults.extend(pod_spec::update(new, old));
        faults
    }

    fn validate_lens(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        if cx.subresource == "status" {
            return pod_status::validate(new, old);
        }
        let resizing = cx.subresource == "resize";
        if let Some(fault) = pod_spec::unchangeable(old, resizing) {
            return vec![fault];
        }
        let mut faults = pod_spec::validate_pod(new, Some(old));
        if resizing {
            faults.extend(pod_spec::resize(new, old));
        } else {
            faults.extend(pod_spec::validate_annotation_update(new, old));
            faults.extend(pod_spec::ephemeral_containers(new, old));
        }
        faults
    }

    fn warn(&self, new: &Value, old: Option<&Value>, cx: &Cx<'_>) -> Vec<String> {
        if old.is_some() {
            return if cx.subresource == "status" { pod_status::warnings(new) } else { Vec::new() };
        }
        let mut warnings = Vec::new();
        let wrong = names::is_dns1123_label(new.str_at(&["metadata", "name"]));
        if !wrong.is_empty() {
            warnings.push(format!(
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
                 label is recommended: [{}]",
                wrong.join(" ")
            ));
        }
        warnings.extend(pod_spec::warn_pod(new));
        warnings
    }

    fn columns(&self) -> Vec<Column> {
        pod_table::columns()
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        pod_table::cells(obj, now)
    }

    fn row_conditions(&self, obj: &Value) -> Vec<Value> {
        pod_table::row_conditions(obj)
    }

    fn hot_field(&self) -> Option<HotField> {
        // `nodeName` of `spec`.
        Some(("spec.nodeName", |bytes| proto::text_at(bytes, &[2, 10])))
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        let text = |path: &[&str]| obj.str_at(path).to_owned();
        let first_ip = obj.list_at(&["status", "podIPs"]).first().map(|ip| ip.str_at(&["ip"]).to_owned());
        vec![
            ("spec.nodeName", text(&["spec", "nodeName"])),
            ("spec.restartPolicy", text(&["spec", "restartPolicy"])),
            ("spec.schedulerName", text(&["spec", "schedulerName"])),
            ("spec.serviceAccountName", text(&["spec", "serviceAccountName"])),
            ("spec.hostNetwork", obj.bool_at(&["spec", "hostNetwork"]).to_string()),
            ("status.phase", text(&["status", "phase"])),
            ("status.podIP", first_ip.unwrap_or_default()),
            ("status.nominatedNodeName", text(&["status", "nominatedNodeName"])),
            ("spec.host", text(&["spec", "nodeName"])),
            ("status.podIPs", String::new()),
        ]
    }

    fn grace_secs(&self, obj: &Value, asked: Option<i64>) -> Option<i64> {
        let ended = matches!(obj.str_at(&["status", "phase"]), "Failed" | "Succeeded");
        if ended || obj.str_at(&["spec", "nodeName"]).is_empty() {
            return Some(0);
        }
        let secs =
            asked.or_else(|| obj.i64_at(&["spec", "terminationGracePeriodSeconds"])).unwrap_or_default();
        Some(if secs < 0 { 1 } else { secs })
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        let kept: &[&str] = match subresource {
            "status" => {
                return vec![
                    vec!["spec"],
                    vec!["metadata", "deletionTimestamp"],
                    vec!["metadata", "ownerReferences"],
                ];
            }
            "ephemeralcontainers" => &["ephemeralContainers"],
            "resize" => &["containers", "initContainers", "resources"],
            _ => return vec![vec!["status"]],
        };
        let schema = schema::builtin();
        let fields = schema.find("io.k8s.api.core.v1.PodSpec").map(|id| schema.get(id).fields.as_slice());
        let others = fields.unwrap_or_default().iter().map(|f| f.name.as_str()).filter(|f| !kept.contains(f));
        let spec = others.map(|field| vec!["spec", field]);
        [vec!["status"], vec!["metadata"]].into_iter().chain(spec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};

    fn minimal() -> Value {
        let mut pod =
            tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
        Pod::new().fill(&mut pod, "v1");
        Pod::new().prepare_create(&mut pod, &cx(""));
        pod
    }

    #[test]
    fn a_new_pod_is_pending_and_valid() {
        let pod = minimal();
        assert_eq!(pod.get("status"), Some(&tree!({"phase": "Pending", "qosClass": "BestEffort"})));
        assert_eq!(texts(&Pod::new().validate(&pod, &cx(""))), Vec::<String>::new());
    }

    #[test]
    fn only_images_may_change() {
        let old = minimal();
        let mut new = old.clone();
        new.set(&["spec", "containers"], tree!([{"name": "c", "image": "i:2"}]));
        Pod::new().fill(&mut new, "v1");
        assert_eq!(texts(&Pod::new().validate_update(&new, &old, &cx(""))), Vec::<String>::new());
        new.set(&["spec", "nodeName"], "n1");
        let faults = texts(&Pod::new().validate_update(&new, &old, &cx("")));
        assert_eq!(faults.len(), 1);
        let want = "@@ -42,7 +42,7 @@\n  \"NodeSelector\": null,\n  \"ServiceAccountName\": \"\",\n  \
                    \"AutomountServiceAccountToken\": null,\n- \"NodeName\": \"\",\n+ \"NodeName\": \"n1\",\n  \
                    \"SecurityContext\": {\n   \"HostNetwork\": false,\n   \"HostPID\": false,\n";
        assert!(faults[0].ends_with(want), "{}", faults[0]);
    }

    #[test]
    fn refusals_name_all_that_is_wrong_in_order() {
        let mut pod = tree!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "C_1", "image": "i", "imagePullPolicy": "Sometimes", "terminationMessagePolicy": "X"}],
            "restartPolicy": "Sometimes", "dnsPolicy": "Mine"}});
        Pod::new().fill(&mut pod, "v1");
        let faults = texts(&Pod::new().validate(&pod, &cx("")));
        assert_eq!(
            faults[1..],
            [
                "spec.containers[0].terminationMessagePolicy: Unsupported value: \"X\": supported values: \"File\", \
                 \"FallbackToLogsOnError\"",
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
                 \"IfNotPresent\", \"Never\"",
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \
                 \"Never\"",
                "spec.dnsPolicy: Unsupported value: \"Mine\": supported values: \"ClusterFirstWithHostNet\", \
                 \"ClusterFirst\", \"Default\", \"None\"",
            ]
        );
    }

    #[test]
    fn the_node_is_read_from_protobuf_and_json_does_not_tell() {
        let (_, node) = Pod::new().hot_field().unwrap();
        let kind = Pod::new();
        let (schema, ty) = kind.schema("v1").unwrap();
        let stored = |pod: &Value| proto::wrap("v1", "Pod", &proto::encode(schema, ty, pod));
        let mut pod = minimal();
        assert_eq!(node(&stored(&pod)), Some(""));
        pod.set(&["spec", "nodeName"], "n");
        assert_eq!(node(&stored(&pod)), Some("n"));
        assert_eq!(node(b"{\"spec\":{\"nodeName\":\"n\"}}"), None);
    }

    #[test]
    fn unbound_pods_are_deleted_at_once() {
        let mut pod = minimal();
        assert_eq!(Pod::new().grace_secs(&pod, Some(30)), Some(0));
        pod.set(&["spec", "nodeName"], "n");
        assert_eq!(Pod::new().grace_secs(&pod, None), Some(30));
        assert_eq!(Pod::new().grace_secs(&pod, Some(-1)), Some(1));
    }

    #[test]
    fn ephemeral_containers_are_added_and_stay() {
        let old = minimal();
        let mut new = old.clone();
        new.set(&["spec", "ephemeralContainers"], tree!([{"name": "e", "image": "i"}]));
        new.set(&["spec", "nodeName"], "ignored");
        Pod::new().prepare_lens(&mut new, &old, &cx("ephemeralcontainers"));
        Pod::new().fill(&mut new, "v1");
        assert_eq!(new.str_at(&["spec", "nodeName"]), "");
        assert_eq!(
            texts(&Pod::new().validate_lens(&new, &old, &cx("ephemeralcontainers"))),
            Vec::<String>::new()
        );
        assert_eq!(
            texts(&Pod::new().validate_lens(&old, &new, &cx("ephemeralcontainers"))),
            ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n"]
        );
    }

    #[test]
    fn resizing_changes_cpu_and_memory_only() {
        let sized = |cpu: &str, image: &str| {
            let mut pod = tree!({"metadata": {"name": "p"}, "spec": {"containers": [
                {"name": "c", "image": image, "resources": {"requests": {"cpu": cpu}}}]}});
            Pod::new().fill(&mut pod, "v1");
            Pod::new().prepare_create(&mut pod, &cx(""));
            pod
        };
        let (old, mut new) = (sized("1", "i:1"), sized("2", "i:2"));
        Pod::new().prepare_lens(&mut new, &old, &cx("resize"));
        assert_eq!(new.list_at(&["spec", "containers"])[0].str_at(&["image"]), "i:1");
        assert_eq!(texts(&Pod::new().validate_lens(&new, &old, &cx("resize"))), Vec::<String>::new());
    }
}
