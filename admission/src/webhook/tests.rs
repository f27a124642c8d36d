//! Webhooks as the chain sees them.
