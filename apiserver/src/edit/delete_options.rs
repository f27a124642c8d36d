//! `DeleteOptions`: from the body or the query, checked as upstream does.

use crate::body;
use crate::call::Call;
use crate::negotiate::Media;
use crate::query::{Query, dry_run, dry_run_fault};
use api::{Fault, Status, Value, json, proto, schema, yaml};
use bytes::Bytes;
use kinds::Propagation;

/// How to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace_secs: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub propagation: Option<String>,
    pub dry_run: bool,
}

impl DeleteOptions {
    pub fn read(call: &Call, bytes: &Bytes) -> Result<Self, Status> {
        let options =
            if bytes.is_empty() { Self::from_query(&call.query)? } else { Self::from_body(call, bytes)? };
        options.check()?;
        Ok(options)
    }

    fn from_query(query: &Query) -> Result<Self, Status> {
        let mut faults = Vec::new();
        let dry_run = dry_run(query, &mut faults);
        refuse(&faults)?;
        let text = |name: &str| query.get(name).filter(|t| !t.is_empty()).map(str::to_owned);
        Ok(DeleteOptions {
            grace_secs: query.integer("gracePeriodSeconds")?,
            uid: None,
            resource_version: None,
            orphan_dependents: query.has("orphanDependents").then(|| query.flag("orphanDependents")),
            propagation: text("propagationPolicy"),
            dry_run,
        })
    }

    fn from_body(call: &Call, bytes: &Bytes) -> Result<Self, Status> {
        let mut tree = tree(call, bytes)?;
        if call.trail.is_some() {
            audited(call, &mut tree);
        }
        Self::from_value(&tree)
    }

    /// From a tree of the type.
    pub fn from_value(tree: &Value) -> Result<Self, Status> {
        let values: Vec<&str> = tree.list_at(&["dryRun"]).iter().filter_map(Value::as_str).collect();
        if values.iter().any(|v| *v != "All") {
            refuse(&[dry_run_fault(&values)])?;
        }
        let text = |path: &[&str]| tree.at(path).and_then(Value::as_str).map(str::to_owned);
        Ok(DeleteOptions {
            grace_secs: tree.i64_at(&["gracePeriodSeconds"]),
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
            orphan_dependents: tree.get("orphanDependents").and_then(Value::as_bool),
            propagation: text(&["propagationPolicy"]),
            dry_run: !values.is_empty(),
        })
    }

    fn check(&self) -> Result<(), Status> {
        let mut faults = Vec::new();
        if let Some(policy) = &self.propagation {
            if self.orphan_dependents.is_some() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                faults.push(Fault::invalid("propagationPolicy", policy.as_str(), detail));
            }
            if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                faults.push(Fault::not_supported("propagationPolicy", policy.as_str(), &supported));
            }
        }
        refuse(&faults)
    }

    /// Sets the fields of a tree.
    pub fn write(&self, tree: &mut Value) {
        if let Some(secs) = self.grace_secs {
            tree.set(&["gracePeriodSeconds"], secs);
        }
        for (field, text) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if let Some(text) = text {
                tree.set(&["preconditions", field], text.as_str());
            }
        }
        if let Some(orphan) = self.orphan_dependents {
            tree.set(&["orphanDependents"], orphan);
        }
        if let Some(policy) = &self.propagation {
            tree.set(&["propagationPolicy"], policy.as_str());
        }
        if self.dry_run {
            tree.set(&["dryRun"], vec!["All".to_owned()]);
        }
    }

    /// What the caller wants to become of dependents, when it says.
    pub fn wanted_propagation(&self) -> Option<Propagation> {
        match (self.orphan_dependents, self.propagation.as_deref()) {
            (Some(true), _) | (None, Some("Orphan")) => Some(Propagation::Orphan),
            (Some(false), _) | (None, Some("Background")) => Some(Propagation::Background),
            (None, Some("Foreground")) => Some(Propagation::Foreground),
            _ => None,
        }
    }
}

/// The audit log shows the options with what they are.
fn audited(call: &Call, tree: &mut Value) {
    let version = match tree.str_at(&["apiVersion"]) {
        "" => "meta.k8s.io/v1".to_owned(),
        version => version.to_owned(),
    };
    schema::set_type_meta(tree, &version, "DeleteOptions");
    call.understood(tree);
}

fn refuse(faults: &[Fault]) -> Result<(), Status> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", faults))
}

fn tree(call: &Call, bytes: &Bytes) -> Result<Value, Status> {
    let media = body::media(&call.headers, call.offer())?;
    let Some(ty) = schema::builtin_type("", "v1", "DeleteOptions") else {
        return Err(Status::internal("DeleteOptions is not in the schema"));
    };
    let schema = schema::builtin();
    let raw = match media {
        Media::Json => json::parse(bytes)
            .map_err(|e| Status::bad_request(format!("couldn't get version/kind; json parse error: {e}")))?,
        Media::Yaml => yaml::parse(bytes).map_err(|e| Status::bad_request(e.to_string()))?,
        Media::Protobuf => {
            let envelope = proto::unwrap(bytes).map_err(|e| Status::bad_request(e.to_string()))?;
            check_type(envelope.api_version, envelope.kind)?;
            return proto::decode(schema, ty, envelope.raw).map_err(|e| Status::bad_request(e.to_string()));
        }
    };
    check_type(raw.str_at(&["apiVersion"]), raw.str_at(&["kind"]))?;
    let decoded = schema::decode(schema, ty, raw, false).map_err(|e| Status::bad_request(e.to_string()))?;
    Ok(decoded.value)
}

/// Options may leave out what they are, or be those of any group: clients send them in the group of what they delete.
fn check_type(api_version: &str, kind: &str) -> Result<(), Status> {
    const SCHEME: &str = "pkg/apis/meta/internalversion/scheme/register.go:27";
    let version = if api_version.is_empty() { "v1" } else { api_version };
    let kind = if kind.is_empty() { "DeleteOptions" } else { kind };
    if kind == "DeleteOptions" {
        return Ok(());
    }
    let message =
        format!("no kind \"{kind}\" is registered for version \"{version}\" in scheme \"{SCHEME}\"");
    Err(Status::bad_request(message))
}
