//! The plugins in their order.

use crate::plugins::{PLUGINS, Plugin, Settings};
use crate::review::{Cluster, Review};
use api::Status;

/// The enabled plugins, in upstream's order.
pub struct Chain {
    plugins: Vec<Box<dyn Plugin>>,
}

impl Chain {
    /// The plugins that are on by default, with some added and some taken away by name. An unknown name is an error,
    /// and so is a bad configuration of a plugin that is on.
    pub fn new(settings: &Settings, enable: &[String], disable: &[String]) -> Result<Self, String> {
        let mut plugins = Vec::new();
        let mut unknown: Vec<&String> = enable.iter().chain(disable).collect();
        for make in PLUGINS {
            let plugin = make(settings)?;
            let name = plugin.name();
            unknown.retain(|n| *n != name);
            let named = |list: &[String]| list.iter().any(|n| n == name);
            if (plugin.on_by_default() || named(enable)) && !named(disable) {
                plugins.push(plugin);
            }
        }
        match unknown.first() {
            Some(name) => Err(format!("unknown admission plugin {name:?}")),
            None => Ok(Chain { plugins }),
        }
    }

    /// Lets every plugin change what is wanted; the first refusal ends it.
    pub async fn admit(&self, review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
        for plugin in &self.plugins {
            if plugin.handles(review) {
                plugin.admit(review, reader).await?;
            }
        }
        Ok(())
    }

    /// Lets every plugin refuse.
    pub async fn validate(&self, review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
        for plugin in &self.plugins {
            if plugin.handles(review) {
                plugin.validate(review, reader).await?;
            }
        }
        Ok(())
    }
}
