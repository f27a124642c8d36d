//! Decoding against the built-in types.

use super::*;
use crate::schema::{builtin, builtin_type};
use crate::tree;

fn ty(group: &str, version: &str, kind: &str) -> TypeId {
    builtin_type(group, version, kind).unwrap()
}

fn pod(text: &str) -> Result<Decoded, DecodeError> {
    decode_json(builtin(), ty("", "v1", "Pod"), text.as_bytes(), true)
}

fn refusal(group: &str, kind: &str, text: &str) -> String {
    let from_text =
        decode_json(builtin(), ty(group, "v1", kind), text.as_bytes(), true).unwrap_err().to_string();
    let raw = json::parse(text.as_bytes()).unwrap();
    assert_eq!(decode(builtin(), ty(group, "v1", kind), raw, true).unwrap_err().to_string(), from_text);
    from_text
}

#[test]
fn objects_take_the_form_a_round_trip_through_structs_gives() {
    let text = r#"{"spec":{"containers":[{"image":"b","name":"a","ports":[],"resources":{"limits":{"memory":"1024Mi","cpu":0.5}},
        "env":[{"value":"","name":"x","valueFrom":null}]}],"hostNetwork":false,"terminationGracePeriodSeconds":0,"nope":1},
        "metadata":{"labels":{"b":"1","a":null},"name":"p","creationTimestamp":null,
        "deletionTimestamp":"2026-01-02T03:04:05+01:00"},"apiVersion":"v1","kind":"Pod"}"#;
    let decoded = pod(text).unwrap();
    let expected = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","deletionTimestamp":"2026-01-02T02:04:05Z","labels":{"a":"","b":"1"}},"spec":{"containers":[{"name":"a","image":"b","env":[{"name":"x"}],"resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}],"terminationGracePeriodSeconds":0},"status":{}}"#;
    assert_eq!(json::to_string(&decoded.value), expected);
    assert_eq!(decoded.strict, ["unknown field \"spec.nope\""]);
    let raw = json::parse(text.as_bytes()).unwrap();
    assert_eq!(json::to_string(&decode(builtin(), ty("", "v1", "Pod"), raw, true).unwrap().value), expected);
}

#[test]
fn unknown_and_duplicate_fields_are_told_in_order() {
    let text = r#"{"kind":"Pod","metadata":{"name":"a","name":"b","labelz":{},"labels":{"k":"1","k":"2"}},"metadata":{"uid":"u"},
        "spec":{"containers":[{"imagee":1},{"Image":""}]}}"#;
    let decoded = pod(text).unwrap();
    assert_eq!(
        decoded.strict,
        [
            "duplicate field \"metadata.name\"",
            "unknown field \"metadata.labelz\"",
            "duplicate field \"metadata.labels.k\"",
            "duplicate field \"metadata\"",
            "unknown field \"spec.containers[0].imagee\"",
            "unknown field \"spec.containers[1].Image\"",
        ]
    );
    let metadata = decoded.value.get("metadata").unwrap();
    assert_eq!(metadata, &tree!({"name": "b", "uid": "u", "labels": {"k": "2"}}));
}

