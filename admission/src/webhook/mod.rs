//! Webhooks: servers elsewhere that change or judge objects, by Mutating- and ValidatingWebhookConfigurations.
//!
//! `configuration` keeps the webhooks compiled, in their order; `matching` says which of them a change concerns, and in
//! which version; `call` asks one and reads its answer; `dispatch` asks them all, one after another where they change
//! the object, side by side where they only judge. `review` has the AdmissionReview on its way out and back.

mod call;
mod configuration;
mod credentials;
pub mod dispatch;
mod matching;
mod reinvocation;
mod remote;
mod review;
mod rule;
mod server_error;

pub use call::Way;
pub use configuration::{Hook, Hooks};
pub use matching::is_exempt;
pub use reinvocation::Reinvocation;

use crate::plugins::Settings;

/// The way to webhooks, with the credentials of the plugin's configuration.
pub fn way(settings: &Settings, plugin: &str) -> Result<Way, String> {
    let credentials = credentials::Credentials::read(settings, plugin)?;
    Ok(Way { network: settings.network.clone(), reader: settings.reader.clone(), credentials })
}
