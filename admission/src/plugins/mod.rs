//! One file a plugin, listed in `PLUGINS` in upstream's order.

mod namespace_lifecycle;

use crate::review::{Reader, Review};
use api::Status;
use futures::future::BoxFuture;

/// An admission plugin. A plugin that only refuses leaves `admit` alone, one that only changes leaves `validate`.
pub trait Plugin: Send + Sync {
    /// Upstream's name, as in `--enable-admission-plugins`.
    fn name(&self) -> &'static str;

    fn on_by_default(&self) -> bool {
        true
    }

    /// Whether it has anything to say about this change; cheap.
    fn handles(&self, review: &Review<'_>) -> bool;

    /// May change `review.object`.
    fn admit<'a>(
        &'a self,
        _review: &'a mut Review<'_>,
        _reader: &'a dyn Reader,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// May only refuse.
    fn validate<'a>(
        &'a self,
        _review: &'a mut Review<'_>,
        _reader: &'a dyn Reader,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// All plugins, in upstream's order.
pub static PLUGINS: &[&dyn Plugin] = &[&namespace_lifecycle::NamespaceLifecycle];
