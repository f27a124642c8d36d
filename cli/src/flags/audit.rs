//! `--audit-policy-file` and its like: what is audited, and where it is told.

use super::duration;
use api::Network;
use apiserver::audit::{
    Audit as Room, BatchSettings, Format, LogSettings, Mode, Settings, SinkSettings, Truncate,
    WebhookSettings,
};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stdx::Clock;

const BYTES_PER_MEGABYTE: u64 = 1024 * 1024;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Audit")]
pub struct Audit {
    /// The policy: which requests are told, and how much of them
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// Tell them to this file; - is standard output
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub audit_log_path: Option<PathBuf>,
    /// The form of a line: json or legacy
    #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = format)]
    pub audit_log_format: Format,
    /// Days to keep old files; 0 for ever
    #[arg(long, value_name = "DAYS", default_value_t = 366)]
    pub audit_log_maxage: u64,
    /// Old files to keep; 0 for all
    #[arg(long, value_name = "FILES", default_value_t = 100)]
    pub audit_log_maxbackup: usize,
    /// Megabytes after which another file is begun; 0 for never
    #[arg(long, value_name = "MEGABYTES", default_value_t = 100)]
    pub audit_log_maxsize: u64,
    /// Compress old files
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub audit_log_compress: bool,
    /// The version of events in the log
    #[arg(long, value_name = "VERSION", default_value = "audit.k8s.io/v1", value_parser = ["audit.k8s.io/v1"])]
    pub audit_log_version: String,
    /// batch, blocking (a request waits for its line) or blocking-strict (or fails)
    #[arg(long, value_name = "MODE", default_value = "blocking", value_parser = mode)]
    pub audit_log_mode: Mode,
    /// Events that may wait, in batch mode
    #[arg(long, value_name = "EVENTS", default_value_t = 10_000, value_parser = positive)]
    pub audit_log_batch_buffer_size: usize,
    /// Drop bodies from events that are too large
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub audit_log_truncate_enabled: bool,
    /// Bytes of an event after which it is too large
    #[arg(long, value_name = "BYTES", default_value_t = 102_400, value_parser = positive)]
    pub audit_log_truncate_max_event_size: usize,
    /// Bytes of a batch after which it is split
    #[arg(long, value_name = "BYTES", default_value_t = 10_485_760, value_parser = positive)]
    pub audit_log_truncate_max_batch_size: usize,
    #[command(flatten)]
    pub webhook: AuditWebhook,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Audit")]
pub struct AuditWebhook {
    /// Tell them to the server that this kubeconfig names
    #[arg(long, value_name = "FILE")]
    pub audit_webhook_config_file: Option<PathBuf>,
    /// The pause after the first failure
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration,
          alias = "audit-webhook-batch-initial-backoff")]
    pub audit_webhook_initial_backoff: Duration,
    /// The version of events for the webhook
    #[arg(long, value_name = "VERSION", default_value = "audit.k8s.io/v1", value_parser = ["audit.k8s.io/v1"])]
    pub audit_webhook_version: String,
    /// batch, blocking or blocking-strict
    #[arg(long, value_name = "MODE", default_value = "batch", value_parser = mode)]
    pub audit_webhook_mode: Mode,
    /// Events that may wait
    #[arg(long, value_name = "EVENTS", default_value_t = 10_000, value_parser = positive)]
    pub audit_webhook_batch_buffer_size: usize,
    /// Events told together, at most
    #[arg(long, value_name = "EVENTS", default_value_t = 400, value_parser = positive)]
    pub audit_webhook_batch_max_size: usize,
    /// How long a batch waits to become full
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub audit_webhook_batch_max_wait: Duration,
    /// Whether batches have a greatest rate
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub audit_webhook_batch_throttle_enable: bool,
    /// Batches a second
    #[arg(long, value_name = "RATE", default_value_t = 10.0, value_parser = rate)]
    pub audit_webhook_batch_throttle_qps: f32,
    /// Batches at once after a pause
    #[arg(long, value_name = "BATCHES", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_webhook_batch_throttle_burst: u32,
    /// Drop bodies from events that are too large
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub audit_webhook_truncate_enabled: bool,
    /// Bytes of an event after which it is too large
    #[arg(long, value_name = "BYTES", default_value_t = 102_400, value_parser = positive)]
    pub audit_webhook_truncate_max_event_size: usize,
    /// Bytes of a batch after which it is split
    #[arg(long, value_name = "BYTES", default_value_t = 10_485_760, value_parser = positive)]
    pub audit_webhook_truncate_max_batch_size: usize,
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "json" => Ok(Format::Json),
        "legacy" => Ok(Format::Legacy),
        _ => Err("it is json or legacy".to_owned()),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    let known = Mode::ALL.into_iter().find(|mode| mode.as_str() == text);
    known.ok_or_else(|| format!("it is {}", Mode::ALL.map(Mode::as_str).join(", ")))
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "it is a positive number".to_owned())
}

