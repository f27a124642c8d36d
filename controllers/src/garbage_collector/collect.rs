//! What is done about an object whose owners went or go. Each decision is taken on what the server says now.

use super::Shared;
use super::graph::{FOREGROUND, Node, ORPHAN, Place};
use crate::owner::is_leaving;
use crate::reconcile::{Outcome, unless_gone};
use api::{Str, Value, tree};
use client::{Error, Resource};
use std::sync::Arc;

/// The owners of an object, by what becomes of them.
#[derive(Debug, Default, PartialEq)]
struct Owners {
    /// They are there and stay.
    solid: Vec<Str>,
    /// They are gone.
    dangling: Vec<Str>,
    /// They wait for their dependents to go first.
    waiting: Vec<Str>,
}

/// What is done about an object.
#[derive(Debug, PartialEq)]
enum Plan {
    Keep,
    /// Owners remain; references to these go.
    Untie(Vec<Str>),
    /// Deleted, with this propagation policy.
    Delete(&'static str),
}

fn plan(owners: &Owners, object: &Value, has_dependents: bool) -> Plan {
    if !owners.solid.is_empty() {
        let gone: Vec<Str> = owners.dangling.iter().chain(&owners.waiting).cloned().collect();
        return if gone.is_empty() { Plan::Keep } else { Plan::Untie(gone) };
    }
    if !owners.waiting.is_empty() && has_dependents {
        return Plan::Delete("Foreground");
    }
    match () {
        () if has_finalizer(object, ORPHAN) => Plan::Delete("Orphan"),
        () if has_finalizer(object, FOREGROUND) => Plan::Delete("Foreground"),
        () => Plan::Delete("Background"),
    }
}

fn has_finalizer(object: &Value, name: &str) -> bool {
    object.list_at(&["metadata", "finalizers"]).iter().any(|f| f.as_str() == Some(name))
}

fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object.str_at(&["metadata", field])
}

impl Shared {
    /// Looks at an object: is it there, and has it owners?
    pub async fn attempt_to_delete(self: &Arc<Self>, uid: &str) -> Outcome {
        let Some(node) = self.graph.lock().node(uid).cloned() else { return Ok(()) };
        if node.is_leaving && !node.deletes_dependents {
            return Ok(());
        }
        let resource = self.resource(&node)?;
        let Some(object) = self.find(&resource, &node.namespace, &node.name, uid).await? else {
            let tasks = self.graph.lock().remove(&uid.into());
            self.add(tasks);
            return Ok(());
        };
        if node.is_virtual {
            self.graph.lock().note_present(uid, &resource);
        }
        if node.deletes_dependents {
            return self.wait_for_dependents(uid, &resource, &object).await;
        }
        if is_leaving(&object) {
            return Ok(());
        }
        let Some(owners) = self.classify(&resource, &object).await? else { return Ok(()) };
        match plan(&owners, &object, !node.dependents.is_empty()) {
            Plan::Keep => Ok(()),
            Plan::Untie(gone) => self.untie(&resource, &object, &gone).await,
            Plan::Delete(policy) => {
                if policy == "Foreground" {
                    self.break_circle(&resource, &object, &node).await?;
                }
                self.delete(&resource, &object, policy).await
            }
        }
    }

    fn resource(&self, node: &Node) -> Result<Arc<Resource>, Error> {
        match &node.place {
            Place::Known(resource) => Ok(resource.clone()),
            Place::Named(api_version, kind) => self.resource_of(api_version, kind).ok_or_else(|| {
                Error::Broken(format!("no resource is known for kind {kind} of {api_version}"))
            }),
        }
    }

