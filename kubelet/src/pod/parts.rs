//! What workers work with.

use crate::container::Context;
use crate::hooks::{Hooks, field_path};
use crate::images::Images;
use crate::node::Node;
use crate::pods::Pods;
use crate::probes::Probes;
use crate::{Runtime, Settings};
use api::Value;
use client::{Client, Recorder};
use containerd_client::tonic::Status;
use std::net::IpAddr;
use std::sync::Arc;
use stdx::Time;

/// What all workers share.
pub struct Parts {
    pub settings: Arc<Settings>,
    pub client: Client,
    pub recorder: Recorder,
    pub runtime: Runtime,
    pub pods: Pods,
    pub context: Context,
    pub images: Arc<Images>,
    pub node: Node,
    pub probes: Probes,
    pub hooks: Hooks,
    pub admitted: super::admission::Admitted,
}

impl Parts {
    pub fn now(&self) -> Time {
        self.settings.clock.now()
    }

    /// The addresses of the node.
    pub fn host_ips(&self) -> Vec<IpAddr> {
        let told = self.settings.node_ip.into_iter().collect::<Vec<_>>();
        if !told.is_empty() {
            return told;
        }
        let Some(node) = (self.context.node)() else { return told };
        let internal = node.list_at(&["status", "addresses"]).iter();
        let internal = internal.filter(|address| address.str_at(&["type"]) == "InternalIP");
        internal.filter_map(|address| address.str_at(&["address"]).parse().ok()).collect()
    }

    /// Says something about a pod.
    pub fn say(&self, pod: &Value, ty: &'static str, reason: &str, message: &str) {
        self.recorder.event(pod, ty, reason, message);
    }

    /// Says something about a container. Its id, with which messages would all differ, becomes its name.
    pub fn say_of(&self, pod: &Value, name: &str, id: &str, ty: &'static str, reason: &str, message: &str) {
        let message = if id.is_empty() { message.to_owned() } else { message.replace(id, name) };
        self.recorder.part_event(pod, &field_path(pod, name), ty, reason, &message);
    }
}

/// A refusal as Go prints it.
pub fn rpc_error(status: &Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}
