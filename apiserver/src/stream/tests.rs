//! Streams through a server in the test: a backend of its own plays the kubelet.
