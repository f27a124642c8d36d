//! Reconciles the default roles and bindings: makes what is missing, adds rules and subjects that were taken away,
//! and leaves alone what opted out (`autoupdate: "false"`). What others added stays.

use super::policy::{self, Wanted};
use api::{Value, tree};
use authz::PolicyRule;
use client::{Client, Error};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// How often one object is read again when others change it at the same time.
const ATTEMPTS: usize = 4;
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// By plural, namespace and name.
type Found = HashMap<(String, String, String), Value>;

/// Returns when every default role and binding is there. Tries all of them; the first failure is told.
pub async fn reconcile(client: &Client) -> Result<(), Error> {
    let wanted = policy::wanted();
    let mut found = find(client, &wanted).await?;
    let mut writes = JoinSet::new();
    for wanted in wanted {
        let key = (wanted.plural.to_owned(), wanted.namespace.to_owned(), wanted.name().to_owned());
        let existing = found.remove(&key);
        if existing.as_ref().is_none_or(|existing| !matches!(plan(existing, &wanted), Plan::Nothing)) {
            let client = client.clone();
            writes.spawn(async move { settle(&client, &wanted, existing).await });
        }
    }
    let mut outcome = Ok(());
    while let Some(written) = writes.join_next().await {
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "a default role or binding cannot be reconciled");
            outcome = outcome.and(Err(error));
        }
    }
    outcome
}

/// What is there, by one list for each place.
async fn find(client: &Client, wanted: &[Wanted]) -> Result<Found, Error> {
    let mut places: Vec<(&str, &str)> = wanted.iter().map(|w| (w.plural, w.namespace)).collect();
    places.sort_unstable();
    places.dedup();
    let mut found = Found::new();
    for (plural, namespace) in places {
        let mut list = client.list(&policy::resource(plural), namespace, "").await?;
        let items = list.get_mut("items").and_then(Value::as_list_mut).map(std::mem::take);
        for item in items.into_iter().flatten() {
            let name = item.str_at(&["metadata", "name"]).to_owned();
            found.insert((plural.to_owned(), namespace.to_owned(), name), item);
        }
    }
    Ok(found)
}

async fn settle(client: &Client, wanted: &Wanted, mut existing: Option<Value>) -> Result<(), Error> {
    let (resource, namespace, name) = (wanted.resource(), wanted.namespace, wanted.name());
    let mut attempt = 1;
    loop {
        let done = match existing.as_ref().map(|existing| (existing, plan(existing, wanted))) {
            None => client.create(&resource, namespace, &wanted.object).await.map(drop),
            Some((_, Plan::Nothing)) => return Ok(()),
            Some((_, Plan::Update(object))) => client.update(&resource, namespace, &object).await.map(drop),
            Some((existing, Plan::Recreate)) => recreate(client, wanted, existing).await,
        };
        match done {
            Err(error)
                if attempt < ATTEMPTS
                    && (error.is_conflict() || error.is_already_exists() || error.is_not_found()) =>
            {
                attempt += 1;
                existing = client.find(&resource, namespace, name).await?;
            }
            done => return done,
        }
    }
}

/// A binding's role cannot be changed: it goes, and comes again.
async fn recreate(client: &Client, wanted: &Wanted, existing: &Value) -> Result<(), Error> {
    let (resource, namespace) = (wanted.resource(), wanted.namespace);
    let options = tree!({"preconditions": {"uid": existing.str_at(&["metadata", "uid"])}});
    client.delete(&resource, namespace, wanted.name(), &options).await?;
    client.create(&resource, namespace, &wanted.object).await.map(drop)
}

#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    Update(Arc<Value>),
    Recreate,
}

