//! Who is calling: the only place that makes a `Caller`.
