//! One metric of an autoscaler: what it asks for, what is shown of it in the status, and what it is called.

use super::calculate::{self, Proposal, Target, Tolerance, ratio, times};
use super::metrics::Metrics;
use super::scale::Targets;
use crate::pods;
use api::quantity::Format;
use api::selector::LabelSelector;
use api::{Quantity, Value, tree};
use std::sync::Arc;
use stdx::Time;

/// What one pass over an autoscaler's metrics looks at.
pub struct View<'a> {
    pub metrics: Metrics<'a>,
    pub targets: &'a Targets,
    /// The pods of the target, and their selector.
    pub pods: Vec<Arc<Value>>,
    pub selector: &'a str,
    pub spec_replicas: i64,
    pub status_replicas: i64,
    pub tolerance: Tolerance,
    pub now: Time,
}

/// A metric's proposal: its replicas, its name in events, and its status.
pub struct Found {
    pub replicas: i64,
    pub name: String,
    pub status: Value,
}

/// Why a metric says nothing: the reason of the condition, what is told of it, and what is told of all together.
pub struct Unknown {
    pub reason: &'static str,
    pub message: String,
    pub summary: String,
}

impl View<'_> {
    pub async fn judge(&self, spec: &Value) -> Result<Found, Unknown> {
        let ty = spec.str_at(&["type"]);
        let (reason, prefix, found) = match ty {
            "Resource" => {
                let part = spec.get("resource").unwrap_or(&Value::Null);
                let prefix = format!("failed to get {} resource metric value", part.str_at(&["name"]));
                ("FailedGetResourceMetric", prefix, self.resource(part, "resource").await)
            }
            "ContainerResource" => {
                let part = spec.get("containerResource").unwrap_or(&Value::Null);
                let prefix = format!("failed to get {} container metric value", part.str_at(&["container"]));
                ("FailedGetContainerResourceMetric", prefix, self.resource(part, "containerResource").await)
            }
            "Pods" => {
                let prefix = "failed to get pods metric value".to_owned();
                ("FailedGetPodsMetric", prefix, self.of_pods(spec).await)
            }
            "Object" => {
                let prefix = "failed to get object metric value".to_owned();
                ("FailedGetObjectMetric", prefix, self.object(spec).await)
            }
            "External" => {
                let name = spec.str_at(&["external", "metric", "name"]);
                let prefix = format!("failed to get {name} external metric value");
                ("FailedGetExternalMetric", prefix, self.external(spec).await)
            }
            _ => {
                let message = format!("unknown metric source type {ty:?}");
                return Err(Unknown { reason: "InvalidMetricSourceType", summary: message.clone(), message });
            }
        };
        found.map_err(|message| {
            let summary = format!("{prefix}: {message}");
            Unknown { reason, message, summary }
        })
    }

    /// The use of a resource by pods, or by one of their containers; `field` is where it stands in the status.
    async fn resource(&self, part: &Value, field: &str) -> Result<Found, String> {
        let (resource, container) = (part.str_at(&["name"]), part.str_at(&["container"]));
        let target = part.get("target").unwrap_or(&Value::Null);
        let average = target.get("averageValue").and_then(api::resources::quantity);
        let percent = target.i64_at(&["averageUtilization"]);
        let what = if average.is_some() { "usage" } else { "utilization" };
        let failed = |why: String| format!("failed to get {resource} {what}: {why}");
        if average.is_none() && percent.is_none() {
            let why = "invalid resource metric source: neither an average utilization target nor an average value \
                       (usage) target was set";
            return Err(why.to_owned());
        }
        let samples = self.metrics.resource(resource, self.selector, container).await;
        let samples =
            samples.map_err(|why| failed(format!("unable to get metrics for resource {resource}: {why}")))?;
        let proposal = self.per_pod(samples, resource == "cpu", || match (average, percent) {
            (Some(average), _) => Ok(Target::Average(average.milli())),
            (None, percent) => {
                let requests = calculate::requests(&self.pods, container, resource)?;
                Ok(Target::Utilization(percent.unwrap_or(0), requests))
            }
        });
        let proposal = proposal.map_err(failed)?;
        let format = if resource == "memory" { Format::BinarySI } else { Format::DecimalSI };
        let mut current = tree!({"averageValue": (Quantity::from_milli(proposal.usage, format).to_string())});
        if let Some(utilization) = proposal.utilization {
            current.set(&["averageUtilization"], utilization);
        }
        let mut shown = tree!({"name": resource, "current": current});
        let is_container = field == "containerResource";
        if is_container {
            shown.set(&["container"], container);
        }
        let name = match (proposal.utilization, is_container) {
            (None, _) => format!("{resource} resource"),
            (_, true) => format!("{resource} container resource utilization (percentage of request)"),
            (_, false) => format!("{resource} resource utilization (percentage of request)"),
        };
        let ty = if is_container { "ContainerResource" } else { "Resource" };
        let mut status = tree!({"type": ty});
        status.set(&[field], shown);
        Ok(Found { replicas: proposal.replicas, name, status })
    }

    fn per_pod(
        &self,
        samples: calculate::Samples,
        is_cpu: bool,
        target: impl FnOnce() -> Result<Target, String>,
    ) -> Result<Proposal, String> {
        if self.pods.is_empty() {
            return Err("no pods returned by selector while calculating replica count".to_owned());
        }
        let when = (is_cpu, self.now);
        calculate::replicas(&self.pods, samples, self.spec_replicas, &target()?, self.tolerance, when)
    }

    async fn of_pods(&self, spec: &Value) -> Result<Found, String> {
        let metric = spec.at(&["pods", "metric"]).unwrap_or(&Value::Null);
        let name = metric.str_at(&["name"]);
        let samples = self.metrics.pods(metric, self.selector).await;
        let samples = samples.map_err(|why| format!("unable to get metric {name}: {why}"))?;
        let target = spec.at(&["pods", "target", "averageValue"]).and_then(api::resources::quantity);
        let target = || Ok(Target::Average(target.map_or(0, |t| t.milli())));
        let proposal = self.per_pod(samples, false, target)?;
        let status = tree!({"type": "Pods", "pods": {
            "metric": (metric.clone()), "current": {"averageValue": (thousandths(proposal.usage))}
        }});
        Ok(Found { replicas: proposal.replicas, name: format!("pods metric {name}"), status })
    }

    async fn object(&self, spec: &Value) -> Result<Found, String> {
        let part = spec.get("object").unwrap_or(&Value::Null);
        let (metric, about) = (part.get("metric"), part.get("describedObject"));
        let (metric, about) = (metric.unwrap_or(&Value::Null), about.unwrap_or(&Value::Null));
        let (name, kind, object) =
            (metric.str_at(&["name"]), about.str_at(&["kind"]), about.str_at(&["name"]));
        let resource = match self.targets.find(about.str_at(&["apiVersion"]), kind).await {
            Ok(found) if kind != "Namespace" => match found.group.as_str() {
                "" => Ok(found.plural),
                group => Ok(format!("{}.{group}", found.plural)),
            },
            Ok(_) => Ok(String::new()),
            Err(why) => Err(format!("unable to fetch metrics from custom metrics API: {why}")),
        };
        let usage = match resource {
            Ok(resource) => self.metrics.object(metric, &resource, object).await,
            Err(why) => Err(why),
        };
        let namespace = self.metrics.namespace;
        let usage =
            usage.map_err(|why| format!("unable to get metric {name}: {why} on {kind} {namespace}/{object}"));
        let target = part.get("target").unwrap_or(&Value::Null);
        let (replicas, current, called) = if let Some(value) =
            target.get("value").and_then(api::resources::quantity)
        {
            let usage = usage?;
            let replicas = self.in_proportion(ratio(usage, value.milli()))?;
            (replicas, tree!({"value": (thousandths(usage))}), format!("{kind} metric {name}"))
        } else if let Some(average) = target.get("averageValue").and_then(api::resources::quantity) {
            let usage = usage.map_err(|why| format!("failed to get {name} object metric: {why}"))?;
            let (replicas, each) = self.shared_out(usage, average.milli());
            (replicas, tree!({"averageValue": (thousandths(each))}), external_name(metric))
        } else {
            let why =
                "invalid object metric source: neither a value target nor an average value target was set";
            return Err(why.to_owned());
        };
        let status = tree!({"type": "Object", "object": {
            "metric": (metric.clone()), "current": current, "describedObject": (about.clone())
        }});
        Ok(Found { replicas, name: called, status })
    }

    async fn external(&self, spec: &Value) -> Result<Found, String> {
        let part = spec.get("external").unwrap_or(&Value::Null);
        let metric = part.get("metric").unwrap_or(&Value::Null);
        let name = metric.str_at(&["name"]);
        let target = part.get("target").unwrap_or(&Value::Null);
        let average = target.get("averageValue").and_then(api::resources::quantity);
        let value = target.get("value").and_then(api::resources::quantity);
        let failed = |why: String| match average {
            Some(_) => format!("failed to get {name} external metric: {why}"),
            None => format!("failed to get external metric {name}: {why}"),
        };
        let values = self.metrics.external(metric).await.map_err(|why| {
            let (namespace, selector) = (self.metrics.namespace, selector_name(metric));
            failed(format!("unable to get external metric {namespace}/{name}/{selector}: {why}"))
        });
        let total = |values: Vec<i64>| values.into_iter().fold(0_i64, i64::saturating_add);
        let (replicas, current) = match (&average, &value) {
            (Some(average), _) => {
                let (replicas, each) = self.shared_out(total(values?), average.milli());
                (replicas, tree!({"averageValue": (thousandths(each))}))
            }
            (None, Some(value)) => {
                let usage = total(values?);
                let replicas = self.in_proportion(ratio(usage, value.milli())).map_err(failed)?;
                (replicas, tree!({"value": (thousandths(usage))}))
            }
            (None, None) => {
                let why = "invalid external metric source: neither a value target nor an average value target was set";
                return Err(why.to_owned());
            }
        };
        let status =
            tree!({"type": "External", "external": {"metric": (metric.clone()), "current": current}});
        Ok(Found { replicas, name: external_name(metric), status })
    }

    /// As many times the pods that are ready as the metric is above its target.
    fn in_proportion(&self, ratio: f64) -> Result<i64, String> {
        if self.spec_replicas == 0 {
            return Ok(times(ratio, 1));
        }
        if self.tolerance.covers(ratio) {
            return Ok(self.spec_replicas);
        }
        if self.pods.is_empty() {
            let why = "no pods returned by selector while calculating replica count";
            return Err(format!("unable to calculate ready pods: {why}"));
        }
        let ready = self.pods.iter().filter(|pod| pods::phase(pod) == "Running" && pods::is_ready(pod));
        Ok(times(ratio, ready.count()))
    }

    /// As many as it takes for each to have no more than its share; and what each has now.
    fn shared_out(&self, usage: i64, each: i64) -> (i64, i64) {
        let count = usize::try_from(self.status_replicas).unwrap_or(0);
        let now = ratio(usage, each) / ratio(self.status_replicas, 1);
        let replicas =
            if self.tolerance.covers(now) { self.status_replicas } else { times(ratio(usage, each), 1) };
        let share = match count {
            0 => usage,
            _ => {
                usage.div_euclid(self.status_replicas)
                    + i64::from(usage.rem_euclid(self.status_replicas) != 0)
            }
        };
        (replicas, share)
    }
}