    /// The object, unless it is gone or another one has its name.
    async fn find(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Option<Value>, Error> {
        let namespace = if resource.namespaced { namespace } else { "" };
        if resource.namespaced && namespace.is_empty() {
            return Ok(None);
        }
        let found = self.client.find(resource, namespace, name).await?;
        Ok(found.filter(|object| meta(object, "uid") == uid))
    }

    /// Asks after each owner. Nothing when the object has none, or cannot have those it names.
    async fn classify(&self, resource: &Resource, object: &Value) -> Result<Option<Owners>, Error> {
        let references = object.list_at(&["metadata", "ownerReferences"]);
        let mut owners = Owners::default();
        for reference in references {
            let text = |field: &str| reference.str_at(&[field]);
            let uid = Str::from(text("uid"));
            if self.graph.lock().is_absent(&uid) {
                owners.dangling.push(uid);
                continue;
            }
            let of = self.resource_of(text("apiVersion"), text("kind")).ok_or_else(|| {
                Error::Broken(format!(
                    "no resource is known for kind {} of {}",
                    text("kind"),
                    text("apiVersion")
                ))
            })?;
            if of.namespaced && !resource.namespaced {
                self.report_namespace(resource, object, reference);
                return Ok(None);
            }
            match self.find(&of, meta(object, "namespace"), text("name"), &uid).await? {
                None => {
                    self.graph.lock().note_absent(&uid);
                    owners.dangling.push(uid);
                }
                Some(owner) if is_leaving(&owner) && has_finalizer(&owner, FOREGROUND) => {
                    owners.waiting.push(uid)
                }
                Some(_) => owners.solid.push(uid),
            }
        }
        Ok((!references.is_empty()).then_some(owners))
    }

    /// An object of the cluster cannot have an owner in a namespace.
    fn report_namespace(&self, resource: &Resource, object: &Value, reference: &Value) {
        let text = |field: &str| reference.str_at(&[field]);
        let message = format!(
            "ownerRef [{}/{}, namespace: , name: {}, uid: {}] does not exist in namespace \"\"",
            text("apiVersion"),
            text("kind"),
            text("name"),
            text("uid")
        );
        let api_version = resource.api_version();
        let kind = (api_version.as_str(), object.str_at(&["kind"]));
        self.recorder.warning(kind, object, "OwnerRefInvalidNamespace", &message);
    }

    /// An object that goes after its dependents: sends them on their way, or goes when none is left to wait for.
    async fn wait_for_dependents(&self, uid: &str, resource: &Resource, object: &Value) -> Outcome {
        let blocking = self.graph.lock().blocking(uid);
        if blocking.is_empty() {
            return self.remove_finalizer(resource, object, FOREGROUND).await;
        }
        for dependent in blocking {
            let waits = self.graph.lock().node(&dependent).is_some_and(|node| node.deletes_dependents);
            if !waits {
                self.tasks.add(format!("d/{dependent}"));
            }
        }
        Ok(())
    }

    /// When a dependent of an object waits for it too, the object must not make its owners wait.
    async fn break_circle(&self, resource: &Resource, object: &Value, node: &Node) -> Outcome {
        let circular = {
            let graph = self.graph.lock();
            node.dependents.iter().any(|uid| graph.node(uid).is_some_and(|d| d.deletes_dependents))
        };
        if !circular {
            return Ok(());
        }
        let mut owners = object.list_at(&["metadata", "ownerReferences"]).to_vec();
        for owner in &mut owners {
            owner.set(&["blockOwnerDeletion"], false);
        }
        self.patch(resource, object, "ownerReferences", owners).await
    }

    async fn untie(&self, resource: &Resource, object: &Value, gone: &[Str]) -> Outcome {
        let mut owners = object.list_at(&["metadata", "ownerReferences"]).to_vec();
        owners.retain(|owner| !gone.iter().any(|uid| uid.as_str() == owner.str_at(&["uid"])));
        self.patch(resource, object, "ownerReferences", owners).await
    }

    async fn delete(&self, resource: &Resource, object: &Value, policy: &str) -> Outcome {
        let options = tree!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy,
            "preconditions": {"uid": meta(object, "uid"), "resourceVersion": meta(object, "resourceVersion")}
        });
        let (namespace, name) = (meta(object, "namespace"), meta(object, "name"));
        unless_gone(self.client.delete(resource, namespace, name, &options).await)?;
        Ok(())
    }

    /// Cuts the ties of all dependents of an object that goes without them, then lets it go.
    pub async fn orphan_dependents(self: &Arc<Self>, uid: &str) -> Outcome {
        let Some(node) = self.graph.lock().node(uid).cloned() else { return Ok(()) };
        for dependent in &node.dependents {
            let Some(child) = self.graph.lock().node(dependent).cloned() else { continue };
            let resource = self.resource(&child)?;
            if let Some(object) = self.find(&resource, &child.namespace, &child.name, dependent).await? {
                self.untie(&resource, &object, &[uid.into()]).await?;
            }
        }
        let resource = self.resource(&node)?;
        match self.find(&resource, &node.namespace, &node.name, uid).await? {
            Some(object) => self.remove_finalizer(&resource, &object, ORPHAN).await,
            None => Ok(()),
        }
    }

    async fn remove_finalizer(&self, resource: &Resource, object: &Value, name: &str) -> Outcome {
        if !has_finalizer(object, name) {
            return Ok(());
        }
        let mut finalizers = object.list_at(&["metadata", "finalizers"]).to_vec();
        finalizers.retain(|f| f.as_str() != Some(name));
        self.patch(resource, object, "finalizers", finalizers).await
    }

    /// Replaces a list of the metadata, if nobody else wrote meanwhile.
    async fn patch(&self, resource: &Resource, object: &Value, field: &str, list: Vec<Value>) -> Outcome {
        let mut patch = tree!({"metadata": {"resourceVersion": meta(object, "resourceVersion")}});
        patch.set(&["metadata", field], Value::List(list));
        let (namespace, name) = (meta(object, "namespace"), meta(object, "name"));
        unless_gone(self.client.merge_patch(resource, namespace, name, "", &patch).await)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_goes_when_no_owner_is_left_and_how_its_finalizers_say() {
        let gone = Owners { dangling: vec!["o".into()], ..Owners::default() };
        assert_eq!(plan(&gone, &Value::map(), true), Plan::Delete("Background"));
        let orphans = tree!({"metadata": {"finalizers": [ORPHAN]}});
        assert_eq!(plan(&gone, &orphans, true), Plan::Delete("Orphan"));
        let waiting = Owners { waiting: vec!["o".into()], ..Owners::default() };
        assert_eq!(plan(&waiting, &Value::map(), true), Plan::Delete("Foreground"));
        assert_eq!(plan(&waiting, &Value::map(), false), Plan::Delete("Background"));
    }

    #[test]
    fn an_object_with_another_owner_stays_and_loses_the_reference() {
        let mut owners = Owners { solid: vec!["s".into()], ..Owners::default() };
        assert_eq!(plan(&owners, &Value::map(), false), Plan::Keep);
        owners.dangling.push("o".into());
        assert_eq!(plan(&owners, &Value::map(), false), Plan::Untie(vec!["o".into()]));
    }
}