#[test]
fn type_errors_read_as_gos() {
    for (kind, text, message) in [
        (
            "Pod",
            r#"{"spec":{"containers":[{"ports":[{"containerPort":"x"}]}]}}"#,
            "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "Pod",
            r#"{"spec":{"restartPolicy":5}}"#,
            "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            "Pod",
            r#"{"metadata":{"labels":{"a":5}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "Pod",
            r#"{"spec":{"volumes":[{"hostPath":{"path":[]}}]}}"#,
            "json: cannot unmarshal array into Go struct field HostPathVolumeSource.spec.volumes.VolumeSource.hostPath.path of type string",
        ),
        (
            "Pod",
            r#"{"metadata":{"creationTimestamp":5}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            "Pod",
            r#"{"spec":{"activeDeadlineSeconds":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64",
        ),
        (
            "Pod",
            r#"{"spec":{"priority":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            "Service",
            r#"{"spec":{"ports":[{"targetPort":true}]}}"#,
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        ("Secret", r#"{"data":{"a":"*"}}"#, "illegal base64 data at input byte 0"),
        (
            "Pod",
            r#"{"spec":{"overhead":{"cpu":"1x"}}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "DeleteOptions",
            r#"{"gracePeriodSeconds":"x"}"#,
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
        ),
    ] {
        assert_eq!(refusal("", kind, text), message);
    }
    let crd = r#"{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"items":{"maxLength":"x"}}}}]}}"#;
    assert_eq!(
        refusal("apiextensions.k8s.io", "CustomResourceDefinition", crd),
        "json: cannot unmarshal string into Go struct field \
         JSONSchemaProps.spec.versions.schema.openAPIV3Schema.items.maxLength of type int64"
    );
}

#[test]
fn a_syntax_error_outranks_a_type_error_before_it() {
    let error = pod(r#"{"metadata":{"creationTimestamp":5},"#).unwrap_err();
    assert_eq!(error.to_string(), "unexpected end of JSON input");
}

#[test]
fn zero_values_stay_where_structs_write_them() {
    let service =
        decode_json(builtin(), ty("", "v1", "Service"), br#"{"spec":{"ports":[{}]}}"#, false).unwrap();
    assert_eq!(
        json::to_string(&service.value),
        r#"{"metadata":{},"spec":{"ports":[{"port":0,"targetPort":0}]},"status":{"loadBalancer":{}}}"#
    );
    let role = ty("rbac.authorization.k8s.io", "v1", "Role");
    let role = decode_json(builtin(), role, br#"{"rules":[{}]}"#, false).unwrap();
    assert_eq!(json::to_string(&role.value), r#"{"metadata":{},"rules":[{"verbs":null}]}"#);
}

#[test]
fn kind_and_version_are_put_first() {
    let mut value = tree!({"metadata": {}, "kind": "X"});
    set_type_meta(&mut value, "v1", "Pod");
    assert_eq!(json::to_string(&value), r#"{"kind":"Pod","apiVersion":"v1","metadata":{}}"#);
}

#[test]
fn the_deepest_schemas_fit_on_a_small_stack() {
    let ty = ty("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let text = |levels: usize| {
        let schema = format!("{}{{}}{}", r#"{"properties":{"a":"#.repeat(levels), "}}".repeat(levels));
        format!(r#"{{"spec":{{"versions":[{{"schema":{{"openAPIV3Schema":{schema}}}}}]}}}}"#)
    };
    let mut value = decode_json(builtin(), ty, text(124).as_bytes(), true).unwrap().value;
    normalise(builtin(), ty, &mut value).unwrap();
    let bytes = crate::proto::encode(builtin(), ty, &value);
    assert_eq!(crate::proto::decode(builtin(), ty, &bytes).unwrap(), value);
    let refusal = decode_json(builtin(), ty, text(130).as_bytes(), true).unwrap_err().to_string();
    assert_eq!(refusal, "invalid character '{' exceeded max depth");
    let unknown = format!(r#"{{"other":{}{}}}"#, "[".repeat(9000), "]".repeat(9000));
    assert!(decode_json(builtin(), ty, unknown.as_bytes(), true).is_ok());
}

#[test]
fn stored_objects_forget_lists_without_items_that_are_always_written() {
    let forgotten = |kind: &str, mut value: Value| {
        forget_empty(builtin(), ty("", "v1", kind), &mut value);
        value
    };
    let range = tree!({"metadata": {"name": "a"}, "spec": {"limits": []}});
    assert_eq!(forgotten("LimitRange", range).at(&["spec", "limits"]), Some(&Value::Null));
    let pod = tree!({"spec": {"containers": [{"securityContext": {}}]}, "metadata": {"managedFields": [
        {"fieldsV1": {"f:spec": {}}}]}});
    assert_eq!(forgotten("Pod", pod.clone()), pod);
}
