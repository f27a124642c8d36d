//! A cluster of one node that runs containers, on a machine of its own: what most tests with containers begin with.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::{Kubectl, Machine, Server, wait};

/// See the head of the file.
pub struct Node {
    pub server: Server,
    pub kubectl: Kubectl,
    pub machine: Arc<Machine>,
}

impl Node {
    /// A cluster whose node is ready and has the image of the tests; `None`, with a note, where that cannot be.
    ///
    /// # Panics
    /// When the node is not ready in time.
    pub fn start(flags: &[&str]) -> Option<Self> {
        let machine = Machine::new()?;
        let server = Server::start_on(&machine, flags);
        let kubectl = Kubectl::new(&server)?;
        let node = Self { server, kubectl, machine };
        node.machine.import_busybox();
        node.wait_ready();
        Some(node)
    }

    /// Kills Pintle as a power cut would, and starts it again on the same machine and data, perhaps with other flags.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn crash_and_restart(self, flags: Option<&[&str]>) -> Self {
        let Self { server, machine, .. } = self;
        let server = match flags {
            Some(flags) => server.crash_and_restart_with(flags),
            None => server.crash_and_restart(),
        };
        let kubectl = Kubectl::new(&server).unwrap_or_else(|| panic!("kubectl is gone"));
        Self { server, kubectl, machine }
    }

    /// Waits until the node says that it is ready.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_ready(&self) {
        let path = "get nodes -o jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}";
        let ready = wait::until(60, || (self.kubectl.run(path).out == "True").then_some(()));
        let nodes = || self.kubectl.run("get nodes -o yaml").out;
        assert!(ready.is_some(), "the node is not ready: {}\n{}", nodes(), self.server.log());
    }

    /// A namespace of one's own; its default service account is there.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn namespace(&self, name: &str) {
        self.kubectl.ok(&format!("create namespace {name}"));
        let account = format!("get serviceaccount default -n {name}");
        assert!(
            wait::until(20, || (self.kubectl.run(&account).code == 0).then_some(())).is_some(),
            "{account}"
        );
    }

    /// One value of an object, by JSONPath.
    pub fn value(&self, object: &str, path: &str) -> String {
        self.kubectl.run(&format!("get {object} -o jsonpath={path}")).out
    }

    /// Waits until a value is as wanted.
    ///
    /// # Panics
    /// When it is not in time; the message has the object.
    pub fn expect(&self, object: &str, path: &str, wanted: &str) {
        let is = wait::until(60, || (self.value(object, path) == wanted).then_some(()));
        let shown = || self.kubectl.run(&format!("describe {object}")).out;
        assert!(
            is.is_some(),
            "{object} {path} is {:?}, not {wanted:?}:\n{}\n{}",
            self.value(object, path),
            shown(),
            self.server.log()
        );
    }

    /// A kubectl that goes on, such as `port-forward`; it ends with what is returned.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn background(&self, arguments: &str) -> Background {
        self.background_with(arguments, &[])
    }

    /// As `background`, with variables of the environment.
    ///
    /// # Panics
    /// As `background`.
    pub fn background_with(&self, arguments: &str, variables: &[(&str, &str)]) -> Background {
        let mut command: Command = self.kubectl.command(arguments);
        command.envs(variables.iter().copied());
        let file = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("no file: {error}"));
        let out = file.reopen().unwrap_or_else(|error| panic!("no file: {error}"));
        let child = command.stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).spawn();
        Background { child: child.unwrap_or_else(|error| panic!("cannot run kubectl: {error}")), file }
    }
}

/// A command at work.
pub struct Background {
    child: Child,
    file: tempfile::NamedTempFile,
}

impl Background {
    /// What it printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.file.path()).unwrap_or_default()
    }

    /// Waits until it printed something.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn expect(&self, text: &str) {
        let seen = wait::until(60, || self.printed().contains(text).then_some(()));
        assert!(seen.is_some(), "waited for {text:?}: {}", self.printed());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
