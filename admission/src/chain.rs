//! The plugins in their order.

use crate::plugins::{PLUGINS, Plugin};
use crate::review::{Reader, Review};
use api::Status;

/// The enabled plugins, in upstream's order.
pub struct Chain {
    plugins: Vec<&'static dyn Plugin>,
}

impl Default for Chain {
    /// Every plugin of `PLUGINS` that is on by default.
    fn default() -> Self {
        Chain { plugins: PLUGINS.iter().copied().filter(|p| p.on_by_default()).collect() }
    }
}

impl Chain {
    /// The default plugins, with some added and some taken away by name. An unknown name is an error.
    pub fn with(enable: &[String], disable: &[String]) -> Result<Self, String> {
        let known = |name: &String| PLUGINS.iter().any(|p| p.name() == name);
        if let Some(unknown) = enable.iter().chain(disable).find(|n| !known(n)) {
            return Err(format!("unknown admission plugin {unknown:?}"));
        }
        let on = |p: &&'static dyn Plugin| {
            let named = |list: &[String]| list.iter().any(|n| n == p.name());
            (p.on_by_default() || named(enable)) && !named(disable)
        };
        Ok(Chain { plugins: PLUGINS.iter().copied().filter(on).collect() })
    }

    /// Lets every plugin change what is wanted; the first refusal ends it.
    pub async fn admit(&self, review: &mut Review<'_>, reader: &dyn Reader) -> Result<(), Status> {
        for plugin in &self.plugins {
            if plugin.handles(review) {
                plugin.admit(review, reader).await?;
            }
        }
        Ok(())
    }

    /// Lets every plugin refuse.
    pub async fn validate(&self, review: &mut Review<'_>, reader: &dyn Reader) -> Result<(), Status> {
        for plugin in &self.plugins {
            if plugin.handles(review) {
                plugin.validate(review, reader).await?;
            }
        }
        Ok(())
    }
}
