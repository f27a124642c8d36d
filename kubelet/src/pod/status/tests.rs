//! Cases of statuses.
