//! `pintle kubeconfig`: a new client certificate of the cluster's authority, in a kubeconfig on standard output.

use crate::data_dir;
use crate::flags::{DEFAULT_LISTEN, Kubeconfig};
use anyhow::Context;
use certs::{ADMIN_GROUP, ADMIN_USER, Pki};
use std::io::Write;
use stdx::Clock;

pub fn run(flags: &Kubeconfig) -> anyhow::Result<()> {
    let dir = flags.data.dir()?;
    let ca = Pki::read_ca(&data_dir::pki_dir(&dir))?
        .with_context(|| format!("no cluster in {}: start one with pintle up", dir.display()))?;
    let mut groups = flags.groups.clone();
    if flags.user == ADMIN_USER && groups.is_empty() {
        groups.push(ADMIN_GROUP.to_owned());
    }
    let credential = ca.issue_user(&flags.user, &groups, Clock::system().now())?;
    let server = flags.server.clone().or_else(|| data_dir::endpoint(&dir));
    let server = server.unwrap_or_else(|| format!("https://{DEFAULT_LISTEN}"));
    let text = certs::kubeconfig::render(&server, ca.certificate_pem(), &flags.user, &credential);
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the kubeconfig")
}
