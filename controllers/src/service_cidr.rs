//! service-cidrs-controller: a range of service addresses is ready, and stays as long as addresses in it would be left
//! without a range.

use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, conditions, owner, resources, status};
use api::{Value, tree};
use client::{Client, EventKind, Informer, WorkQueue, key_of};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const HELD: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
/// How long whoever gives out addresses has to see that a range goes.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Controller {
    client: Client,
    ranges: Informer,
    clock: Clock,
    queue: WorkQueue,
}

pub fn start(context: &Context<'_>) {
    let controller = Controller {
        client: context.client.clone(),
        ranges: context.informer(&resources::service_cidrs()),
        clock: context.clock(),
        queue: WorkQueue::new(),
    };
    // Each range may depend on each other.
    let (ranges, queue) = (controller.ranges.cache().clone(), controller.queue.clone());
    controller.ranges.on_change(Arc::new(move |_, new| {
        new.into_iter().for_each(|range| queue.add(key_of(range)));
        add_leaving(&ranges, &queue);
    }));
    let (ranges, queue) = (controller.ranges.cache().clone(), controller.queue.clone());
    context.heads.listen(Arc::new(move |resource, event| {
        if resource.plural == "ipaddresses" && event.kind == EventKind::Deleted {
            add_leaving(&ranges, &queue);
        }
    }));
    let (queue, ranges) = (controller.queue.clone(), controller.ranges.clone());
    reconcile::run_on("service-cidr", &queue, 1, &[&ranges], move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

fn add_leaving(ranges: &client::Cache, queue: &WorkQueue) {
    ranges
        .list("")
        .iter()
        .filter(|range| owner::is_leaving(range))
        .for_each(|range| queue.add(key_of(range)));
}

/// An address and the length of its prefix.
type Prefix = (IpAddr, u32);

fn prefixes(range: &Value) -> Vec<Prefix> {
    let parse = |text: &str| {
        let (address, length) = text.split_once('/')?;
        Some((address.parse().ok()?, length.parse().ok()?))
    };
    range.list_at(&["spec", "cidrs"]).iter().filter_map(|v| parse(v.as_str()?)).collect()
}

/// The bits of an address, counted from the left of 128.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn contains((network, length): Prefix, address: IpAddr) -> bool {
    let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
    network.is_ipv4() == address.is_ipv4() && bits(network) & mask == bits(address) & mask
}

/// True when none of `addresses` would be without a range.
fn may_go(range: &Value, others: &[Arc<Value>], addresses: &[IpAddr]) -> bool {
    let others: Vec<Prefix> = others
        .iter()
        .filter(|other| owner::uid(other) != owner::uid(range) && !owner::is_leaving(other))
        .flat_map(|other| prefixes(other))
        .collect();
    let ours = prefixes(range);
    let inside = addresses.iter().filter(|address| ours.iter().any(|p| contains(*p, **address)));
    inside.into_iter().all(|address| others.iter().any(|p| contains(*p, *address)))
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(range) = self.ranges.cache().get(key) else { return Ok(()) };
        let held = range.list_at(&["metadata", "finalizers"]).iter().any(|f| f.as_str() == Some(FINALIZER));
        if !owner::is_leaving(&range) {
            if !held {
                // The event of this write brings the range back here.
                return self.write_finalizer(&range, true).await;
            }
            return self.say(&range, "True", "", "Kubernetes Service CIDR is ready").await;
        }
        if !held {
            return Ok(());
        }
        let list = self.client.list(&resources::ip_addresses(), "", "").await?;
        let names = list.list_at(&["items"]).iter().map(|item| item.str_at(&["metadata", "name"]));
        let addresses: Vec<IpAddr> = names.filter_map(|name| name.parse().ok()).collect();
        if !may_go(&range, &self.ranges.cache().list(""), &addresses) {
            return self.say(&range, "False", "Terminating", HELD).await;
        }
        let since = api::time::parse(range.str_at(&["metadata", "deletionTimestamp"])).unwrap_or_default();
        let left = GRACE.saturating_sub(self.clock.now().since(since));
        if !left.is_zero() {
            self.queue.add_after(key, left);
            return Ok(());
        }
        self.write_finalizer(&range, false).await
    }

    async fn write_finalizer(&self, range: &Value, wanted: bool) -> Outcome {
        let mut finalizers = range.list_at(&["metadata", "finalizers"]).to_vec();
        finalizers.retain(|f| f.as_str() != Some(FINALIZER));
        if wanted {
            finalizers.push(FINALIZER.into());
        }
        let meta = |field: &str| range.str_at(&["metadata", field]);
        let mut patch = tree!({"metadata": {"resourceVersion": meta("resourceVersion")}});
        patch.set(&["metadata", "finalizers"], Value::List(finalizers));
        unless_gone(
            self.client.merge_patch(&resources::service_cidrs(), "", meta("name"), "", &patch).await,
        )?;
        Ok(())
    }

    async fn say(&self, range: &Value, state: &str, reason: &str, message: &str) -> Outcome {
        let mut list = range.list_at(&["status", "conditions"]).to_vec();
        let now = self.clock.now().rfc3339();
        if conditions::set(&mut list, conditions::new("Ready", state, &now, reason, message)) {
            let mut wanted = range.get("status").cloned().unwrap_or_else(Value::map);
            wanted.set(&["conditions"], Value::List(list));
            status::write(&self.client, &resources::service_cidrs(), range, wanted).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(uid: &str, cidr: &str) -> Arc<Value> {
        Arc::new(tree!({"metadata": {"uid": uid}, "spec": {"cidrs": [cidr]}}))
    }

    #[test]
    fn a_range_goes_when_its_addresses_are_in_another_one() {
        let (small, big, other) =
            (range("a", "10.0.1.0/24"), range("b", "10.0.0.0/16"), range("c", "fd00::/64"));
        let inside = ["10.0.1.7".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert!(may_go(&small, &[small.clone(), big.clone()], &inside));
        assert!(!may_go(&small, &[small.clone(), other], &inside));
        assert!(may_go(&small, std::slice::from_ref(&small), &["10.0.2.1".parse().unwrap()]));
        assert!(!may_go(&big, &[small, big.clone()], &["10.0.2.1".parse().unwrap()]));
    }
}
