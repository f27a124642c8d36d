//! One look at a deployment and its replica sets, and the steps that follow from it.

use super::revision::{self, DESIRED, ROLLBACK_TO};
use super::scale::{self, replicas};
use super::{Controller, KIND, progress};
use crate::reconcile::{Outcome, unless_gone};
use crate::{conditions, owner, resources, status, template_hash};
use api::Value;
use client::Error;
use std::time::Duration;

/// A deployment, the replica set of its present template, and those of earlier ones, oldest first.
pub struct Rollout<'a> {
    pub controller: &'a Controller,
    pub deployment: Value,
    pub new: Option<Value>,
    pub old: Vec<Value>,
}

impl Rollout<'_> {
    pub async fn run(mut self) -> Outcome {
        if owner::is_leaving(&self.deployment) {
            self.find_new().await?;
            return self.write_status().await;
        }
        let now = self.controller.clock.now();
        if let Some(condition) = progress::pause_condition(&self.deployment, now) {
            self.set_condition(condition).await?;
        }
        if self.deployment.bool_at(&["spec", "paused"]) {
            return self.scale_only().await;
        }
        if self.deployment.at(&["metadata", "annotations", ROLLBACK_TO]).is_some() {
            return self.roll_back().await;
        }
        self.find_new().await?;
        if self.is_scaling() {
            return self.scale_only().await;
        }
        if scale::is_rolling(&self.deployment) { self.roll().await } else { self.recreate().await }
    }

    /// Brings the new set's annotations and revision up to date, and the deployment's revision with it.
    async fn find_new(&mut self) -> Outcome {
        let revision = revision::highest(&self.old) + 1;
        let Some(set) = &self.new else { return Ok(()) };
        let mut wanted = set.clone();
        let annotated = revision::annotate(&self.deployment, &mut wanted, revision);
        let ready = self.deployment.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0);
        if annotated || wanted.i64_at(&["spec", "minReadySeconds"]).unwrap_or(0) != ready {
            wanted.set(&["spec", "minReadySeconds"], ready);
            self.new = Some(self.update_set(&wanted).await?);
        }
        let Some(set) = &self.new else { return Ok(()) };
        let revision = revision::annotation(set, revision::REVISION).to_owned();
        let found = format!("Found new replica set \"{}\"", set.str_at(&["metadata", "name"]));
        let unknown = progress::deadline(&self.deployment).is_some()
            && progress::progressing(&self.deployment).is_none();
        let condition = unknown.then(|| {
            progress::condition(
                "Progressing",
                "True",
                self.controller.clock.now(),
                "FoundNewReplicaSet",
                &found,
            )
        });
        self.set_revision(&revision, condition).await
    }

    /// The new set; made when there is none. Nothing when another set has its name: then the next name is tried later.
    async fn make_new(&mut self) -> Result<(), Error> {
        if self.new.is_some() {
            return Ok(());
        }
        let revision = revision::highest(&self.old) + 1;
        let template = revision::without_hash(&self.deployment);
        let hash = template_hash::of(&template, self.deployment.i64_at(&["status", "collisionCount"]));
        let mut set = Controller::new_set(&self.deployment, &hash);
        let size = scale::size_of_new(&self.deployment, scale::total(&self.old), 0);
        set.set(&["spec", "replicas"], size);
        revision::annotate(&self.deployment, &mut set, revision);
        let (desired, max) = self.sizes();
        revision::annotate_sizes(&mut set, desired, max);
        let namespace = self.deployment.str_at(&["metadata", "namespace"]).to_owned();
        let (client, sets) = (&self.controller.client, resources::replica_sets());
        let made = match client.create(&sets, &namespace, &set).await {
            Err(error) if error.is_already_exists() => return self.collided(&set, error).await,
            Err(error) => return self.could_not_make(&set, error).await,
            Ok(made) => made,
        };
        self.controller.sets.caught_up(&made).await;
        let name = made.str_at(&["metadata", "name"]).to_owned();
        if size > 0 {
            self.say(&format!("Scaled up replica set {name} from 0 to {size}"));
        }
        self.new = Some(made);
        let condition = progress::deadline(&self.deployment).map(|_| {
            let message = format!("Created new replica set \"{name}\"");
            let now = self.controller.clock.now();
            progress::condition("Progressing", "True", now, "NewReplicaSetCreated", &message)
        });
        self.set_revision(&revision.to_string(), condition).await
    }

    /// The name is taken: by our own set that the local copy had not shown yet, or by a collision of hashes.
    async fn collided(&mut self, set: &Value, error: Error) -> Outcome {
        let meta = |field: &str| set.str_at(&["metadata", field]);
        let client = &self.controller.client;
        let found = client.find(&resources::replica_sets(), meta("namespace"), meta("name")).await?;
        if let Some(found) = found.filter(|found| revision::is_of(found, &self.deployment)) {
            self.new = Some(found);
            return self.find_new().await;
        }
        let mut status = self.deployment.get("status").cloned().unwrap_or_default();
        status.set(&["collisionCount"], status.i64_at(&["collisionCount"]).unwrap_or(0) + 1);
        self.put_status(status).await?;
        Err(error)
    }

    async fn could_not_make(&mut self, set: &Value, error: Error) -> Outcome {
        if crate::pod_batch::is_namespace_leaving(&error) {
            return Err(error);
        }
        let name = set.str_at(&["metadata", "name"]);
        let message = format!("Failed to create new replica set \"{name}\": {error}");
        if progress::deadline(&self.deployment).is_some() {
            let now = self.controller.clock.now();
            let condition =
                progress::condition("Progressing", "False", now, "ReplicaSetCreateError", &message);
            self.set_condition(condition).await?;
        }
        self.controller.recorder.warning(KIND, &self.deployment, "ReplicaSetCreateError", &message);
        Err(error)
    }

    /// True when a set was sized for another number of replicas than the deployment asks for now.
    fn is_scaling(&self) -> bool {
        let active = self.old.iter().chain(&self.new).filter(|set| replicas(set) > 0);
        active.filter_map(|set| revision::number(set, DESIRED)).any(|n| n != replicas(&self.deployment))
    }

    /// Scaling in the middle of a rollout, or while paused.
    async fn scale_only(mut self) -> Outcome {
        self.find_new().await?;
        self.resize().await?;
        if self.deployment.bool_at(&["spec", "paused"]) {
            self.clean_up().await?;
        }
        self.write_status().await
    }

    async fn resize(&mut self) -> Outcome {
        let wanted = replicas(&self.deployment);
        let count = self.old.iter().chain(&self.new).filter(|set| replicas(set) > 0).count();
        if count <= 1 {
            let active = self.old.iter().rev().find(|set| replicas(set) > 0);
            let one = active.or(self.new.as_ref()).or(self.old.last()).cloned();
            if let Some(set) = one.filter(|set| replicas(set) != wanted) {
                self.set_size(&set, wanted).await?;
            }
            return Ok(());
        }
        if scale::is_saturated(&self.deployment, self.new.as_ref()) {
            for set in self.old.clone().iter().filter(|set| replicas(set) > 0) {
                self.set_size(set, 0).await?;
            }
            return Ok(());
        }
        if scale::is_rolling(&self.deployment) {
            let active: Vec<Value> =
                self.old.iter().chain(&self.new).filter(|set| replicas(set) > 0).cloned().collect();
            for (i, size) in scale::proportional(&self.deployment, &active) {
                if let Some(set) = active.get(i) {
                    self.set_size(set, size).await?;
                }
            }
        }
        Ok(())
    }

    async fn roll(mut self) -> Outcome {
        self.make_new().await?;
        let Some(new) = self.new.clone() else { return Ok(()) };
        let wanted = replicas(&self.deployment);
        let all = scale::total(self.old.iter()) + replicas(&new);
        let size = match replicas(&new) {
            now if now >= wanted => wanted,
            now => scale::size_of_new(&self.deployment, all, now),
        };
        if size != replicas(&new) {
            self.set_size(&new, size).await?;
            return self.write_rollout_status().await;
        }
        let down = scale::scale_down(&self.deployment, &new, &self.old);
        for (i, size) in &down {
            if let Some(set) = self.old.get(*i).cloned() {
                self.set_size(&set, *size).await?;
            }
        }
        if down.is_empty() {
            self.clean_up_when_complete().await?;
        }
        self.write_rollout_status().await
    }

    async fn recreate(mut self) -> Outcome {
        let active: Vec<Value> = self.old.iter().filter(|set| replicas(set) > 0).cloned().collect();
        for set in &active {
            self.set_size(set, 0).await?;
        }
        if !active.is_empty() || self.controller.any_pod_of(&self.old) {
            return self.write_rollout_status().await;
        }
        self.make_new().await?;
        let wanted = replicas(&self.deployment);
        if let Some(new) = self.new.clone().filter(|new| replicas(new) != wanted) {
            self.set_size(&new, wanted).await?;
        }
        self.clean_up_when_complete().await?;
        self.write_rollout_status().await
    }

    /// Goes back to the revision that the annotation names; 0 is the one before.
    async fn roll_back(mut self) -> Outcome {
        self.find_new().await?;
        let all: Vec<Value> = self.old.iter().chain(&self.new).cloned().collect();
        let wanted = match revision::number(&self.deployment, ROLLBACK_TO).unwrap_or(0) {
            0 => revision::previous(&all),
            revision => revision,
        };
        let name = self.deployment.str_at(&["metadata", "name"]).to_owned();
        let recorder = &self.controller.recorder;
        let mut back = self.deployment.clone();
        match all.iter().find(|set| wanted > 0 && revision::of(set) == wanted) {
            None => {
                let message = "Unable to find the revision to rollback to.";
                recorder.warning(KIND, &self.deployment, "DeploymentRollbackRevisionNotFound", message);
            }
            Some(set) if revision::without_hash(set) == revision::without_hash(&self.deployment) => {
                let message = format!(
                    "The rollback revision contains the same template as current deployment \"{name}\""
                );
                recorder.warning(KIND, &self.deployment, "DeploymentRollbackTemplateUnchanged", &message);
            }
            Some(set) => {
                back = revision::rolled_back(&self.deployment, set);
                let message = format!("Rolled back deployment \"{name}\" to revision {wanted}");
                recorder.normal(KIND, &self.deployment, "DeploymentRollback", &message);
            }
        }
        back.unset(&["metadata", "annotations", ROLLBACK_TO]);
        let namespace = back.str_at(&["metadata", "namespace"]).to_owned();
        let written = self.controller.client.update(&resources::deployments(), &namespace, &back).await?;
        self.controller.deployments.caught_up(&written).await;
        Ok(())
    }

    /// The number of replicas asked for, and how many there may be.
    fn sizes(&self) -> (i64, i64) {
        let desired = replicas(&self.deployment);
        (desired, desired + scale::max_surge(&self.deployment))
    }

    /// Gives a set another size (or only notes the deployment's in its annotations).
    async fn set_size(&mut self, set: &Value, size: i64) -> Outcome {
        let mut wanted = set.clone();
        let (desired, max) = self.sizes();
        let noted = revision::annotate_sizes(&mut wanted, desired, max);
        let (before, name) = (replicas(set), set.str_at(&["metadata", "name"]).to_owned());
        if !noted && before == size {
            return Ok(());
        }
        wanted.set(&["spec", "replicas"], size);
        let written = self.update_set(&wanted).await?;
        if before != size {
            let way = if before < size { "up" } else { "down" };
            self.say(&format!("Scaled {way} replica set {name} from {before} to {size}"));
        }
        let places = self.old.iter_mut().chain(self.new.as_mut());
        for place in places.filter(|place| owner::uid(place) == owner::uid(&written)) {
            *place = written.clone();
        }
        Ok(())
    }

    async fn update_set(&self, set: &Value) -> Result<Value, Error> {
        let namespace = set.str_at(&["metadata", "namespace"]);
        let written = self.controller.client.update(&resources::replica_sets(), namespace, set).await?;
        self.controller.sets.caught_up(&written).await;
        Ok(written)
    }

    fn say(&self, message: &str) {
        self.controller.recorder.normal(KIND, &self.deployment, "ScalingReplicaSet", message);
    }

    async fn clean_up_when_complete(&self) -> Outcome {
        let empty = Value::map();
        let status = self.deployment.get("status").unwrap_or(&empty);
        if progress::is_complete(&self.deployment, status) { self.clean_up().await } else { Ok(()) }
    }

    /// Deletes the oldest sets that are beyond the limit and empty.
    async fn clean_up(&self) -> Outcome {
        let Some(limit) = progress::history_limit(&self.deployment) else { return Ok(()) };
        let mut sets: Vec<&Value> = self.old.iter().filter(|set| !owner::is_leaving(set)).collect();
        let surplus = sets.len().saturating_sub(limit);
        sets.sort_by_key(|set| revision::of(set));
        for set in sets.into_iter().take(surplus) {
            let seen =
                set.i64_at(&["status", "observedGeneration"]) >= set.i64_at(&["metadata", "generation"]);
            if replicas(set) != 0 || set.i64_at(&["status", "replicas"]).unwrap_or(0) != 0 || !seen {
                continue;
            }
            let meta = |field: &str| set.str_at(&["metadata", field]);
            let sets = resources::replica_sets();
            let gone =
                self.controller.client.delete(&sets, meta("namespace"), meta("name"), &Value::Null).await;
            unless_gone(gone)?;
        }
        Ok(())
    }

    async fn set_revision(&mut self, revision: &str, condition: Option<Value>) -> Outcome {
        let known = revision::annotation(&self.deployment, revision::REVISION) == revision;
        if known && condition.is_none() {
            return Ok(());
        }
        self.deployment.set(&["metadata", "annotations", revision::REVISION], revision);
        let mut status = self.deployment.get("status").cloned().unwrap_or_default();
        if let Some(condition) = condition {
            let mut list = status.list_at(&["conditions"]).to_vec();
            conditions::set(&mut list, condition);
            status.set(&["conditions"], Value::List(list));
        }
        self.deployment.set(&["status"], status);
        let namespace = self.deployment.str_at(&["metadata", "namespace"]);
        let deployments = resources::deployments();
        let written =
            self.controller.client.update_lens(&deployments, namespace, "status", &self.deployment).await?;
        self.accept(written).await;
        Ok(())
    }

    async fn set_condition(&mut self, condition: Value) -> Outcome {
        let mut status = self.deployment.get("status").cloned().unwrap_or_default();
        let mut list = status.list_at(&["conditions"]).to_vec();
        conditions::set(&mut list, condition);
        status.set(&["conditions"], Value::List(list));
        self.put_status(status).await
    }

    async fn write_status(&mut self) -> Outcome {
        let now = self.controller.clock.now();
        let status = progress::status(&self.deployment, self.new.as_ref(), &self.old, now);
        self.put_status(status).await
    }

    async fn write_rollout_status(&mut self) -> Outcome {
        let now = self.controller.clock.now();
        let status = progress::rollout_status(&self.deployment, self.new.as_ref(), &self.old, now);
        let again = progress::look_again_in(&self.deployment, &status, now);
        if let Some(wait) = again {
            let meta = |field: &str| self.deployment.str_at(&["metadata", field]);
            let key = format!("{}/{}", meta("namespace"), meta("name"));
            self.controller.queue.add_after(key, wait.max(Duration::from_secs(1)));
        }
        self.put_status(status).await
    }

    async fn put_status(&mut self, status: Value) -> Outcome {
        let deployments = resources::deployments();
        let written = status::write(&self.controller.client, &deployments, &self.deployment, status).await?;
        if let Some(written) = written {
            self.accept(written).await;
        }
        Ok(())
    }

    async fn accept(&mut self, written: Value) {
        self.controller.deployments.caught_up(&written).await;
        self.deployment = written;
    }
}
