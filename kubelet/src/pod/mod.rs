//! One pod: what is observed of it, what is to be done about it, and what is said of it.

mod observed;

pub use observed::Observed;
