//! May they: the only place that turns `Caller` and `Target` into a `Permit`.
