//! `--max-requests-inflight` and its like: how many requests may be at work, and how they share the server.

use clap::Args;
use std::num::NonZeroUsize;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Priority and fairness")]
pub struct Flow {
    /// Share the server by FlowSchemas and PriorityLevelConfigurations; otherwise the limits alone count
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub enable_priority_and_fairness: bool,
    /// Reads at work at once; with priority and fairness the sum of both limits counts
    #[arg(long, value_name = "NUMBER", default_value_t = 400)]
    pub max_requests_inflight: u32,
    /// Writes at work at once; 0 is no limit
    #[arg(long, value_name = "NUMBER", default_value_t = 200)]
    pub max_mutating_requests_inflight: u32,
}

impl Flow {
    /// What the server is to be told; `threads` is how many serve requests, if that was said.
    pub fn settings(&self, threads: Option<NonZeroUsize>) -> anyhow::Result<apiserver::FlowSettings> {
        let (reads, writes) = (self.max_requests_inflight, self.max_mutating_requests_inflight);
        let fair = self.enable_priority_and_fairness;
        anyhow::ensure!(
            !fair || reads > 0 || writes > 0,
            "--max-requests-inflight and --max-mutating-requests-inflight must add up to something positive"
        );
        let usual = apiserver::FlowSettings::default();
        Ok(apiserver::FlowSettings {
            max_requests: reads,
            max_mutating_requests: writes,
            fair,
            threads: threads.map_or(usual.threads, NonZeroUsize::get),
        })
    }
}
