//! horizontal-pod-autoscaler: has a target have as many replicas as its metrics ask for.
//!
//! Each autoscaler is looked at every 15 seconds, first 15 seconds after it came; without any there is nothing
//! to do.

mod behavior;
mod calculate;
mod metric;
mod metrics;
mod scale;

use crate::reconcile::{self, Outcome};
use crate::{Context, Recorder, conditions, resources, status};
use api::selector::LabelSelector;
use api::{Value, tree};
use behavior::{Bounds, Memory};
use calculate::Tolerance;
use client::{Client, Informer, Resource, WorkQueue, key_of};
use metric::{View, selected};
use metrics::Metrics;
use parking_lot::Mutex;
use scale::Targets;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Time};

const WORKERS: usize = 5;
const PERIOD: Duration = Duration::from_secs(15);
const KIND: (&str, &str) = ("autoscaling/v2", "HorizontalPodAutoscaler");

#[derive(Clone)]
struct Autoscaler {
    client: Client,
    autoscalers: Informer,
    pods: Informer,
    recorder: Recorder,
    clock: Clock,
    queue: WorkQueue,
    targets: Targets,
    memories: Arc<Mutex<HashMap<String, Memory>>>,
    /// The selectors of all targets, by autoscaler.
    selectors: Arc<Mutex<BTreeMap<String, LabelSelector>>>,
}

fn resource() -> Resource {
    Resource::namespaced("autoscaling", "v2", "horizontalpodautoscalers")
}

pub fn start(context: &Context<'_>) {
    let autoscaler = Autoscaler {
        client: context.client.clone(),
        autoscalers: context.informer(&resource()),
        pods: context.informer(&resources::pods()),
        recorder: context.recorder.clone(),
        clock: context.clock(),
        queue: WorkQueue::new(),
        targets: Targets::new(context.client.clone()),
        memories: Arc::default(),
        selectors: Arc::default(),
    };
    let follower = autoscaler.clone();
    autoscaler.autoscalers.on_change(Arc::new(move |old, new| match (old, new) {
        (old, Some(object)) if old.and_then(|o| o.get("spec")) != object.get("spec") => {
            follower.queue.add_after(key_of(object), PERIOD);
        }
        (Some(object), None) => {
            follower.memories.lock().remove(&key_of(object));
            follower.selectors.lock().remove(&key_of(object));
        }
        _ => {}
    }));
    let worker = autoscaler.clone();
    let copies = [&autoscaler.autoscalers, &autoscaler.pods];
    reconcile::run_on("horizontal-pod-autoscaler", &autoscaler.queue, WORKERS, &copies, move |key| {
        let worker = worker.clone();
        async move {
            if worker.autoscalers.cache().get(&key).is_none() {
                return Ok(());
            }
            let done = worker.sync(&key).await;
            worker.queue.add_after(key, PERIOD);
            if let Err(error) = done {
                tracing::debug!(%error, "an autoscaler is not up to date");
            }
            Ok(())
        }
    });
}

/// One pass over one autoscaler: the object, and what its status becomes.
struct Pass<'a> {
    autoscaler: &'a Autoscaler,
    object: &'a Value,
    conditions: Vec<Value>,
    now: Time,
    current: i64,
    desired: i64,
    metrics: Value,
    rescaled: bool,
}