fn thousandths(value: i64) -> String {
    Quantity::from_milli(value, Format::DecimalSI).to_string()
}

fn external_name(metric: &Value) -> String {
    format!("external metric {}({})", metric.str_at(&["name"]), selector_name(metric))
}

/// A selector as upstream prints it.
fn selector_name(metric: &Value) -> String {
    let Some(selector) = metric.get("selector").filter(|s| !s.is_null()) else { return "nil".to_owned() };
    let labels = selector.map_at(&["matchLabels"]).into_iter().flat_map(|labels| labels.iter());
    let labels: String =
        labels.map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or(""))).collect();
    let one = |expression: &Value| {
        let values: Vec<&str> =
            expression.list_at(&["values"]).iter().filter_map(|value| value.as_str()).collect();
        let (key, operator) = (expression.str_at(&["key"]), expression.str_at(&["operator"]));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let expressions: String = selector.list_at(&["matchExpressions"]).iter().map(one).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

/// The pods of a namespace that a selector chooses.
pub fn selected(pods: &client::Cache, namespace: &str, selector: &LabelSelector) -> Vec<Arc<Value>> {
    let mut all = pods.list(namespace);
    all.retain(|pod| selector.matches(pod.map_at(&["metadata", "labels"])));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_printed_as_upstream_does() {
        let metric = tree!({"name": "queue", "selector": {"matchLabels": {"queue": "tasks"}}});
        assert_eq!(
            external_name(&metric),
            "external metric queue(&LabelSelector{MatchLabels:map[string]string{queue: tasks,},\
             MatchExpressions:[]LabelSelectorRequirement{},})"
        );
        assert_eq!(external_name(&tree!({"name": "queue"})), "external metric queue(nil)");
    }
}
