//! Calls of the CRI that a pod's worker makes, and what containerd has of pods.

use super::{Runtime, labels};
use crate::cri;
use crate::pod::Observed;
use api::{Value, json, tree};
use containerd_client::tonic::{Code, Status};
use futures::future::try_join_all;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::time::Duration;

/// As upstream's: how long the runtime may take to answer, and to make a sandbox.
const PATIENCE: Duration = Duration::from_secs(120);
const SANDBOX_PATIENCE: Duration = Duration::from_secs(240);

type Answer<T> = Result<T, Status>;

/// A pod that containerd has something of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// As its containers remember it.
    pub grace: Option<i64>,
    /// Its containers, with what they want to be run before their end.
    pub containers: Vec<Value>,
}

impl Found {
    fn of(labels: &HashMap<String, String>) -> Option<Self> {
        let label = |name: &str| labels.get(name).cloned();
        Some(Found {
            uid: label(labels::POD_UID)?,
            namespace: label(labels::POD_NAMESPACE)?,
            name: label(labels::POD_NAME)?,
            ..Found::default()
        })
    }

    fn add(&mut self, container: &cri::Container) {
        let annotation = |name: &str| container.annotations.get(name);
        if let Some(grace) = annotation(labels::POD_TERMINATION_GRACE).and_then(|grace| grace.parse().ok()) {
            self.grace = Some(grace);
        }
        let name = container.labels.get(labels::CONTAINER_NAME).map_or("", String::as_str);
        let mut own = tree!({"name": name});
        if let Some(hook) = annotation(labels::PRE_STOP).and_then(|hook| json::parse(hook.as_bytes()).ok()) {
            own.set(&["lifecycle", "preStop"], hook);
        }
        self.containers.push(own);
    }

    /// As much of the pod as is needed to end it.
    pub fn object(&self) -> Value {
        let (uid, namespace, name) = (self.uid.as_str(), self.namespace.as_str(), self.name.as_str());
        let mut pod = tree!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"uid": uid, "namespace": namespace, "name": name},
            "spec": {"restartPolicy": "Never", "containers": (Value::List(self.containers.clone()))}
        });
        if let Some(grace) = self.grace {
            pod.set(&["spec", "terminationGracePeriodSeconds"], grace);
        }
        pod
    }
}

async fn within<T>(patience: Duration, call: impl Future<Output = Answer<tonic::Response<T>>>) -> Answer<T> {
    match tokio::time::timeout(patience, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("context deadline exceeded")),
    }
}

/// What is gone is as good as done.
fn unless_gone(answer: Answer<()>) -> Answer<()> {
    match answer {
        Err(status) if status.code() == Code::NotFound => Ok(()),
        other => other,
    }
}

fn of_pod(uid: &str) -> HashMap<String, String> {
    HashMap::from([(labels::POD_UID.to_owned(), uid.to_owned())])
}

impl Runtime {
    /// What containerd has of a pod. What `known` says of containers that ended is not asked again.
    pub async fn observe(&self, uid: &str, known: Option<&Observed>) -> Answer<Observed> {
        let (sandboxes, containers) = tokio::try_join!(self.list_sandboxes(uid), self.list_containers(uid))?;
        let within = containers.iter().map(|c| (c.id.clone(), c.pod_sandbox_id.clone())).collect();
        let statuses = containers.iter().map(|container| self.container_status(container, known));
        let sandbox_statuses = sandboxes.iter().map(|sandbox| self.sandbox_status(&sandbox.id));
        let (mut containers, mut sandboxes) = tokio::try_join!(
            async {
                Ok::<_, Status>(try_join_all(statuses).await?.into_iter().flatten().collect::<Vec<_>>())
            },
            async { Ok(try_join_all(sandbox_statuses).await?.into_iter().flatten().collect::<Vec<_>>()) }
        )?;
        containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        Ok(Observed { uid: uid.to_owned(), sandboxes, containers, within })
    }

    async fn list_sandboxes(&self, uid: &str) -> Answer<Vec<cri::PodSandbox>> {
        let filter = cri::PodSandboxFilter { label_selector: of_pod(uid), ..Default::default() };
        let request = cri::ListPodSandboxRequest { filter: Some(filter) };
        Ok(within(PATIENCE, self.containers().list_pod_sandbox(request)).await?.items)
    }

    async fn list_containers(&self, uid: &str) -> Answer<Vec<cri::Container>> {
        let filter = cri::ContainerFilter { label_selector: of_pod(uid), ..Default::default() };
        let request = cri::ListContainersRequest { filter: Some(filter) };
        Ok(within(PATIENCE, self.containers().list_containers(request)).await?.containers)
    }

