//! What the targets share: headers from bytes, a cluster in which everything exists, and a runtime whose time runs by
//! itself.

use api::{Follow, Later, Reader, Value, tree};
use authn::Headers;
use std::future::Future;
use std::sync::OnceLock;
use tokio::runtime::{Builder, Runtime};

/// Runs something to its end; waiting takes no time.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: OnceLock<Runtime> = const { OnceLock::new() };
    }
    let make = || Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    RUNTIME.with(|runtime| runtime.get_or_init(make).block_on(future))
}

/// Headers, one a line: `name: value`, any bytes.
#[derive(Default)]
pub struct Lines(Vec<(String, Vec<u8>)>);

impl Lines {
    pub fn read(bytes: &[u8]) -> Self {
        let header = |line: &[u8]| {
            let at = line.iter().position(|b| *b == b':')?;
            let name = std::str::from_utf8(&line[..at]).ok()?.trim().to_ascii_lowercase();
            Some((name, line[at + 1..].trim_ascii().to_vec()))
        };
        Lines(bytes.split(|b| *b == b'\n').filter_map(header).collect())
    }

    pub fn bearer(token: &[u8]) -> Self {
        Lines(vec![("authorization".to_owned(), [b"Bearer ", token].concat())])
    }
}

impl Headers for Lines {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).first().copied()
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.0.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }

    fn starting_with<'a>(&'a self, prefix: &str) -> Vec<(&'a str, &'a [u8])> {
        let prefix = prefix.to_ascii_lowercase();
        let named = self.0.iter().filter(|(found, _)| found.starts_with(&prefix));
        named.map(|(name, value)| (name.as_str(), value.as_slice())).collect()
    }
}

/// A cluster that has whatever it is asked for, with the uid `u`.
pub struct Everything;

fn thing(namespace: &str, name: &str) -> Value {
    tree!({"metadata": {"namespace": namespace, "name": name, "uid": "u"}, "spec": {"nodeName": "n"}})
}

impl Reader for Everything {
    fn get<'a>(&'a self, _: &'a str, _: &'a str, namespace: &'a str, name: &'a str) -> Later<'a, Option<Value>> {
        Box::pin(async move { Some(thing(namespace, name)) })
    }

    fn get_latest<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Value>> {
        self.get(group, resource, namespace, name)
    }

    fn list<'a>(&'a self, _: &'a str, _: &'a str, namespace: &'a str) -> Later<'a, Vec<Value>> {
        Box::pin(async move { vec![thing(namespace, "a")] })
    }

    fn follow<'a>(&'a self, _: &'static str, _: &'static str, _: Follow) -> Later<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
