//! clusterrole-aggregation-controller: a ClusterRole with an aggregation rule has the rules of all roles that the rule
//! selects.

use crate::reconcile::{self, Outcome};
use crate::{Context, resources};
use api::selector::LabelSelector;
use api::{Value, tree};
use client::{Client, Error, Informer, Method, WorkQueue, key_of};
use std::sync::Arc;

/// Who owns the rules.
const MANAGER: &str = "clusterrole-aggregation-controller";

#[derive(Clone)]
struct Controller {
    client: Client,
    roles: Informer,
}

pub fn start(context: &Context<'_>) {
    let queue = WorkQueue::new();
    let controller =
        Controller { client: context.client.clone(), roles: context.informer(&resources::cluster_roles()) };
    let (roles, changed) = (controller.roles.cache().clone(), queue.clone());
    controller.roles.on_change(Arc::new(move |_, new| {
        // Any role may be one that others collect; it may itself be in the cache only after this.
        let aggregating = roles.list("").into_iter().filter(|role| is_aggregating(role));
        aggregating.for_each(|role| changed.add(key_of(&role)));
        if let Some(role) = new.filter(|role| is_aggregating(role)) {
            changed.add(key_of(role));
        }
    }));
    let roles = controller.roles.clone();
    reconcile::run_on("cluster-role-aggregation", &queue, 1, &[&roles], move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

fn is_aggregating(role: &Value) -> bool {
    role.get("aggregationRule").is_some_and(|rule| !rule.is_null())
}

/// The rules of the selected roles, in order of the roles' names, each once.
fn plan(role: &Value, all: &[Arc<Value>]) -> Vec<Value> {
    let mut rules: Vec<Value> = Vec::new();
    for selector in role.list_at(&["aggregationRule", "clusterRoleSelectors"]) {
        let Ok(selector) = LabelSelector::from_value(Some(selector)) else { continue };
        let others = all.iter().filter(|other| key_of(other) != key_of(role));
        for other in others.filter(|other| selector.matches(other.map_at(&["metadata", "labels"]))) {
            for rule in other.list_at(&["rules"]) {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(role) = self.roles.cache().get(key).filter(|role| is_aggregating(role)) else {
            return Ok(());
        };
        let rules = plan(&role, &self.roles.cache().list(""));
        if role.list_at(&["rules"]) == rules {
            return Ok(());
        }
        let written = self.apply(role.str_at(&["metadata", "name"]), rules).await?;
        self.roles.caught_up(&written).await;
        Ok(())
    }

    /// The controller owns the rules, and nothing else: it applies them.
    async fn apply(&self, name: &str, rules: Vec<Value>) -> Result<Value, Error> {
        let mut wanted = tree!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name}});
        if !rules.is_empty() {
            wanted.set(&["rules"], rules);
        }
        let path = resources::cluster_roles().object("", name);
        let path = format!("{path}?fieldManager={MANAGER}&force=true");
        self.client.call(Method::PATCH, &path, Some(("application/apply-patch+yaml", &wanted))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn rules_of_selected_roles_are_collected_once_each() {
        let part = |name: &str, label: &str, verb: &str| {
            Arc::new(
                tree!({"metadata": {"name": name, "labels": {"to": label}}, "rules": [{"verbs": [verb]}]}),
            )
        };
        let role = tree!({"metadata": {"name": "all"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]}});
        let parts = [
            part("a", "all", "get"),
            part("b", "none", "list"),
            part("c", "all", "get"),
            part("d", "all", "watch"),
        ];
        assert_eq!(plan(&role, &parts), [tree!({"verbs": ["get"]}), tree!({"verbs": ["watch"]})]);
    }
}
