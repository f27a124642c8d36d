//! The official Python and JavaScript clients list, create and watch.

use std::process::Output;

use conformance::{Server, clients};

fn said_ok(output: &Output, server: &Server) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim() == "ok", "{out}\n{err}\nthe server:\n{}", server.log());
}

#[test]
fn the_python_client_lists_creates_and_watches() {
    let server = Server::start();
    if let Some(output) = clients::python(&server, "smoke.py") {
        said_ok(&output, &server);
    }
}

#[test]
fn the_javascript_client_lists_creates_and_watches() {
    let server = Server::start();
    if let Some(output) = clients::javascript(&server, "smoke.mjs") {
        said_ok(&output, &server);
    }
}
