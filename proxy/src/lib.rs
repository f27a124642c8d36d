//! Makes services reachable on a node, and answers cluster DNS, as a client of the API server. (Filled by the issue on services.)
