//! `--leader-elect` and its like: control loops and the scheduler of several processes, and the addresses that nodes
//! get for their pods.

use super::{Store, duration};
use clap::Args;
use client::{Candidate, Timing};
use controllers::PodRange;
use std::time::Duration;
use stdx::{Clock, Ids};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Controllers and scheduler")]
pub struct ControllerManager {
    /// Run control loops and the scheduler only while no other process on the same store does [default: true with
    /// etcd, else false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub leader_elect: Option<bool>,
    /// How long a leader that is not heard of is waited for
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub leader_elect_lease_duration: Duration,
    /// How long a leader tries to stay one
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub leader_elect_renew_deadline: Duration,
    /// How long to wait between tries
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub leader_elect_retry_period: Duration,
    /// The addresses of pods; each node gets a part
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/16", value_parser = PodRange::parse)]
    pub cluster_cidr: PodRange,
}

impl Default for ControllerManager {
    fn default() -> Self {
        let Timing { lease, deadline, retry } = Timing::default();
        ControllerManager {
            leader_elect: Some(false),
            leader_elect_lease_duration: lease,
            leader_elect_renew_deadline: deadline,
            leader_elect_retry_period: retry,
            cluster_cidr: PodRange::default(),
        }
    }
}

impl ControllerManager {
    /// Who stands for election; nobody when this process is alone.
    ///
    /// # Errors
    /// When the times cannot be, in upstream's words.
    pub fn candidate(&self, store: &Store, clock: Clock) -> anyhow::Result<Option<Candidate>> {
        if !self.leader_elect.unwrap_or(matches!(store, Store::Etcd(_))) {
            return Ok(None);
        }
        let (lease, deadline, retry) = (
            self.leader_elect_lease_duration,
            self.leader_elect_renew_deadline,
            self.leader_elect_retry_period,
        );
        anyhow::ensure!(lease > deadline, "leaseDuration must be greater than renewDeadline");
        anyhow::ensure!(
            deadline > retry.mul_f64(1.2),
            "renewDeadline must be greater than retryPeriod*JitterFactor"
        );
        anyhow::ensure!(!retry.is_zero(), "retryPeriod must be greater than zero");
        let ids = Ids::system();
        let host = rustix::system::uname();
        let identity = format!("{}_{}", host.nodename().to_string_lossy(), ids.uuid());
        Ok(Some(Candidate { identity, timing: Timing { lease, deadline, retry }, clock, ids }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_on_an_etcd_elect_a_leader_and_others_need_none() {
        let etcd = Store::Etcd(vec!["http://127.0.0.1:2379".to_owned()]);
        let flags = ControllerManager { leader_elect: None, ..ControllerManager::default() };
        let elects =
            |flags: &ControllerManager, store| flags.candidate(store, Clock::system()).unwrap().is_some();
        assert!(elects(&flags, &etcd) && !elects(&flags, &Store::Memory));
        let told = ControllerManager { leader_elect: Some(true), ..flags.clone() };
        assert!(elects(&told, &Store::Memory));
        let wrong = ControllerManager { leader_elect_renew_deadline: Duration::from_secs(20), ..told };
        assert!(wrong.candidate(&etcd, Clock::system()).is_err());
    }
}
