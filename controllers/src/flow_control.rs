//! Keeps the default FlowSchemas and PriorityLevelConfigurations as they should be, and tells in the condition
//! `Dangling` of each FlowSchema whether its level is there. Upstream does this in the API server itself.

mod defaults;

use crate::reconcile::{self, Outcome};
use crate::{Context, resources};
use api::{Value, tree};
use client::{Client, Error, Informer, Method, Resource, WorkQueue, key_of};
use defaults::{AUTO_UPDATE, is_mandatory};
use std::collections::HashMap;
use std::sync::Arc;
use stdx::Clock;
use tokio::task::JoinSet;

/// Who owns the fields of the defaults, and of the condition.
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
const DANGLING: &str = "Dangling";
const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";

/// What is to be done to one object.
#[derive(Debug, PartialEq)]
enum Change {
    Create(Value),
    Update(Value),
    Delete(String),
}

/// Makes the defaults that are missing, mends those that are the server's to keep, and removes those that older
/// versions made. Returns when all of that is done.
pub async fn ensure(client: &Client) -> Result<(), Error> {
    let mut changes = JoinSet::new();
    for (resource, wanted) in
        [(resources::priority_levels(), defaults::levels()), (resources::flow_schemas(), defaults::schemas())]
    {
        let list = client.list(&resource, "", "").await?;
        for change in plan(list.list_at(&["items"]), wanted) {
            let (client, resource) = (client.clone(), resource.clone());
            changes.spawn(async move { write(&client, &resource, change).await });
        }
    }
    let mut outcome = Ok(());
    while let Some(written) = changes.join_next().await {
        outcome = outcome.and(written.unwrap_or(Ok(())));
    }
    outcome
}

/// What makes `there` have the `wanted` defaults.
fn plan(there: &[Value], wanted: Vec<Value>) -> Vec<Change> {
    let name = |object: &Value| object.str_at(&["metadata", "name"]).to_owned();
    let mut known: HashMap<String, &Value> = there.iter().map(|object| (name(object), object)).collect();
    let mut changes = Vec::new();
    for wanted in wanted {
        match known.remove(&name(&wanted)) {
            None => changes.push(Change::Create(wanted)),
            Some(found) => changes.extend(mended(found, &wanted).map(Change::Update)),
        }
    }
    let outdated = known.into_iter().filter(|(_, object)| auto_update(object) == Some(true));
    changes.extend(outdated.map(|(name, _)| Change::Delete(name)));
    changes
}

/// What the annotation says, if it says anything.
fn auto_update(object: &Value) -> Option<bool> {
    match object.at(&["metadata", "annotations", AUTO_UPDATE]).and_then(Value::as_str)? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The object as it should be; nothing when it is so already.
fn mended(found: &Value, wanted: &Value) -> Option<Value> {
    let untouched = || found.i64_at(&["metadata", "generation"]) == Some(1);
    let mandatory = is_mandatory(found.str_at(&["metadata", "name"]));
    let keeps = mandatory || auto_update(found).unwrap_or_else(untouched);
    let mut object = found.clone();
    if keeps {
        let mut spec = wanted.get("spec").cloned().unwrap_or_default();
        // How the exempt level lends is for the operator to say.
        if let Some(exempt) = found.at(&["spec", "exempt"]) {
            spec.set(&["exempt"], exempt.clone());
        }
        object.set(&["spec"], spec);
    }
    if auto_update(found) != Some(keeps) {
        object.set(&["metadata", "annotations", AUTO_UPDATE], keeps.to_string());
    }
    (object != *found).then_some(object)
}

async fn write(client: &Client, resource: &Resource, change: Change) -> Outcome {
    let by = format!("fieldManager={PRODUCER}");
    let done = match &change {
        Change::Create(object) => {
            let path = format!("{}?{by}", resource.collection(""));
            client.call(Method::POST, &path, Some((JSON, object))).await
        }
        Change::Update(object) => {
            let path = format!("{}?{by}", resource.object("", &key_of(object)));
            client.call(Method::PUT, &path, Some((JSON, object))).await
        }
        Change::Delete(name) => client.delete(resource, "", name, &Value::Null).await,
    };
    match done {
        // Somebody was faster; the controller looks again.
        Err(error) if error.is_already_exists() || error.is_conflict() || error.is_not_found() => Ok(()),
        done => done.map(drop),
    }
}

#[derive(Clone)]
struct Controller {
    client: Client,
    schemas: Informer,
    levels: Informer,
    clock: Clock,
}

/// The key for all defaults; the others are names of FlowSchemas.
const DEFAULTS: &str = "";

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let controller = Controller {
        client: context.client.clone(),
        schemas: context.informer(&resources::flow_schemas()),
        levels: context.informer(&resources::priority_levels()),
        clock: context.clock(),
    };
    let (changed, is_default) = (queue.clone(), names(&defaults::schemas()));
    controller.schemas.on_change(Arc::new(move |old, new| {
        let Some(object) = new.or(old) else { return };
        changed.add(key_of(object));
        if is_default.contains(&key_of(object)) && spec_changed(old, new) {
            changed.add(DEFAULTS.to_owned());
        }
    }));
    let (changed, is_default) = (queue.clone(), names(&defaults::levels()));
    let schemas = controller.schemas.cache().clone();
    controller.levels.on_change(Arc::new(move |old, new| {
        let Some(object) = new.or(old) else { return };
        if old.is_none() || new.is_none() {
            schemas.list("").iter().for_each(|schema| changed.add(key_of(schema)));
        }
        if is_default.contains(&key_of(object)) && spec_changed(old, new) {
            changed.add(DEFAULTS.to_owned());
        }
    }));
    let copies = [&controller.schemas.clone(), &controller.levels.clone()];
    reconcile::run_on("flow-control", &queue, 1, &copies, move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

fn names(objects: &[Value]) -> Vec<String> {
    objects.iter().map(key_of).collect()
}

/// Whether a default may have to be mended; its coming is no reason.
fn spec_changed(old: Option<&Arc<Value>>, new: Option<&Arc<Value>>) -> bool {
    let parts = |object: &Arc<Value>| {
        (object.get("spec").cloned(), object.at(&["metadata", "annotations", AUTO_UPDATE]).cloned())
    };
    old.is_some_and(|old| new.is_none_or(|new| parts(old) != parts(new)))
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        if key == DEFAULTS {
            return ensure(&self.client).await;
        }
        let Some(schema) = self.schemas.cache().get(key) else { return Ok(()) };
        let level = schema.str_at(&["spec", "priorityLevelConfiguration", "name"]);
        let condition = condition(level, self.levels.cache().get(level).is_some());
        if is_told(&schema, &condition) {
            return Ok(());
        }
        let mut condition = condition;
        condition.set(&["lastTransitionTime"], self.clock.now().rfc3339());
        let resource = resources::flow_schemas();
        let applied = tree!({"apiVersion": resource.api_version(), "kind": "FlowSchema",
            "metadata": {"name": key}, "status": {"conditions": [condition]}});
        let path = format!("{}/status?fieldManager={CONSUMER}&force=true", resource.object("", key));
        let written = self.client.call(Method::PATCH, &path, Some((APPLY, &applied))).await;
        if let Some(written) = reconcile::unless_gone(written)? {
            self.schemas.caught_up(&written).await;
        }
        Ok(())
    }
}

/// What is to be told of a schema, without the time.
fn condition(level: &str, found: bool) -> Value {
    let named = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {}",
        api::quote(level)
    );
    let (status, reason, message) = match found {
        true => ("False", "Found", format!("{named} and it exists")),
        false => ("True", "NotFound", format!("{named} but there is no such object")),
    };
    tree!({"type": DANGLING, "status": status, "reason": reason, "message": message})
}

