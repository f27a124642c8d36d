//! The API server's own loops over CustomResourceDefinitions: which names a definition gets (no two of a group share
//! one), when its kind is established, whether a protected group's definition was approved, and, when the definition is
//! deleted, the end of all its objects before its own.

use crate::reconcile::{self, Outcome};
use crate::{Context, conditions, resources};
use api::{Value, tree};
use client::{Client, Error, Informer, Resource, WorkQueue, key_of};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const APPROVAL: &str = "api-approved.kubernetes.io";
/// How soon it is looked again whether the last object has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub fn start(ctx: &Context<'_>) {
    let queue = WorkQueue::new();
    let definitions = resources::custom_resource_definitions();
    let informer = ctx.informer(&definitions);
    let changed = queue.clone();
    informer.on_change(Arc::new(move |old, new| {
        if let Some(crd) = new.or(old) {
            changed.add(key_of(crd));
        }
    }));
    let (client, clock) = (ctx.client.clone(), ctx.clock());
    let definitions = Definitions {
        client,
        resource: definitions,
        informer: informer.clone(),
        queue: queue.clone(),
        clock,
    };
    // One at a time: names are given out by looking at all definitions.
    reconcile::run_on("custom-resource-definition", &queue, 1, &[&informer], move |name| {
        let definitions = definitions.clone();
        async move { definitions.work(&name).await }
    });
}

#[derive(Clone)]
struct Definitions {
    client: Client,
    resource: Resource,
    informer: Informer,
    queue: WorkQueue,
    clock: Clock,
}

impl Definitions {
    async fn work(&self, name: &str) -> Outcome {
        let Some(seen) = self.informer.cache().get(name) else {
            // Its names are free now.
            self.reconsider_group(name.split_once('.').map_or("", |(_, group)| group), name);
            return Ok(());
        };
        if is_ending(&seen) {
            return self.clean_up(name).await;
        }
        let now = self.clock.now().rfc3339();
        let mut crd = (*seen).clone();
        if names_differ(&crd) {
            let (resources, kinds) = self.taken_names(&crd);
            if accept_names(&mut crd, &resources, &kinds, &now) {
                self.write(&crd).await?;
                self.reconsider_group(crd.str_at(&["spec", "group"]), name);
                return Ok(());
            }
        }
        if is_true(&crd, "NamesAccepted") && !is_true(&crd, "Established") {
            let message = "the initial names have been accepted";
            set_condition(&mut crd, condition("Established", true, "InitialNamesAccepted", message), &now);
            return self.write(&crd).await;
        }
        if let Some(approval) = approval(&crd)
            && set_condition(&mut crd, approval, &now)
        {
            return self.write(&crd).await;
        }
        Ok(())
    }

