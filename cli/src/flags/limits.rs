//! `--request-timeout` and its like: what the server grants its clients.

use super::duration;
use apiserver::Limits as Granted;
use clap::Args;
use std::time::Duration;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// How long a request may take that is not a watch or a stream
    #[arg(long, value_name = "DURATION", default_value = "1m0s", value_parser = duration)]
    pub request_timeout: Duration,
    /// How long a watch lasts that sets no time: from so many seconds to twice as many
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    pub min_request_timeout: u64,
    /// How often a client of HTTP/2 is asked to connect anew, from 0 to 0.02
    #[arg(long, value_name = "CHANCE", default_value_t = 0.0, value_parser = chance)]
    pub goaway_chance: f64,
    /// Requests at once on a connection of HTTP/2 [default: 250]
    #[arg(
        long = "http2-max-streams-per-connection",
        value_name = "STREAMS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub http2_max_streams_per_connection: u32,
    /// How long a server that was told to stop goes on serving, but says that it is not ready
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub shutdown_delay_duration: Duration,
}

fn chance(text: &str) -> Result<f64, String> {
    let chance = text.parse::<f64>().ok().filter(|chance| (0.0..=0.02).contains(chance));
    chance.ok_or_else(|| "--goaway-chance can not be less than 0 or greater than 0.02".to_owned())
}

impl Limits {
    /// What the server is told.
    pub fn granted(&self) -> Result<Granted, String> {
        if self.request_timeout.is_zero() {
            return Err("--request-timeout must not be 0".to_owned());
        }
        let defaults = Granted::default();
        let streams = self.http2_max_streams_per_connection;
        Ok(Granted {
            request_timeout: self.request_timeout,
            min_request_timeout_secs: self.min_request_timeout,
            goaway_chance: self.goaway_chance,
            streams_per_connection: if streams == 0 { defaults.streams_per_connection } else { streams },
        })
    }
}
