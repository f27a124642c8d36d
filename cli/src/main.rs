//! The one binary: reads configuration, wires the rooms, starts and stops.

fn main() {}
