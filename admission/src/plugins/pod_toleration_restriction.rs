//! PodTolerationRestriction: pods get the tolerations of their namespace, and have no others than it allows.
//!
//! The annotations `scheduler.alpha.kubernetes.io/defaultTolerations` and `…/tolerationsWhitelist` of a namespace hold
//! lists of tolerations; the configuration has lists (`default`, `whitelist`) for namespaces without. Pods that are not
//! BestEffort tolerate memory pressure.

use super::{Plugin, Settings, find};
use crate::configuration;
use crate::review::{Cluster, Operation, Review};
use api::configuration::Form;
use api::resources::qos_class;
use api::{Path, Status, Value, json, tree};
use futures::future::BoxFuture;
use kinds::core::pod_spec::tolerations as faults;

const DEFAULT: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const WHITELIST: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";
const FORM: Form = Form {
    kind: "Configuration",
    versions: &["podtolerationrestriction.admission.k8s.io/v1alpha1"],
    table: "v1.Configuration\n\tkind\ts\n\tapiVersion\ts\n\tdefault\t[v1.Toleration\n\twhitelist\t[v1.Toleration\n\
            v1.Toleration\n\tkey\ts\n\toperator\ts\n\tvalue\ts\n\teffect\ts\n\ttolerationSeconds\tl\n",
};

pub struct PodTolerationRestriction {
    default: Vec<Value>,
    whitelist: Vec<Value>,
}

impl PodTolerationRestriction {
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let given = settings.configurations.get("PodTolerationRestriction");
        let value = given.map_or_else(|| Ok(Value::map()), |value| configuration::read(value, &FORM))?;
        let list = |field: &str| value.list_at(&[field]).to_vec();
        let (default, whitelist) = (list("default"), list("whitelist"));
        let at = Path::new("podtolerationrestriction");
        let wrong = [faults(&default, &at.child("default")), faults(&whitelist, &at.child("whitelist"))];
        api::configuration::check(&wrong.concat()).map_err(|why| format!("invalid config: {why}"))?;
        Ok(PodTolerationRestriction { default, whitelist })
    }

    fn check(&self, pod: &Value, namespace: &Value) -> Result<(), Status> {
        let tolerations = pod.list_at(&["spec", "tolerations"]);
        if tolerations.is_empty() {
            return Ok(());
        }
        let (allowed, whose) = match annotated(namespace, WHITELIST)? {
            Some(own) => (own, "namespace"),
            None => (self.whitelist.clone(), "cluster"),
        };
        let is_allowed = |toleration: &Value| allowed.iter().any(|wide| covers(wide, toleration));
        if allowed.is_empty() || tolerations.iter().all(is_allowed) {
            return Ok(());
        }
        Err(Status::unclassified(format!(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its {whose} whitelist"
        )))
    }
}

impl Plugin for PodTolerationRestriction {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.writes("", "pods")
    }

    fn admit<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let namespace = namespace(review, reader).await?;
            let creates = review.operation == Operation::Create;
            let Some(pod) = review.object.as_deref_mut() else { return Ok(()) };
            let mut extra = Vec::new();
            if creates {
                extra = annotated(&namespace, DEFAULT)?.unwrap_or_else(|| self.default.clone());
            }
            if !is_best_effort(pod) {
                extra.push(tree!({
                    "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"
                }));
            }
            if !extra.is_empty() {
                let own = pod.list_at(&["spec", "tolerations"]).to_vec();
                pod.set(&["spec", "tolerations"], merged([own, extra].concat()));
            }
            self.check(pod, &namespace)
        })
    }

    fn validate<'a>(
        &'a self,
        review: &'a mut Review<'_>,
        reader: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let namespace = namespace(review, reader).await?;
            review.object.as_deref().map_or(Ok(()), |pod| self.check(pod, &namespace))
        })
    }
}

async fn namespace(review: &Review<'_>, reader: &dyn Cluster) -> Result<Value, Status> {
    let found = find(reader, "", "namespaces", "", review.namespace).await;
    found.ok_or_else(|| Status::not_found("", "namespaces", review.namespace))
}

fn is_best_effort(pod: &Value) -> bool {
    let class = match pod.str_at(&["status", "qosClass"]) {
        "" => pod.get("spec").map_or("BestEffort", qos_class),
        class => class,
    };
    class == "BestEffort"
}

/// The list of tolerations in an annotation, when it is there.
fn annotated(namespace: &Value, key: &str) -> Result<Option<Vec<Value>>, Status> {
    let Some(text) = namespace.at(&["metadata", "annotations", key]).and_then(Value::as_str) else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(Some(Vec::new()));
    }
    match json::parse(text.as_bytes()).map_err(|why| Status::unclassified(why.to_string()))? {
        Value::List(list) => Ok(Some(list)),
        Value::Null => Ok(None),
        other => Err(Status::unclassified(format!(
            "json: cannot unmarshal {} into Go value of type []v1.Toleration",
            other.json_type()
        ))),
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    let text = |field: &str| one.str_at(&[field]) == other.str_at(&[field]);
    ["key", "operator", "value", "effect"].into_iter().all(text)
        && one.i64_at(&["tolerationSeconds"]) == other.i64_at(&["tolerationSeconds"])
}

