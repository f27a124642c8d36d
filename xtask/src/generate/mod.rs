//! `cargo xtask generate`: the schema table of the built-in kinds, `api/src/schema/table.tsv`.
//!
//! Takes upstream's machine-readable facts (OpenAPI v2 and v3, protobuf fields, names of the sample objects)
//! and `facts/presence.tsv` (order and presence of fields, which no document tells), and writes one text table
//! that `api::schema::builtin` reads. The table's form is described in `api/src/schema/builtin.rs`.

mod facts;
mod openapi;
mod table;

use crate::workspace;
use anyhow::Context;
use clap::Args as ClapArgs;
use std::path::{Path, PathBuf};

/// Where the table goes, from the workspace's root.
const TABLE: &str = "api/src/schema/table.tsv";
const PRESENCE: &str = "xtask/facts/presence.tsv";

/// Options of `generate`.
#[derive(ClapArgs)]
pub struct Args {
    /// Directory with upstream's facts: openapi-v2.json, openapi-v3/, proto-fields.json, objects/.
    #[arg(long, default_value = "../shared/upstream")]
    upstream: PathBuf,
    /// Only say whether the table is up to date.
    #[arg(long)]
    check: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let root = workspace::root();
    let table = generate(&root.join(&args.upstream))?;
    let path = root.join(TABLE);
    if args.check {
        let fresh = std::fs::read_to_string(&path)? == table;
        anyhow::ensure!(fresh, "{TABLE} is stale: run `cargo xtask generate`");
        return Ok(());
    }
    std::fs::write(&path, table).with_context(|| format!("writing {}", path.display()))
}

/// The table's text.
fn generate(upstream: &Path) -> anyhow::Result<String> {
    let presence = std::fs::read_to_string(workspace::root().join(PRESENCE))?;
    let mut types = facts::join(&facts::parse_presence(&presence)?, &read(upstream, "proto-fields.json")?)?;
    openapi::add_v2(&mut types, &read(upstream, "openapi-v2.json")?);
    for document in openapi_v3(upstream)? {
        openapi::add_defaults(&mut types, &document);
    }
    openapi::add_kinds_of_objects(&mut types, &upstream.join("objects"))?;
    Ok(table::write(&types))
}

fn openapi_v3(upstream: &Path) -> anyhow::Result<Vec<serde_json::Value>> {
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(upstream.join("openapi-v3"))? {
        names.push(entry?.path());
    }
    names.sort();
    names.iter().map(|path| read_json(path)).collect()
}

fn read(upstream: &Path, name: &str) -> anyhow::Result<serde_json::Value> {
    read_json(&upstream.join(name))
}

fn read_json(path: &Path) -> anyhow::Result<serde_json::Value> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("parsing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_what_upstreams_facts_give() {
        let upstream = workspace::root().join("../shared/upstream");
        if !upstream.exists() {
            println!("skipped: no facts at {}", upstream.display());
            return;
        }
        let committed = std::fs::read_to_string(workspace::root().join(TABLE)).unwrap();
        assert!(generate(&upstream).unwrap() == committed, "stale: run `cargo xtask generate`");
    }
}
