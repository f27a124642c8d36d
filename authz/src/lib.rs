//! May they: the only place that turns a `Caller` and what it asks for into a `Permit`.
//!
//! `Attributes` say what is asked (made from the address of the request), `Authorizer` asks the authorities in
//! the configuration, in order, and answers with a `Permit` or the exact 403.

mod always;
mod apiserver;
mod attributes;
mod authorizer;
mod configuration;
pub mod explain;
pub mod node;
mod permit;
mod privileged;
mod rbac;
mod reason;
mod webhook;

pub use attributes::Attributes;
pub use authorizer::{AUTHORITIES, Authority, Authorizer, Decision, FIRST, MakeAuthority, Ruling, Settings};
pub use configuration::{Configuration, MatchCondition, Mode, WebhookMode};
pub use node::node_name;
pub use permit::Permit;
pub use rbac::{PolicyRule, RuleList, Rules, place_of_role, uncovered};
pub use reason::Reason;