fn is_told(schema: &Value, wanted: &Value) -> bool {
    let mut conditions = schema.list_at(&["status", "conditions"]).iter();
    let same = |found: &Value| {
        ["status", "reason", "message"].iter().all(|field| found.str_at(&[field]) == wanted.str_at(&[field]))
    };
    conditions.any(|found| found.str_at(&["type"]) == DANGLING && same(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_made_kept_and_left_to_who_opted_out() {
        let wanted = || defaults::schemas().into_iter().filter(|s| key_of(s) == "probes").collect::<Vec<_>>();
        let probes = wanted().remove(0);
        assert_eq!(plan(&[], wanted()), [Change::Create(probes.clone())]);
        assert_eq!(plan(std::slice::from_ref(&probes), wanted()), []);
        let mut changed = probes.clone();
        changed.set(&["spec", "matchingPrecedence"], 7);
        assert_eq!(plan(std::slice::from_ref(&changed), wanted()), [Change::Update(probes.clone())]);
        changed.set(&["metadata", "annotations", AUTO_UPDATE], "false");
        assert_eq!(plan(&[changed], wanted()), []);
    }

    #[test]
    fn without_the_annotation_the_generation_tells_who_wrote_last() {
        let mut bare = defaults::levels().into_iter().find(|level| key_of(level) == "system").unwrap();
        let wanted = bare.clone();
        bare.unset(&["metadata", "annotations"]);
        bare.set(&["metadata", "generation"], 1);
        let kept = mended(&bare, &wanted).unwrap();
        assert_eq!(auto_update(&kept), Some(true));
        bare.set(&["metadata", "generation"], 2);
        bare.set(&["spec", "limited", "nominalConcurrencyShares"], 99);
        let left = mended(&bare, &wanted).unwrap();
        assert_eq!((auto_update(&left), left.get("spec")), (Some(false), bare.get("spec")));
    }

    #[test]
    fn mandatory_specs_are_fixed_but_for_what_the_exempt_level_lends() {
        let mut exempt = defaults::levels().into_iter().find(|level| key_of(level) == "exempt").unwrap();
        let wanted = exempt.clone();
        exempt.set(&["metadata", "annotations", AUTO_UPDATE], "false");
        exempt.set(&["spec", "exempt", "nominalConcurrencyShares"], 10);
        let kept = mended(&exempt, &wanted).unwrap();
        assert_eq!(auto_update(&kept), Some(true));
        assert_eq!(kept.i64_at(&["spec", "exempt", "nominalConcurrencyShares"]), Some(10));
    }

    #[test]
    fn what_older_versions_made_is_removed_and_what_users_made_stays() {
        let own = tree!({"metadata": {"name": "mine"}});
        let old = tree!({"metadata": {"name": "old", "annotations": {AUTO_UPDATE: "true"}}});
        assert_eq!(plan(&[own, old], Vec::new()), [Change::Delete("old".to_owned())]);
    }

    #[test]
    fn missing_levels_are_told() {
        let dangling = condition("a", false);
        assert_eq!(
            dangling.str_at(&["message"]),
            "This FlowSchema references the PriorityLevelConfiguration object named \"a\" but there is no such object"
        );
        let schema = tree!({"status": {"conditions": [dangling.clone()]}});
        assert!(is_told(&schema, &dangling) && !is_told(&schema, &condition("a", true)));
    }
}
