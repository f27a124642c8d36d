//! One file per kind: what is special about it and nothing else, and the registry everything else is computed from.