/// What makes an object that exists hold what is wanted.
fn plan(existing: &Value, wanted: &Wanted) -> Plan {
    if existing.str_at(&["metadata", "annotations", AUTO_UPDATE]) == "false" {
        return Plan::Nothing;
    }
    if wanted.is_binding() && existing.get("roleRef") != wanted.object.get("roleRef") {
        return Plan::Recreate;
    }
    let mut object = existing.clone();
    for field in ["labels", "annotations"] {
        for (key, value) in wanted.object.map_at(&["metadata", field]).into_iter().flat_map(|map| map.iter())
        {
            if existing.at(&["metadata", field, key]).is_none() {
                object.set(&["metadata", field, key], value.clone());
            }
        }
    }
    if wanted.is_binding() {
        add(&mut object, &["subjects"], &wanted.object);
    } else {
        let missing = authz::uncovered(&PolicyRule::all_of(existing), &PolicyRule::all_of(&wanted.object));
        if !missing.is_empty() {
            let held = existing.list_at(&["rules"]).iter().cloned();
            let rules: Vec<Value> = held.chain(missing.iter().map(PolicyRule::to_value)).collect();
            object.set(&["rules"], rules);
        }
        if wanted.object.get("aggregationRule").is_none() {
            object.unset(&["aggregationRule"]);
        } else {
            add(&mut object, &["aggregationRule", "clusterRoleSelectors"], &wanted.object);
        }
    }
    if object == *existing { Plan::Nothing } else { Plan::Update(Arc::new(object)) }
}

/// Adds the items that a list lacks.
fn add(object: &mut Value, path: &[&str], wanted: &Value) {
    let mut list = object.list_at(path).to_vec();
    let missing: Vec<Value> =
        wanted.list_at(path).iter().filter(|item| !list.contains(item)).cloned().collect();
    if !missing.is_empty() {
        list.extend(missing);
        object.set(path, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(plural: &str, name: &str) -> Wanted {
        policy::wanted().into_iter().find(|w| w.plural == plural && w.name() == name).unwrap()
    }

    fn updated(existing: &Value, wanted: &Wanted) -> Value {
        match plan(existing, wanted) {
            Plan::Update(object) => (*object).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_as_wanted_or_more_stays() {
        for wanted in policy::wanted() {
            assert_eq!(plan(&wanted.object, &wanted), Plan::Nothing, "{}", wanted.name());
        }
        let wanted = wanted("clusterroles", "system:kube-dns");
        let mut more = wanted.object.clone();
        more.set(&["rules"], tree!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
        more.set(&["metadata", "labels", "mine"], "x");
        assert_eq!(plan(&more, &wanted), Plan::Nothing);
    }

    #[test]
    fn what_was_taken_away_comes_back_and_what_was_added_stays() {
        let wanted = wanted("clusterroles", "system:kube-dns");
        let own = tree!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let part = tree!({"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["services"]});
        let mut existing = wanted.object.clone();
        existing.set(&["rules"], tree!([own.clone(), part.clone()]));
        let missing = |verb: &str| tree!({"verbs": [verb], "apiGroups": [""], "resources": ["endpoints"]});
        assert_eq!(
            updated(&existing, &wanted).list_at(&["rules"]),
            [own, part, missing("list"), missing("watch")]
        );
        existing.set(&["metadata", "annotations", AUTO_UPDATE], "false");
        assert_eq!(plan(&existing, &wanted), Plan::Nothing, "opted out");
    }

    #[test]
    fn bindings_get_their_subjects_back_and_their_role() {
        let wanted = wanted("clusterrolebindings", "system:basic-user");
        let mut existing = wanted.object.clone();
        let jane = tree!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"});
        existing.set(&["subjects"], vec![jane.clone()]);
        let subjects = updated(&existing, &wanted);
        let [first, second] = subjects.list_at(&["subjects"]) else { panic!("two subjects") };
        assert_eq!((first, second.str_at(&["name"])), (&jane, "system:authenticated"));
        existing.set(&["roleRef", "name"], "cluster-admin");
        assert_eq!(plan(&existing, &wanted), Plan::Recreate);
    }
}
