//! Messages and what surrounds them.

use super::*;
use crate::schema::{builtin, builtin_type, normalise};
use crate::{Value, json, tree};

fn round_trip(group: &str, version: &str, kind: &str, value: &Value) -> Vec<u8> {
    let ty = builtin_type(group, version, kind).unwrap();
    let mut value = value.clone();
    normalise(builtin(), ty, &mut value).unwrap();
    let bytes = encode(builtin(), ty, &value);
    let back = decode(builtin(), ty, &bytes).unwrap();
    assert_eq!(json::to_string(&back), json::to_string(&value));
    bytes
}

#[test]
fn values_that_are_no_pointers_are_written_even_when_zero() {
    let bytes = round_trip("", "v1", "ConfigMap", &tree!({"metadata": {"name": "a"}, "data": {"k": "v"}}));
    let metadata = b"\x0a\x11\x0a\x01a\x12\0\x1a\0\"\0*\x002\x008\0B\0";
    assert_eq!(bytes, [&metadata[..], b"\x12\x06\x0a\x01k\x12\x01v"].concat());
}

#[test]
fn the_special_types_keep_their_values() {
    round_trip(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        &tree!({"metadata": {}, "spec": {"group": "g", "names": {"plural": "p", "kind": "K"}, "scope": "",
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "default": {"a": [1, {"b": null}]}, "maximum": 1.5, "items": {"type": "string"},
                "additionalProperties": false, "properties": {"x": {"additionalProperties": {"type": "x"}}},
                "dependencies": {"d": ["a", "b"], "e": {"type": "y"}}}}}]},
            "status": {"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": null}}),
    );
    let user =
        tree!({"metadata": {}, "spec": {"extra": {"a": ["x", "y"], "b": []}}, "status": {"allowed": false}});
    round_trip("authorization.k8s.io", "v1", "SubjectAccessReview", &user);
    let resources = tree!({"groupVersion": "v1", "resources": [
        {"name": "pods", "singularName": "", "namespaced": true, "kind": "Pod", "verbs": ["get"]},
        {"name": "x", "singularName": "", "namespaced": true, "kind": "X", "verbs": null}]});
    round_trip("", "v1", "APIResourceList", &resources);
    let hpa = tree!({"metadata": {}, "spec": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": -1},
        "status": {"desiredReplicas": 0, "currentMetrics": null}});
    round_trip("autoscaling", "v2", "HorizontalPodAutoscaler", &hpa);
    let lease = tree!({"metadata": {}, "spec": {"renewTime": "2026-11-21T13:24:05.000123Z"}});
    round_trip("coordination.k8s.io", "v1", "Lease", &lease);
}

#[test]
fn envelopes_are_put_on_and_taken_off() {
    let bytes = wrap("apps/v1", "Deployment", b"raw");
    assert_eq!(bytes, b"k8s\0\n\x15\n\x07apps/v1\x12\x0aDeployment\x12\x03raw\x1a\0\"\0");
    let envelope = unwrap(&bytes).unwrap();
    assert_eq!((envelope.api_version, envelope.kind, envelope.raw), ("apps/v1", "Deployment", &b"raw"[..]));
    assert_eq!(
        unwrap(b"{}").unwrap_err().to_string(),
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    );
    assert_eq!(unwrap(b"k8s\0\x0a\x05").unwrap_err().to_string(), "unexpected EOF");
    assert_eq!(watch_frame("ADDED", b"obj"), b"\0\0\0\x0e\n\x05ADDED\x12\x05\n\x03obj");
}

#[test]
fn lists_and_revisions_are_spliced_without_decoding() {
    let ty = builtin_type("", "v1", "ConfigMap").unwrap();
    let list_ty = builtin_type("", "v1", "ConfigMapList").unwrap();
    let maps = ["a", "b"]
        .map(|name| tree!({"metadata": {"name": name, "uid": "u", "generation": 3}, "data": {"k": "v"}}));
    let items: Vec<Vec<u8>> =
        maps.iter().map(|m| set_resource_version(&encode(builtin(), ty, m), "42").unwrap()).collect();
    let meta_ty = builtin().find("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta").unwrap();
    let meta = encode(builtin(), meta_ty, &tree!({"resourceVersion": "99"}));
    let spliced = list(&meta, items.iter().map(Vec::as_slice));
    let mut whole = tree!({"metadata": {"resourceVersion": "99"}, "items": Value::List(maps.to_vec())});
    for item in whole.get_mut("items").and_then(Value::as_list_mut).unwrap() {
        item.set(&["metadata", "resourceVersion"], "42");
    }
    assert_eq!(spliced, encode(builtin(), list_ty, &whole));
}

#[test]
fn refusals_read_as_the_generated_codes() {
    let ty = builtin_type("", "v1", "ConfigMap").unwrap();
    let refusal = |bytes: &[u8]| decode(builtin(), ty, bytes).unwrap_err().to_string();
    assert_eq!(refusal(b"\x0a\x7f"), "unexpected EOF");
    assert_eq!(refusal(b"\x08\x01"), "proto: wrong wireType = 0 for field Metadata");
    assert_eq!(refusal(b"\x0c"), "proto: ConfigMap: wiretype end group for non-group");
    assert_eq!(refusal(b"\x02"), "proto: ConfigMap: illegal tag 0 (wire type 2)");
    assert_eq!(refusal(&[0xff; 11]), "proto: integer overflow");
}
