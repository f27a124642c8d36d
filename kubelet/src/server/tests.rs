//! The server, asked over TLS; an API server of the test's own says who may.
