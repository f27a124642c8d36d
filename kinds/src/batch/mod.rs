//! The group `batch`.

mod cron_job;
mod index_intervals;
mod job;
mod job_policy;
mod job_spec;
mod job_status;

use crate::Kind;
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(cron_job::CronJob::new()), Arc::new(job::Job::new())]
}
