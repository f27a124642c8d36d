//! Places pods on nodes, as a client of the API server. (Filled by the issue on running pods.)