/// True when whatever `narrow` tolerates `wide` does, too.
fn covers(wide: &Value, narrow: &Value) -> bool {
    let of = |toleration: &'_ Value, field: &str| toleration.str_at(&[field]).to_owned();
    let (wide_of, narrow_of) = (|field| of(wide, field), |field| of(narrow, field));
    let operator = wide_of("operator");
    if is_same(wide, narrow) {
        return true;
    }
    let all_keys = wide_of("key").is_empty() && operator == "Exists";
    let fits_key = narrow_of("key") == wide_of("key") || all_keys;
    let fits_effect = wide_of("effect").is_empty() || narrow_of("effect") == wide_of("effect");
    let secs = |toleration: &Value| toleration.i64_at(&["tolerationSeconds"]);
    let fits_secs = match secs(wide).filter(|_| wide_of("effect") == "NoExecute") {
        Some(most) => secs(narrow).is_some_and(|secs| secs <= most),
        None => true,
    };
    let fits_value = match operator.as_str() {
        "Equal" | "" => narrow_of("operator") == "Equal" && narrow_of("value") == wide_of("value"),
        operator => operator == "Exists",
    };
    fits_key && fits_effect && fits_secs && fits_value
}

/// Without those that another one covers; of equal ones the first stays.
fn merged(all: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for (i, one) in all.iter().enumerate() {
        let before = kept.iter().any(|kept| covers(kept, one));
        let after = all.iter().skip(i + 1).any(|later| !is_same(one, later) && covers(later, one));
        if !before && !after {
            kept.push(one.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, admit};
    use super::*;
    use stdx::Clock;

    fn plugin(configuration: Value) -> PodTolerationRestriction {
        let mut settings = Settings::new(Clock::system());
        let mut value = configuration;
        value.set(&["kind"], "Configuration");
        value.set(&["apiVersion"], "podtolerationrestriction.admission.k8s.io/v1alpha1");
        settings.configurations.insert("PodTolerationRestriction".to_owned(), value);
        PodTolerationRestriction::new(&settings).unwrap()
    }

    fn cluster(annotations: Value) -> testing::Cluster {
        let namespace = tree!({"metadata": {"name": "n", "annotations": annotations}});
        testing::Cluster::new().with("", "namespaces", namespace)
    }

    fn pod(tolerations: Value, cpu: bool) -> Value {
        let mut pod = tree!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], "tolerations": tolerations}});
        if cpu {
            pod.set(&["spec", "containers"], tree!([{"name": "c", "resources": {"requests": {"cpu": "1"}}}]));
        }
        pod
    }

    async fn keys(plugin: &PodTolerationRestriction, cluster: &testing::Cluster, pod: Value) -> Vec<String> {
        let pod = admit(plugin, cluster, "pods", pod).await.unwrap();
        pod.list_at(&["spec", "tolerations"]).iter().map(|t| t.str_at(&["key"]).to_owned()).collect()
    }

    #[tokio::test]
    async fn tolerations_come_from_the_namespace_or_the_cluster() {
        let plugin = plugin(tree!({"default": [{"key": "a", "operator": "Exists"}]}));
        let plain = cluster(Value::map());
        let own = cluster(
            tree!({"scheduler.alpha.kubernetes.io/defaultTolerations": "[{\"key\":\"b\",\"operator\":\"Exists\"}]"}),
        );
        assert_eq!(keys(&plugin, &plain, pod(tree!([]), false)).await, ["a"]);
        assert_eq!(
            keys(&plugin, &own, pod(tree!([]), true)).await,
            ["b", "node.kubernetes.io/memory-pressure"]
        );
    }

    #[tokio::test]
    async fn tolerations_stay_within_what_is_allowed() {
        let plugin = plugin(tree!({"whitelist": [{"key": "a", "operator": "Exists"}]}));
        let plain = cluster(Value::map());
        let own = cluster(
            tree!({"scheduler.alpha.kubernetes.io/tolerationsWhitelist": "[{\"key\":\"b\",\"operator\":\"Exists\"}]"}),
        );
        let tolerating = |key: &str| pod(tree!([{"key": key, "operator": "Equal", "value": "x"}]), false);
        assert!(admit(&plugin, &plain, "pods", tolerating("a")).await.is_ok());
        for (cluster, whose) in [(&plain, "cluster"), (&own, "namespace")] {
            let status = admit(&plugin, cluster, "pods", tolerating("c")).await.unwrap_err();
            assert!(status.message.ends_with(&format!("conflict with its {whose} whitelist")));
            assert_eq!(status.code, 500);
        }
        assert!(admit(&plugin, &own, "pods", tolerating("b")).await.is_ok());
    }

    #[test]
    fn the_wider_toleration_stays() {
        let of = |key: &str, secs: Option<i64>| {
            let mut toleration = tree!({"key": key, "operator": "Exists", "effect": "NoExecute"});
            secs.into_iter().for_each(|secs| toleration.set(&["tolerationSeconds"], secs));
            toleration
        };
        let all = vec![of("a", Some(5)), of("a", Some(9)), of("b", None), of("b", None)];
        assert_eq!(merged(all), [of("a", Some(9)), of("b", None)]);
        assert!(covers(&tree!({"operator": "Exists"}), &of("a", None)));
        assert!(!covers(&of("a", Some(5)), &of("a", None)));
    }
}
