//! Load against any API server by kubeconfig, so that two servers are measured in one run.

fn main() {}
