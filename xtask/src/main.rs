//! Generate, tidy, new-kind, new-plugin, set-up of tools.

fn main() {}
