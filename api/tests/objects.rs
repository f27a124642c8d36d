//! Every kind of every version with every field filled, as upstream's serialisers wrote it: what we decode and
//! encode again must be the same bytes. Skipped, with a note, where the facts are not at hand.

#![allow(clippy::unwrap_used)]

use api::schema::{self, TypeId};
use api::{Value, json, proto, yaml};
use std::path::{Path, PathBuf};

/// Samples whose documents hold what a round trip through one type's structs does not change.
struct Sample {
    name: String,
    path: PathBuf,
    ty: TypeId,
}

fn samples() -> Vec<Sample> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/upstream/objects");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        println!("skipped: no sample objects at {}", dir.display());
        return Vec::new();
    };
    let mut samples: Vec<Sample> = entries.filter_map(|e| sample(&e.unwrap().path())).collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(samples.len() > 180, "only {} samples", samples.len());
    samples
}

fn sample(path: &Path) -> Option<Sample> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
    // What older releases' objects turn into has fields that this release's types do not.
    let (group_version, kind) = name.rsplit_once('.').filter(|(_, kind)| *kind != "after_roundtrip")?;
    let (group, version) = group_version.rsplit_once('.')?;
    let group = if group == "core" { "" } else { group };
    let ty = schema::builtin_type(group, version, kind);
    assert!(ty.is_some(), "no type for {name}");
    Some(Sample { path: path.to_owned(), ty: ty?, name })
}

impl Sample {
    fn text(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    fn decode(&self) -> Value {
        let decoded = schema::decode_json(schema::builtin(), self.ty, &self.text(), true).unwrap();
        assert!(decoded.strict.is_empty(), "{}: {:?}", self.name, decoded.strict);
        decoded.value
    }
}

/// Where two texts part, with some lines around.
fn difference(ours: &str, theirs: &str) -> Option<String> {
    let (mut a, mut b) = (ours.lines(), theirs.lines());
    let mut number = 1;
    loop {
        match (a.next(), b.next()) {
            (None, None) => return (ours != theirs).then(|| "line ends".to_owned()),
            (x, y) if x != y => return Some(format!("line {number}: {x:?} instead of {y:?}")),
            _ => number += 1,
        }
    }
}

fn report(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} samples differ:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn json_comes_back_as_it_was() {
    let mut faults = Vec::new();
    for sample in samples() {
        let ours = String::from_utf8(json::to_pretty(&sample.decode())).unwrap();
        let theirs = String::from_utf8(sample.text()).unwrap();
        if let Some(fault) = difference(&ours, theirs.trim_end()) {
            faults.push(format!("{}: {fault}", sample.name));
        }
    }
    report(faults);
}

#[test]
fn protobuf_comes_back_as_it_was() {
    let mut faults = Vec::new();
    for sample in samples() {
        let theirs = std::fs::read(sample.path.with_extension("pb")).unwrap();
        let envelope = proto::unwrap(&theirs).unwrap();
        let tree = sample.decode();
        let message = proto::encode(schema::builtin(), sample.ty, &tree);
        if proto::wrap(envelope.api_version, envelope.kind, &message) != theirs {
            let at = message.iter().zip(envelope.raw).take_while(|(a, b)| a == b).count();
            faults.push(format!("{}: encoding differs at byte {at} of {}", sample.name, message.len()));
        }
        let mut back = proto::decode(schema::builtin(), sample.ty, envelope.raw).unwrap();
        // `WatchEvent` has no kind of its own.
        if schema::builtin().get(sample.ty).field("kind").is_some() {
            schema::set_type_meta(&mut back, envelope.api_version, envelope.kind);
        }
        let (back, ours) = (json::to_pretty(&back), json::to_pretty(&tree));
        let texts = (String::from_utf8_lossy(&back), String::from_utf8_lossy(&ours));
        faults.extend(difference(&texts.0, &texts.1).map(|f| format!("{}: decoding: {f}", sample.name)));
    }
    report(faults);
}

#[test]
fn yaml_comes_back_as_it_was() {
    let mut faults = Vec::new();
    for sample in samples() {
        let theirs = std::fs::read(sample.path.with_extension("yaml")).unwrap();
        let tree = sample.decode();
        let written = yaml::to_string(&tree);
        let fault = difference(&written, &String::from_utf8_lossy(&theirs));
        faults.extend(fault.map(|f| format!("{}: writing: {f}", sample.name)));
        let (read, strict) = yaml::parse_tracking_duplicates(&theirs).unwrap();
        let read = schema::decode(schema::builtin(), sample.ty, read, true).unwrap();
        if !strict.is_empty() || !read.strict.is_empty() || read.value != tree {
            faults.push(format!("{}: reading differs", sample.name));
        }
    }
    report(faults);
}