impl Autoscaler {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(object) = self.autoscalers.cache().get(key) else { return Ok(()) };
        let count = |field: &str| object.i64_at(&["status", field]).unwrap_or(0);
        let mut pass = Pass {
            autoscaler: self,
            object: &object,
            conditions: object.list_at(&["status", "conditions"]).to_vec(),
            now: self.clock.now(),
            current: count("currentReplicas"),
            desired: count("desiredReplicas"),
            metrics: object.at(&["status", "currentMetrics"]).cloned().unwrap_or_default(),
            rescaled: false,
        };
        pass.run().await;
        let written = status::write(&self.client, &resource(), &object, pass.status()).await;
        match written {
            Ok(Some(written)) => self.autoscalers.caught_up(&written).await,
            Ok(None) => {}
            Err(error) => {
                self.recorder.warning(KIND, &object, "FailedUpdateStatus", &error.to_string());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Why the pods of a selector are also those of other autoscalers.
    fn ambiguity(
        &self,
        key: &str,
        text: &str,
        selector: &LabelSelector,
        pods: &[Arc<Value>],
    ) -> Option<String> {
        let mut selectors = self.selectors.lock();
        selectors.insert(key.to_owned(), selector.clone());
        let namespace = reconcile::split(key).0;
        let chooses = |selector: &LabelSelector| {
            pods.iter().any(|pod| selector.matches(pod.map_at(&["metadata", "labels"])))
        };
        let all = selectors.iter().filter(|(key, s)| reconcile::split(key).0 == namespace && chooses(s));
        let all: Vec<String> =
            all.map(|(key, _)| format!("{{{} {namespace}}}", reconcile::split(key).1)).collect();
        let message =
            || format!("pods by selector {text} are controlled by multiple HPAs: [{}]", all.join(" "));
        (all.len() > 1).then(message)
    }
}

impl Pass<'_> {
    fn set(&mut self, ty: &str, is: bool, reason: &str, message: &str) {
        let is = if is { "True" } else { "False" };
        let now = self.now.rfc3339();
        let mut condition = conditions::new(ty, is, &now, reason, message);
        if let Some(old) = self.conditions.iter_mut().find(|c| c.str_at(&["type"]) == ty) {
            if old.str_at(&["status"]) == is {
                let since = old.str_at(&["lastTransitionTime"]).to_owned();
                condition.set(&["lastTransitionTime"], since);
            }
            *old = condition;
        } else {
            self.conditions.push(condition);
        }
    }

    fn warn(&self, reason: &str, message: &str) {
        self.autoscaler.recorder.warning(KIND, self.object, reason, message);
    }

    fn status(&self) -> Value {
        let last = match self.rescaled {
            true => Value::from(self.now.rfc3339()),
            false => self.object.at(&["status", "lastScaleTime"]).cloned().unwrap_or_default(),
        };
        let mut status = tree!({
            "currentReplicas": (self.current), "desiredReplicas": (self.desired),
            "currentMetrics": (self.metrics.clone()), "conditions": (self.conditions.clone())
        });
        if !last.is_null() {
            status.set(&["lastScaleTime"], last);
        }
        status
    }

    async fn run(&mut self) {
        let target = |field: &str| self.object.str_at(&["spec", "scaleTargetRef", field]);
        let namespace = self.object.str_at(&["metadata", "namespace"]);
        let targets = &self.autoscaler.targets;
        let found = match targets.find(target("apiVersion"), target("kind")).await {
            Ok(resource) => match targets.scale(&resource, namespace, target("name")).await {
                Ok(scale) => Ok((resource, scale)),
                Err(error) => Err(error.to_string()),
            },
            Err(why) => Err(why),
        };
        let (resource, scale) = match found {
            Ok(found) => found,
            Err(why) => {
                self.warn("FailedGetScale", &why);
                let message =
                    format!("the HPA controller was unable to get the target's current scale: {why}");
                return self.set("AbleToScale", false, "FailedGetScale", &message);
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        self.set("AbleToScale", true, "SucceededGetScale", message);
        self.current = scale.i64_at(&["spec", "replicas"]).unwrap_or(0);
        let key = key_of(self.object);
        self.autoscaler.memories.lock().entry(key).or_default().begin(self.current, self.now);
        let Some((wanted, why)) = self.wanted(&scale).await else { return };
        if wanted == self.current {
            self.desired = self.current;
            return;
        }
        self.rescale(&resource, scale, wanted, &why).await;
    }

    /// The replicas to have and why; nothing when that cannot be said.
    async fn wanted(&mut self, scale: &Value) -> Option<(i64, String)> {
        let least = self.object.i64_at(&["spec", "minReplicas"]).unwrap_or(1);
        let most = self.object.i64_at(&["spec", "maxReplicas"]).unwrap_or(1);
        let bounds = Bounds { current: self.current, least, most };
        self.metrics = match self.current {
            0 => {
                let message = "scaling is disabled since the replica count of the target is zero";
                self.set("ScalingActive", false, "ScalingDisabled", message);
                self.metrics = Value::Null;
                return Some((0, String::new()));
            }
            current if current > most => {
                self.metrics = Value::Null;
                return Some((most, "Current number of replicas above Spec.MaxReplicas".to_owned()));
            }
            current if current < least => {
                self.metrics = Value::Null;
                return Some((least, "Current number of replicas below Spec.MinReplicas".to_owned()));
            }
            _ => Value::List(Vec::new()),
        };
        let (asked, metric) = match self.ask(scale).await {
            Ok(asked) => asked,
            Err(summary) => {
                self.warn("FailedComputeMetricsReplicas", &summary);
                return None;
            }
        };
        let why = match asked {
            asked if asked > self.current => format!("{metric} above target"),
            asked if asked < self.current => "All metrics below target".to_owned(),
            _ => String::new(),
        };
        let behavior = self.object.at(&["spec", "behavior"]).filter(|b| !b.is_null());
        let verdict = {
            let mut memories = self.autoscaler.memories.lock();
            let memory = memories.entry(key_of(self.object)).or_default();
            memory.settle(behavior, bounds, asked, self.now)
        };
        self.set("AbleToScale", true, verdict.able.0, verdict.able.1);
        self.set("ScalingLimited", verdict.limited.0, verdict.limited.1, verdict.limited.2);
        Some((verdict.replicas, why))
    }

    /// The most that any metric asks for, and its name. All of them must be known to go down.
    async fn ask(&mut self, scale: &Value) -> Result<(i64, String), String> {
        let text = scale.str_at(&["status", "selector"]).to_owned();
        let selector = self.selector(&text)?;
        let namespace = self.object.str_at(&["metadata", "namespace"]);
        let view = View {
            metrics: Metrics { client: &self.autoscaler.client, namespace },
            targets: &self.autoscaler.targets,
            pods: selected(self.autoscaler.pods.cache(), namespace, &selector),
            selector: &text,
            spec_replicas: self.current,
            status_replicas: scale.i64_at(&["status", "replicas"]).unwrap_or(0),
            tolerance: Tolerance::of(self.object),
            now: self.now,
        };
        let (mut shown, mut best, mut failed): (Vec<Value>, (i64, String), Vec<_>) = Default::default();
        for spec in self.object.list_at(&["spec", "metrics"]) {
            match view.judge(spec).await {
                Ok(found) => {
                    shown.push(found.status);
                    if best.0 == 0 || found.replicas > best.0 {
                        best = (found.replicas, found.name);
                    }
                }
                Err(unknown) => {
                    self.warn(unknown.reason, &unknown.message);
                    shown.push(tree!({"type": ""}));
                    failed.push(unknown);
                }
            }
        }
        let count = shown.len();
        self.metrics = Value::List(shown);
        if let Some(first) = failed.first()
            && (failed.len() >= count || best.0 < self.current)
        {
            let message = format!("the HPA was unable to compute the replica count: {}", first.message);
            self.set("ScalingActive", false, first.reason, &message);
            let (bad, why) = (failed.len(), &first.summary);
            return Err(format!("invalid metrics ({bad} invalid out of {count}), first error is: {why}"));
        }
        let message = format!("the HPA was able to successfully calculate a replica count from {}", best.1);
        self.set("ScalingActive", true, "ValidMetricFound", &message);
        Ok(best)
    }

    fn selector(&mut self, text: &str) -> Result<LabelSelector, String> {
        if text.is_empty() {
            self.warn("SelectorRequired", "selector is required");
            let message = "the HPA target's scale is missing a selector";
            self.set("ScalingActive", false, "InvalidSelector", message);
            return Err("selector is required".to_owned());
        }
        let parsed = LabelSelector::parse(text).map_err(|why| {
            format!("couldn't convert selector into a corresponding internal selector object: {why}")
        });
        let (reason, why) = match parsed {
            Ok(selector) => {
                let namespace = self.object.str_at(&["metadata", "namespace"]);
                let pods = selected(self.autoscaler.pods.cache(), namespace, &selector);
                match self.autoscaler.ambiguity(&key_of(self.object), text, &selector, &pods) {
                    None => return Ok(selector),
                    Some(why) => ("AmbiguousSelector", why),
                }
            }
            Err(why) => ("InvalidSelector", why),
        };
        self.warn(reason, &why);
        self.set("ScalingActive", false, reason, &why);
        Err(why)
    }

    async fn rescale(&mut self, resource: &Resource, scale: Value, wanted: i64, why: &str) {
        if let Err(error) = self.autoscaler.targets.rescale(resource, scale, wanted).await {
            self.warn("FailedRescale", &format!("New size: {wanted}; reason: {why}; error: {error}"));
            let message = format!("the HPA controller was unable to update the target scale: {error}");
            return self.set("AbleToScale", false, "FailedUpdateScale", &message);
        }
        let message = format!("the HPA controller was able to update the target scale to {wanted}");
        self.set("AbleToScale", true, "SucceededRescale", &message);
        let message = format!("New size: {wanted}; reason: {why}");
        self.autoscaler.recorder.normal(KIND, self.object, "SuccessfulRescale", &message);
        let behavior = self.object.at(&["spec", "behavior"]).filter(|b| !b.is_null());
        let mut memories = self.autoscaler.memories.lock();
        let memory = memories.entry(key_of(self.object)).or_default();
        memory.scaled(behavior, self.current, wanted, self.now);
        self.desired = wanted;
        self.rescaled = true;
    }
}