fn rate(text: &str) -> Result<f32, String> {
    let rate = text.parse::<f32>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "it is a positive number".to_owned())
}

impl Audit {
    /// The audit that the flags ask for. Must be called within a tokio runtime.
    pub fn open(&self, network: Arc<dyn Network>, clock: Clock) -> Result<Option<Arc<Room>>, String> {
        Room::open(Settings {
            policy: self.audit_policy_file.as_deref(),
            log: self.log()?,
            webhook: self.webhook.settings(network)?,
            clock,
        })
    }

    fn log(&self) -> Result<Option<LogSettings>, String> {
        let Some(path) = &self.audit_log_path else { return Ok(None) };
        let truncate = truncate(
            "log",
            self.audit_log_truncate_enabled,
            self.audit_log_truncate_max_event_size,
            self.audit_log_truncate_max_batch_size,
        )?;
        Ok(Some(LogSettings {
            path: path.clone(),
            format: self.audit_log_format,
            max_bytes: self.audit_log_maxsize.saturating_mul(BYTES_PER_MEGABYTE),
            max_age_days: self.audit_log_maxage,
            max_backups: self.audit_log_maxbackup,
            compress: self.audit_log_compress,
            sink: SinkSettings {
                mode: self.audit_log_mode,
                batch: BatchSettings {
                    buffer_size: self.audit_log_batch_buffer_size,
                    // A file gains nothing by batches.
                    max_size: 1,
                    max_wait: Duration::ZERO,
                    throttle: None,
                    concurrent: false,
                },
                truncate,
            },
        }))
    }
}

impl AuditWebhook {
    fn settings(&self, network: Arc<dyn Network>) -> Result<Option<WebhookSettings>, String> {
        let Some(config) = self.audit_webhook_config_file.clone() else { return Ok(None) };
        let truncate = truncate(
            "webhook",
            self.audit_webhook_truncate_enabled,
            self.audit_webhook_truncate_max_event_size,
            self.audit_webhook_truncate_max_batch_size,
        )?;
        let throttle = (self.audit_webhook_batch_throttle_qps, self.audit_webhook_batch_throttle_burst);
        Ok(Some(WebhookSettings {
            config,
            initial_backoff: self.audit_webhook_initial_backoff,
            network,
            sink: SinkSettings {
                mode: self.audit_webhook_mode,
                batch: BatchSettings {
                    buffer_size: self.audit_webhook_batch_buffer_size,
                    max_size: self.audit_webhook_batch_max_size,
                    max_wait: self.audit_webhook_batch_max_wait,
                    throttle: self.audit_webhook_batch_throttle_enable.then_some(throttle),
                    concurrent: true,
                },
                truncate,
            },
        }))
    }
}

fn truncate(
    plugin: &str,
    enabled: bool,
    max_event_bytes: usize,
    max_batch_bytes: usize,
) -> Result<Option<Truncate>, String> {
    if max_batch_bytes < max_event_bytes {
        return Err(format!(
            "invalid audit truncate {plugin} max batch size {max_batch_bytes}, must be greater than max event size ({max_event_bytes})"
        ));
    }
    Ok(enabled.then_some(Truncate { max_event_bytes, max_batch_bytes }))
}
