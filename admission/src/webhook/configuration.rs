//! The webhooks of all configurations, compiled, sorted by the name of their configuration.

use super::rule::Rule;
use api::cel::Program;
use api::selector::LabelSelector;
use api::{Followed, Reader, Value};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

const VARIABLES: [&str; 5] = ["object", "oldObject", "namespaceObject", "request", "authorizer"];

/// One webhook.
pub struct Hook {
    pub configuration: String,
    pub name: String,
    /// One of its kind among all, also where a configuration has a name twice.
    pub id: String,
    pub rules: Vec<Rule>,
    /// Also called for other versions of what its rules name.
    pub equivalent: bool,
    pub namespaces: Result<LabelSelector, String>,
    pub objects: Result<LabelSelector, String>,
    pub conditions: Vec<Condition>,
    /// Goes on where it cannot be asked.
    pub ignores_failure: bool,
    pub timeout: Duration,
    /// Has effects that a dry run must not have.
    pub has_side_effects: bool,
    pub reinvokes: bool,
    /// Of AdmissionReview; in the order of its liking.
    pub review_versions: Vec<String>,
    pub client: Client,
    /// PEM.
    pub ca: Option<Vec<u8>>,
}

/// A match condition.
pub struct Condition {
    pub expression: String,
    pub program: Result<Program, String>,
}

/// Where a webhook is.
#[derive(Debug, PartialEq, Eq)]
pub enum Client {
    Url(String),
    Service { namespace: String, name: String, port: i64, path: String },
}

impl Hook {
    fn new(configuration: &str, index: usize, hook: &Value) -> Self {
        let text = |field: &str| hook.str_at(&[field]);
        let config = |path: &[&str]| hook.at(&["clientConfig"]).map(|c| c.str_at(path)).unwrap_or_default();
        let name = text("name").to_owned();
        let client = match hook.at(&["clientConfig", "service"]).filter(|s| !s.is_null()) {
            Some(service) => Client::Service {
                namespace: service.str_at(&["namespace"]).to_owned(),
                name: service.str_at(&["name"]).to_owned(),
                port: service.i64_at(&["port"]).unwrap_or(443),
                path: service.str_at(&["path"]).to_owned(),
            },
            None => Client::Url(config(&["url"]).to_owned()),
        };
        let ca = config(&["caBundle"]);
        let timeout = hook.i64_at(&["timeoutSeconds"]).and_then(|s| u64::try_from(s).ok()).unwrap_or(10);
        Hook {
            configuration: configuration.to_owned(),
            id: format!("{configuration}/{name}/{index}"),
            name,
            rules: hook.list_at(&["rules"]).iter().map(Rule::new).collect(),
            equivalent: text("matchPolicy") != "Exact",
            namespaces: LabelSelector::from_value(hook.get("namespaceSelector").or(Some(&Value::map()))),
            objects: LabelSelector::from_value(hook.get("objectSelector").or(Some(&Value::map()))),
            conditions: hook.list_at(&["matchConditions"]).iter().map(condition).collect(),
            ignores_failure: text("failurePolicy") == "Ignore",
            timeout: Duration::from_secs(timeout),
            has_side_effects: !matches!(text("sideEffects"), "None" | "NoneOnDryRun"),
            reinvokes: text("reinvocationPolicy") == "IfNeeded",
            review_versions: hook
                .list_at(&["admissionReviewVersions"])
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect(),
            client,
            ca: Some(ca)
                .filter(|ca| !ca.is_empty())
                .and_then(|ca| base64::engine::general_purpose::STANDARD.decode(ca).ok()),
        }
    }
}

fn condition(condition: &Value) -> Condition {
    let expression = condition.str_at(&["expression"]).to_owned();
    Condition { program: Program::compile(expression.trim(), &VARIABLES), expression }
}

/// All webhooks of a sort of configurations. Clones share them.
#[derive(Clone, Default)]
pub struct Hooks(Arc<RwLock<Kept>>);

#[derive(Default)]
struct Kept {
    by_configuration: BTreeMap<String, Vec<Arc<Hook>>>,
    all: Arc<[Arc<Hook>]>,
}

impl Hooks {
    /// The webhooks as they are now.
    pub fn now(&self) -> Arc<[Arc<Hook>]> {
        self.0.read().map(|kept| kept.all.clone()).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.read().map_or(true, |kept| kept.all.is_empty())
    }

    /// Begins to follow the configurations.
    pub async fn follow(&self, reader: &dyn Reader, resource: &'static str) {
        let hooks = self.clone();
        let step = Box::new(move |step| hooks.take(step));
        reader.follow("admissionregistration.k8s.io", resource, step).await;
    }

    fn take(&self, step: Followed) {
        let Ok(mut kept) = self.0.write() else { return };
        match step {
            Followed::All(all) => kept.by_configuration = all.iter().map(compiled).collect(),
            Followed::Set(one) => {
                kept.by_configuration.extend([compiled(&one)]);
            }
            Followed::Gone { name, .. } => {
                kept.by_configuration.remove(&name);
            }
        }
        kept.all = kept.by_configuration.values().flatten().cloned().collect();
    }
}

fn compiled(configuration: &Value) -> (String, Vec<Arc<Hook>>) {
    let name = configuration.str_at(&["metadata", "name"]);
    let hooks = configuration.list_at(&["webhooks"]).iter().enumerate();
    (name.to_owned(), hooks.map(|(i, hook)| Arc::new(Hook::new(name, i, hook))).collect())
}