    async fn container_status(
        &self,
        container: &cri::Container,
        known: Option<&Observed>,
    ) -> Answer<Option<cri::ContainerStatus>> {
        let known = known.and_then(|known| known.by_id(&container.id));
        let is_exited =
            |status: &&cri::ContainerStatus| status.state() == cri::ContainerState::ContainerExited;
        if let Some(known) = known.filter(is_exited).filter(|known| known.state == container.state) {
            return Ok(Some(known.clone()));
        }
        let request = cri::ContainerStatusRequest { container_id: container.id.clone(), verbose: false };
        match within(PATIENCE, self.containers().container_status(request)).await {
            Ok(answer) => Ok(answer.status),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// What containerd has of a sandbox; nothing when it has none.
    pub async fn sandbox_status(&self, id: &str) -> Answer<Option<cri::PodSandboxStatus>> {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        match within(PATIENCE, self.containers().pod_sandbox_status(request)).await {
            Ok(answer) => Ok(answer.status),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// All pods that containerd has sandboxes or containers of.
    pub async fn find_pods(&self) -> Answer<Vec<Found>> {
        let mut client = self.containers();
        let sandboxes =
            within(PATIENCE, client.list_pod_sandbox(cri::ListPodSandboxRequest::default())).await?;
        let containers =
            within(PATIENCE, client.list_containers(cri::ListContainersRequest::default())).await?;
        let mut found = BTreeMap::new();
        for pod in sandboxes.items.iter().filter_map(|sandbox| Found::of(&sandbox.labels)) {
            found.insert(pod.uid.clone(), pod);
        }
        for container in &containers.containers {
            if let Some(pod) = Found::of(&container.labels) {
                found.entry(pod.uid.clone()).or_insert(pod).add(container);
            }
        }
        Ok(found.into_values().collect())
    }

    /// The pod whose container or sandbox has this id.
    pub async fn owner_of(&self, id: &str) -> Answer<Option<String>> {
        let request = cri::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let labels = match within(PATIENCE, self.containers().container_status(request)).await {
            Ok(answer) => answer.status.map(|status| status.labels),
            Err(status) if status.code() == Code::NotFound => {
                self.sandbox_status(id).await?.map(|status| status.labels)
            }
            Err(status) => return Err(status),
        };
        Ok(labels.and_then(|mut labels| labels.remove(labels::POD_UID)))
    }

    /// Makes a sandbox and gives its id.
    pub async fn run_sandbox(&self, config: cri::PodSandboxConfig, handler: String) -> Answer<String> {
        let request = cri::RunPodSandboxRequest { config: Some(config), runtime_handler: handler };
        Ok(within(SANDBOX_PATIENCE, self.containers().run_pod_sandbox(request)).await?.pod_sandbox_id)
    }

    /// Ends a sandbox with all that runs in it, and gives back its address.
    pub async fn stop_sandbox(&self, id: &str) -> Answer<()> {
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        unless_gone(within(PATIENCE, self.containers().stop_pod_sandbox(request)).await.map(drop))
    }

    /// Removes a sandbox with its containers.
    pub async fn remove_sandbox(&self, id: &str) -> Answer<()> {
        let request = cri::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        unless_gone(within(PATIENCE, self.containers().remove_pod_sandbox(request)).await.map(drop))
    }

    /// Makes a container and gives its id.
    pub async fn create_container(
        &self,
        sandbox: &str,
        config: cri::ContainerConfig,
        sandbox_config: cri::PodSandboxConfig,
    ) -> Answer<String> {
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        Ok(within(PATIENCE, self.containers().create_container(request)).await?.container_id)
    }

    /// Gives a running container other resources.
    pub async fn update_container(&self, id: &str, linux: cri::LinuxContainerResources) -> Answer<()> {
        let request = cri::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(linux),
            ..Default::default()
        };
        within(PATIENCE, self.containers().update_container_resources(request)).await.map(drop)
    }

    pub async fn start_container(&self, id: &str) -> Answer<()> {
        let request = cri::StartContainerRequest { container_id: id.to_owned() };
        within(PATIENCE, self.containers().start_container(request)).await.map(drop)
    }

    /// Asks a container to stop and kills it after `grace` seconds; returns when it has stopped.
    pub async fn stop_container(&self, id: &str, grace: u64) -> Answer<()> {
        let timeout = i64::try_from(grace).unwrap_or(i64::MAX);
        let request = cri::StopContainerRequest { container_id: id.to_owned(), timeout };
        let patience = PATIENCE + Duration::from_secs(grace);
        unless_gone(within(patience, self.containers().stop_container(request)).await.map(drop))
    }

    /// Removes a container, killed first if it runs.
    pub async fn remove_container(&self, id: &str) -> Answer<()> {
        let request = cri::RemoveContainerRequest { container_id: id.to_owned() };
        unless_gone(within(PATIENCE, self.containers().remove_container(request)).await.map(drop))
    }
}
