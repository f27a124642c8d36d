//! Runs pods on a node, as a client of the API server. (Filled by the issue on running pods.)