    /// Writes the status. Somebody else's change in the meantime brings the definition back here.
    async fn write(&self, crd: &Value) -> Outcome {
        match self.client.update_lens(&self.resource, "", "status", crd).await {
            Ok(written) => {
                self.informer.caught_up(&written).await;
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks again at all other definitions of a group, whose names may be free now.
    fn reconsider_group(&self, group: &str, but: &str) {
        for crd in self.informer.cache().list("") {
            if crd.str_at(&["spec", "group"]) == group && key_of(&crd) != but {
                self.queue.add(key_of(&crd));
            }
        }
    }

    /// Names of resources and of kinds that the group's definitions have been given.
    fn taken_names(&self, crd: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
        for other in self.informer.cache().list("") {
            if other.str_at(&["spec", "group"]) != crd.str_at(&["spec", "group"]) {
                continue;
            }
            let name = |field: &str| other.str_at(&["status", "acceptedNames", field]).to_owned();
            let short = other.list_at(&["status", "acceptedNames", "shortNames"]).iter();
            resources.extend([name("plural"), name("singular")]);
            resources.extend(short.filter_map(Value::as_str).map(str::to_owned));
            kinds.extend([name("kind"), name("listKind")]);
        }
        (resources, kinds)
    }

    /// Deletes all objects of a definition that is being deleted, then lets it go.
    async fn clean_up(&self, name: &str) -> Outcome {
        let Some(mut crd) = self.client.find(&self.resource, "", name).await? else { return Ok(()) };
        if !is_ending(&crd) {
            return Ok(());
        }
        let now = self.clock.now().rfc3339();
        if !is_true(&crd, "Established") {
            let done = condition("Terminating", false, "NeverEstablished", "resource was never established");
            set_condition(&mut crd, done, &now);
            return self.let_go(crd).await;
        }
        let going = condition(
            "Terminating",
            true,
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
        );
        if set_condition(&mut crd, going, &now) {
            self.write(&crd).await?;
        }
        if self.delete_objects(&crd).await? > 0 {
            self.queue.add_after(name, LOOK_AGAIN);
            return Ok(());
        }
        let Some(mut crd) = self.client.find(&self.resource, "", name).await? else { return Ok(()) };
        let done = condition("Terminating", false, "InstanceDeletionCompleted", "removed all instances");
        set_condition(&mut crd, done, &now);
        self.let_go(crd).await
    }

    async fn let_go(&self, mut crd: Value) -> Outcome {
        if let Some(Value::List(finalizers)) = crd.at_mut(&["metadata", "finalizers"]) {
            finalizers.retain(|f| f.as_str() != Some(FINALIZER));
        }
        self.write(&crd).await
    }

    /// Asks for the deletion of all objects; how many there were.
    async fn delete_objects(&self, crd: &Value) -> Result<usize, Error> {
        let versions = crd.list_at(&["spec", "versions"]);
        let Some(version) = versions.iter().find(|v| v.bool_at(&["served"])) else { return Ok(0) };
        let place = (
            crd.str_at(&["spec", "group"]),
            version.str_at(&["name"]),
            crd.str_at(&["spec", "names", "plural"]),
        );
        let objects = match crd.str_at(&["spec", "scope"]) {
            "Namespaced" => Resource::namespaced(place.0, place.1, place.2),
            _ => Resource::cluster(place.0, place.1, place.2),
        };
        let list = match self.client.list(&objects, "", "").await {
            Err(error) if error.is_not_found() => return Ok(0),
            other => other?,
        };
        let items = list.list_at(&["items"]);
        let namespaces: BTreeSet<&str> = items.iter().map(|o| o.str_at(&["metadata", "namespace"])).collect();
        for namespace in namespaces {
            self.client.delete_collection(&objects, namespace, "").await?;
        }
        Ok(items.len())
    }
}

/// Marked for deletion, and ours still to empty.
fn is_ending(crd: &Value) -> bool {
    let ours = crd.list_at(&["metadata", "finalizers"]).iter().any(|f| f.as_str() == Some(FINALIZER));
    ours && crd.at(&["metadata", "deletionTimestamp"]).is_some()
}

fn is_true(crd: &Value, ty: &str) -> bool {
    conditions::is_true(crd.list_at(&["status", "conditions"]), ty)
}

fn condition(ty: &str, is: bool, reason: &str, message: &str) -> Value {
    tree!({"type": (ty), "status": (if is { "True" } else { "False" }), "reason": (reason), "message": (message)})
}

/// Puts a condition in its place, or at the end; false when it was there already.
fn set_condition(crd: &mut Value, mut condition: Value, now: &str) -> bool {
    let mut list = crd.list_at(&["status", "conditions"]).to_vec();
    let old = list.iter_mut().find(|c| c.str_at(&["type"]) == condition.str_at(&["type"]));
    let same = |old: &Value, field: &str| old.str_at(&[field]) == condition.str_at(&[field]);
    let since = match &old {
        Some(old) if ["status", "reason", "message"].iter().all(|field| same(old, field)) => return false,
        Some(old) if same(old, "status") => old.str_at(&["lastTransitionTime"]).to_owned(),
        _ => now.to_owned(),
    };
    condition.set(&["lastTransitionTime"], since);
    match old {
        Some(old) => *old = condition,
        None => list.push(condition),
    }
    crd.set(&["status", "conditions"], list);
    true
}

const NAMES: [&str; 6] = ["plural", "singular", "shortNames", "kind", "listKind", "categories"];

fn name<'a>(crd: &'a Value, part: &str, field: &str) -> Option<&'a Value> {
    let path: &[&str] = if part == "spec" { &["spec", "names"] } else { &["status", "acceptedNames"] };
    crd.at(path)?.get(field).filter(|v| !v.is_empty())
}

fn names_differ(crd: &Value) -> bool {
    NAMES.iter().any(|field| name(crd, "spec", field) != name(crd, "status", field))
}

/// Gives a definition the names that it wants and nobody else has, and says in its conditions how that went. False when
/// nothing changed.
fn accept_names(crd: &mut Value, resources: &BTreeSet<String>, kinds: &BTreeSet<String>, now: &str) -> bool {
    let before = crd.get("status").cloned();
    let mut conflict: Option<(&str, String)> = None;
    for (field, reason) in [
        ("plural", "PluralConflict"),
        ("singular", "SingularConflict"),
        ("shortNames", "ShortNamesConflict"),
        ("kind", "KindConflict"),
        ("listKind", "ListKindConflict"),
    ] {
        let taken = if field.ends_with("ind") { kinds } else { resources };
        match refused(crd, field, taken) {
            Some(why) => conflict = Some((reason, why)),
            None => take_name(crd, field),
        }
    }
    take_name(crd, "categories");
    let accepted = match &conflict {
        Some((reason, why)) => condition("NamesAccepted", false, reason, why),
        None => condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
    };
    set_condition(crd, accepted, now);
    if !is_true(crd, "Established") {
        let established = match &conflict {
            None => condition("Established", false, "Installing", "the initial names have been accepted"),
            Some(_) => condition("Established", false, "NotAccepted", "not all names are accepted"),
        };
        if conflict.is_none()
            || conditions::find(crd.list_at(&["status", "conditions"]), "Established").is_none()
        {
            set_condition(crd, established, now);
        }
    }
    before.as_ref() != crd.get("status")
}

fn take_name(crd: &mut Value, field: &str) {
    match name(crd, "spec", field).cloned() {
        Some(wanted) => crd.set(&["status", "acceptedNames", field], wanted),
        None => drop(crd.unset(&["status", "acceptedNames", field])),
    }
}

/// Why a name, or some short names, cannot be had.
fn refused(crd: &Value, field: &str, taken: &BTreeSet<String>) -> Option<String> {
    let texts = |part: &str| -> Vec<String> {
        match name(crd, part, field) {
            Some(Value::Str(text)) => vec![text.to_string()],
            Some(Value::List(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    };
    let own = texts("status");
    let is_taken = |text: &&String| !own.contains(text) && taken.contains(*text);
    let wanted = texts("spec");
    let mut whys: Vec<String> = wanted
        .iter()
        .filter(is_taken)
        .map(|text| format!("{} is already in use", api::quote(text)))
        .collect();
    whys.dedup();
    match whys.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        more => Some(format!("[{}]", more.join(", "))),
    }
}

/// Whether a definition in a group of the Kubernetes community was approved; nothing for other groups.
fn approval(crd: &Value) -> Option<Value> {
    const TYPE: &str = "KubernetesAPIApprovalPolicyConformant";
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let group = crd.str_at(&["spec", "group"]);
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    if !protected {
        return None;
    }
    let annotation = crd.str_at(&["metadata", "annotations", APPROVAL]);
    let is_url = annotation.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/') && !annotation.contains(' ')
    });
    let needed = format!("protected groups must have approval annotation {}", api::quote(APPROVAL));
    Some(match annotation {
        "" => condition(TYPE, false, "MissingAnnotation", &format!("{needed}, {SEE}")),
        text if text.starts_with("unapproved") => {
            condition(TYPE, false, "UnapprovedAnnotation", &format!("not approved: {}", api::quote(text)))
        }
        url if is_url => condition(TYPE, true, "ApprovedAnnotation", &format!("approved in {url}")),
        _ => {
            let why = format!("{needed} with either a URL or a reason starting with \"unapproved\", {SEE}");
            condition(TYPE, false, "InvalidAnnotation", &why)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(plural: &str, kind: &str, short: &[&str]) -> Value {
        tree!({"metadata": {"name": (format!("{plural}.g"))}, "spec": {"group": "g", "names": {
            "plural": (plural), "singular": (kind.to_lowercase()), "kind": (kind), "listKind": (format!("{kind}List")),
            "shortNames": (short.iter().map(|s| Value::from(*s)).collect::<Vec<_>>())}}})
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn free_names_are_accepted_and_the_kind_is_installing() {
        let mut widgets = crd("widgets", "Widget", &["w"]);
        assert!(names_differ(&widgets));
        assert!(accept_names(&mut widgets, &set(&[]), &set(&[]), "t"));
        assert!(!names_differ(&widgets));
        let list = widgets.list_at(&["status", "conditions"]);
        let reasons: Vec<&str> = list.iter().map(|c| c.str_at(&["reason"])).collect();
        assert_eq!(reasons, ["NoConflicts", "Installing"]);
        assert!(!accept_names(
            &mut widgets,
            &set(&["widgets", "widget", "w"]),
            &set(&["Widget", "WidgetList"]),
            "t2"
        ));
    }

    #[test]
    fn names_in_use_are_refused_and_the_last_conflict_is_told() {
        let mut gadgets = crd("gadgets", "Widget", &["w", "g"]);
        let taken = set(&["widgets", "widget", "w"]);
        assert!(accept_names(&mut gadgets, &taken, &set(&["Widget", "WidgetList"]), "t"));
        assert_eq!(gadgets.at(&["status", "acceptedNames"]), Some(&tree!({"plural": "gadgets"})));
        let list = gadgets.list_at(&["status", "conditions"]);
        assert_eq!(list[0].str_at(&["reason"]), "ListKindConflict");
        assert_eq!(list[0].str_at(&["message"]), "\"WidgetList\" is already in use");
        assert_eq!(list[1].str_at(&["reason"]), "NotAccepted");
    }

    #[test]
    fn protected_groups_say_who_approved() {
        let reason = |group: &str, annotation: &str| {
            let crd = tree!({"metadata": {"annotations": {"api-approved.kubernetes.io": (annotation)}},
                "spec": {"group": (group)}});
            approval(&crd).map(|c| c.str_at(&["reason"]).to_owned())
        };
        assert_eq!(reason("example.com", ""), None);
        assert_eq!(reason("x.k8s.io", "").as_deref(), Some("MissingAnnotation"));
        assert_eq!(reason("k8s.io", "unapproved, testing").as_deref(), Some("UnapprovedAnnotation"));
        assert_eq!(reason("x.kubernetes.io", "https://github.com/x").as_deref(), Some("ApprovedAnnotation"));
        assert_eq!(reason("x.kubernetes.io", "maybe").as_deref(), Some("InvalidAnnotation"));
        assert_eq!(reason("myk8s.io", ""), None);
    }
}
