//! The server as a library: a cluster inside your test, no ports, no files. (Filled by a later issue.)
