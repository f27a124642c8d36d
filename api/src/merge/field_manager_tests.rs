//! Tests of field ownership on built-in kinds.

use super::*;
use crate::merge::{OneVersion, keep_times};
use crate::{Schema, json, schema, tree};

static NO_FIELDS: FieldSet = FieldSet::EMPTY;

pub(super) fn keeper<'s>(api_version: &'s str, kind: &'s str) -> FieldManager<'s, 'static> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let ty = schema::builtin_type(group, version, kind).unwrap();
    FieldManager {
        typing: Typing::of(schema::builtin(), ty),
        api_version,
        kind,
        subresource: "",
        reset_fields: &NO_FIELDS,
        versions: &OneVersion,
    }
}

fn config_map(data: Value) -> Value {
    tree!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

pub(super) fn apply(live: &Value, config: &Value, manager: &str, force: bool) -> Result<Value, Status> {
    let kind = config.str_at(&["kind"]);
    let keeper = keeper(config.str_at(&["apiVersion"]), kind);
    keeper
        .apply(live, config, manager, force, "2026-01-01T00:00:00Z")
        .map(|o| o.unwrap_or_else(|| live.clone()))
}

/// `manager operation fields` of each entry.
fn entries(object: &Value) -> Vec<String> {
    let text = |e: &Value| {
        let fields = json::to_string(e.get("fieldsV1").unwrap());
        format!("{} {} {fields}", e.str_at(&["manager"]), e.str_at(&["operation"]))
    };
    object.list_at(&PATH).iter().map(text).collect()
}

#[test]
fn a_create_owns_maps_and_their_keys() {
    let new =
        keeper("v1", "ConfigMap").update(None, config_map(tree!({"k": "v"})), "test", "2026-01-01T00:00:00Z");
    assert_eq!(entries(&new), [r#"test Update {"f:data":{".":{},"f:k":{}}}"#]);
}

#[test]
fn what_is_applied_no_more_goes_unless_another_owns_it() {
    let first = apply(&Value::map(), &config_map(tree!({"k1": "v1", "k2": "v2"})), "one", false).unwrap();
    let both = apply(&first, &config_map(tree!({"k2": "v2"})), "two", false).unwrap();
    assert_eq!(both.list_at(&PATH)[0].get("time"), None);
    let after = apply(&both, &config_map(tree!({"k1": "new"})), "one", false).unwrap();
    assert_eq!(after.get("data"), Some(&tree!({"k1": "new", "k2": "v2"})));
    let bare = tree!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let without = apply(&after, &bare, "one", false).unwrap();
    assert_eq!(without.get("data"), Some(&tree!({"k2": "v2"})));
    assert_eq!(entries(&without), [r#"two Apply {"f:data":{"f:k2":{}}}"#]);
    let gone = apply(&without, &bare, "two", false).unwrap();
    assert_eq!(gone.get("data"), None);
    assert_eq!(gone.at(&PATH), None);
}

#[test]
fn conflicts_name_owner_and_path_and_force_takes() {
    let first = apply(&Value::map(), &config_map(tree!({"k": "1", "j": "1"})), "one", false).unwrap();
    let other = config_map(tree!({"k": "2", "j": "2"}));
    let status = apply(&first, &other, "two", false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.j\n- .data.k"
    );
    assert_eq!((status.code, status.details.unwrap().causes[1].field.as_str()), (409, ".data.k"));
    let forced = apply(&first, &other, "two", true).unwrap();
    assert_eq!(entries(&forced), [r#"two Apply {"f:data":{"f:j":{},"f:k":{}}}"#]);
}

#[test]
fn updaters_are_named_with_version_and_subresource() {
    let mut keeper = keeper("v1", "ConfigMap");
    keeper.subresource = "status";
    let live = keeper.update(None, config_map(tree!({"k": "v"})), "edit", "2026-01-01T00:00:00Z");
    let status = apply(&live, &config_map(tree!({"k": "w"})), "one", false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"edit\" with subresource \"status\" using v1: .data.k"
    );
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let config = config_map(tree!({"k": "v"}));
    let keeper = keeper("v1", "ConfigMap");
    let live = keeper.apply(&Value::map(), &config, "one", false, "2026-01-01T00:00:00Z").unwrap().unwrap();
    assert_eq!(keeper.apply(&live, &config, "one", false, "2027-01-01T00:00:00Z").unwrap(), None);
    assert_eq!(keeper.update(Some(&live), live.clone(), "two", "2027-01-01T00:00:00Z"), live);
}

#[test]
fn what_does_not_fit_the_type_is_a_500_in_gos_words() {
    let text = |config: Value| {
        let status = apply(&Value::map(), &config, "one", false).unwrap_err();
        assert_eq!((status.code, status.reason), (500, ""));
        status.message
    };
    let start = "failed to create typed patch object (/a; /v1, Kind=ConfigMap): ";
    assert_eq!(text(config_map(tree!(["x"]))), format!("{start}.data: expected map, got &{{[x]}}"));
    assert_eq!(
        text(config_map(tree!({"k": 5}))),
        format!("{start}.data.k: expected string, got &value.valueUnstructured{{Value:5}}")
    );
    let mut config = config_map(tree!({}));
    config.set(&["metadata", "finalizers"], tree!(["a/b", "a/b"]));
    config.set(&["bogus"], 1);
    assert_eq!(
        text(config),
        format!(
            "{start}errors:\n  .metadata.finalizers: duplicate entries for key [=\"a/b\"]\n  .bogus: field not \
             declared in schema"
        )
    );
}

#[test]
fn bad_kinds_and_managed_fields_in_the_body_are_refused() {
    let keeper = keeper("v1", "ConfigMap");
    let refusal = |config: Value| keeper.apply(&Value::map(), &config, "one", false, "").unwrap_err().message;
    assert_eq!(refusal(tree!({})), "invalid object type: /, Kind=");
    assert_eq!(
        refusal(tree!({"apiVersion": "apps/v1", "kind": "X"})),
        "invalid object type: apps/v1, Kind=X"
    );
    let mut config = config_map(tree!({}));
    config.set(&PATH, tree!([]));
    assert_eq!(refusal(config), "metadata.managedFields must be nil");
}

pub(super) fn template(containers: Value) -> Value {
    tree!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"},
        "template": {"spec": {"containers": containers}}
    })
}

pub(super) fn names(object: &Value) -> Vec<&str> {
    object.list_at(&["template", "spec", "containers"]).iter().map(|c| c.str_at(&["name"])).collect()
}

#[test]
fn items_are_owned_by_key_and_ordered_by_the_last_applier() {
    let item = |name: &str| tree!({"name": name, "image": "i"});
    let list = |names: &[&str]| Value::List(names.iter().map(|n| item(n)).collect());
    let first = apply(&Value::map(), &template(list(&["a", "b", "c"])), "one", false).unwrap();
    let moved = apply(&first, &template(list(&["c", "a", "b"])), "one", false).unwrap();
    assert_eq!(names(&moved), ["c", "a", "b"]);
    let woven = apply(&moved, &template(list(&["x", "a", "y"])), "two", false).unwrap();
    assert_eq!(names(&woven), ["c", "x", "a", "b", "y"]);
    let less = apply(&woven, &template(list(&["b", "a"])), "one", false).unwrap();
    assert_eq!(names(&less), ["x", "b", "y", "a"]);
}

#[test]
fn missing_keys_take_their_defaults() {
    let ports = tree!([{"name": "c", "ports": [{"containerPort": 80}]}]);
    let live = apply(&Value::map(), &template(ports), "one", false).unwrap();
    assert!(
        entries(&live)[0]
            .contains(r#""k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}"#)
    );
    let twice =
        tree!([{"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]}]);
    assert!(
        apply(&live, &template(twice), "one", false)
            .unwrap_err()
            .message
            .ends_with(".template.spec.containers[name=\"c\"].ports: duplicate entries for key [containerPort=80,protocol=\"TCP\"]")
    );
}

#[test]
fn lists_and_maps_merged_as_one_value_are_owned_as_one() {
    let mut config = template(tree!([{"name": "c", "args": ["1", "2"]}]));
    config.set(&["template", "spec", "nodeSelector"], tree!({"a": "1"}));
    let live = apply(&Value::map(), &config, "one", false).unwrap();
    assert_eq!(
        entries(&live),
        [concat!(
            r#"one Apply {"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"#,
            r#""f:name":{}}},"f:nodeSelector":{}}}}"#
        )]
    );
    config.set(&["template", "spec", "nodeSelector"], tree!({"b": "1"}));
    let status = apply(&live, &config, "two", false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .template.spec.nodeSelector"
    );
}

#[test]
fn kubectl_takes_over_from_client_side_apply() {
    let mut created = config_map(tree!({"k": "v"}));
    let last = r#"{"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"name":"a"}}"#;
    created.set(&["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"], last);
    let keeper = keeper("v1", "ConfigMap");
    let live = keeper.update(None, created, "kubectl-client-side-apply", "2026-01-01T00:00:00Z");
    let config = config_map(tree!({"k": "w"}));
    assert_eq!(apply(&live, &config, "other", false).unwrap_err().code, 409);
    let after = apply(&live, &config, "kubectl", false).unwrap();
    assert_eq!(after.str_at(&["data", "k"]), "w");
    let annotation = ["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"];
    assert_eq!(
        after.str_at(&annotation),
        "{\"apiVersion\":\"v1\",\"data\":{\"k\":\"w\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}\n"
    );
}

#[test]
fn objects_without_entries_belong_to_nobody_until_applied_to() {
    let mut live = config_map(tree!({"k": "v"}));
    live.set(&["metadata", "uid"], "u");
    let keeper = keeper("v1", "ConfigMap");
    let mut new = live.clone();
    new.set(&["data", "k"], "w");
    assert_eq!(keeper.update(Some(&live), new, "x", "").at(&PATH), None);
    let status = apply(&live, &config_map(tree!({"k": "w"})), "one", false).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k"
    );
}

#[test]
fn requests_may_bring_reset_or_break_entries() {
    let keeper = keeper("v1", "ConfigMap");
    let mut live = config_map(tree!({"k": "v"}));
    live.set(&["metadata", "uid"], "u");
    let live = {
        let mut tracked = keeper.update(None, config_map(tree!({"k": "v"})), "one", "2026-01-01T00:00:00Z");
        tracked.set(&["metadata", "uid"], "u");
        tracked
    };
    let with = |value: Value| {
        let mut new = live.clone();
        new.set(&PATH, value);
        entries(&keeper.update(Some(&live), new, "two", "2026-01-01T00:00:00Z"))
    };
    assert!(with(tree!([])).is_empty());
    assert!(with(tree!([{}])).is_empty());
    assert_eq!(with(tree!([{"manager": "bad"}])), entries(&live));
    assert_eq!(with(Value::Null), entries(&live));
    let fake = tree!([{"manager": "fake", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                       "fieldsV1": {"f:data": {"f:k": {}}}}]);
    assert_eq!(with(fake), [r#"fake Apply {"f:data":{"f:k":{}}}"#]);
}

#[test]
fn the_oldest_updates_are_united_beyond_ten() {
    let keeper = keeper("v1", "ConfigMap");
    let mut live = Value::map();
    for i in 0..13 {
        let mut new = if i == 0 { config_map(tree!({})) } else { live.clone() };
        new.set(&["data", format!("k{i:02}").as_str()], "v");
        let now = format!("2026-01-01T00:00:{i:02}Z");
        live = keeper.update((i > 0).then_some(&live), new, &format!("m{i:02}"), &now);
    }
    let all = entries(&live);
    assert_eq!(all.len(), 10);
    assert_eq!(
        all[0],
        r#"ancient-changes Update {"f:data":{".":{},"f:k00":{},"f:k01":{},"f:k02":{},"f:k03":{}}}"#
    );
    assert_eq!(live.list_at(&PATH)[0].str_at(&["time"]), "2026-01-01T00:00:03Z");
}

#[test]
fn times_alone_are_no_change() {
    let old =
        keeper("v1", "ConfigMap").update(None, config_map(tree!({"k": "v"})), "one", "2026-01-01T00:00:00Z");
    let mut new = old.clone();
    if let Some(entry) = new.at_mut(&PATH).and_then(Value::as_list_mut).and_then(|l| l.first_mut()) {
        entry.set(&["time"], "2027-01-01T00:00:00Z");
    }
    let mut changed = new.clone();
    keep_times(&old, &mut new);
    assert_eq!(new, old);
    changed.set(&["data", "k"], "w");
    let kept = changed.clone();
    keep_times(&old, &mut changed);
    assert_eq!(changed, kept);
}

#[test]
fn custom_kinds_without_schema_merge_maps_and_replace_lists() {
    let keeper = FieldManager {
        typing: Typing::deduced(),
        api_version: "example.com/v1",
        kind: "Thing",
        subresource: "",
        reset_fields: &NO_FIELDS,
        versions: &OneVersion,
    };
    let thing = |spec: Value| tree!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec});
    let one = thing(tree!({"a": {"x": 1}, "l": [1]}));
    let live = keeper.apply(&Value::map(), &one, "one", false, "").unwrap().unwrap();
    let two = thing(tree!({"a": {"y": 2}, "l": [1]}));
    let live = keeper.apply(&live, &two, "two", false, "").unwrap().unwrap();
    assert_eq!(live.get("spec"), Some(&tree!({"a": {"x": 1, "y": 2}, "l": [1]})));
    let three = thing(tree!({"l": [2]}));
    let status = keeper.apply(&live, &three, "three", false, "").unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .spec.l\nconflicts with \"two\":\n- .spec.l"
    );
}

#[test]
fn a_create_does_not_own_what_is_always_there() {
    let item = tree!({"name": "c", "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {}});
    let mut object = template(tree!([item]));
    schema::normalise(schema::builtin(), schema::builtin_type("", "v1", "PodTemplate").unwrap(), &mut object)
        .unwrap();
    let new = keeper("v1", "PodTemplate").update(None, object, "x", "2026-01-01T00:00:00Z");
    assert_eq!(
        entries(&new),
        [concat!(
            r#"x Update {"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:name":{},"f:ports":{".":{},"#,
            r#""k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{}}}}}}"#
        )]
    );
}

#[test]
fn reset_fields_belong_to_nobody() {
    let status = FieldSet::of_fields(&[&["status"]]);
    let keeper = FieldManager { reset_fields: &status, ..keeper("apps/v1", "Deployment") };
    let object = tree!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1}, "status": {"replicas": 1, "observedGeneration": 3}
    });
    let new = keeper.update(None, object.clone(), "x", "2026-01-01T00:00:00Z");
    assert_eq!(entries(&new), [r#"x Update {"f:spec":{"f:replicas":{}}}"#]);
    let applied = keeper.apply(&Value::map(), &object, "x", false, "").unwrap().unwrap();
    assert_eq!(entries(&applied), [r#"x Apply {"f:spec":{"f:replicas":{}}}"#]);
}

/// `example.com/v1` calls `size` what `example.com/v2` calls `count`.
struct Renamed(Schema, [schema::TypeId; 2]);

impl Renamed {
    fn new() -> Self {
        let mut types = Schema::new();
        let mut add = |version: &str, field: &str| {
            let int = schema::Shape::Scalar(schema::Scalar::Int64);
            let spec = vec![schema::Field::new(field, int.clone()), schema::Field::new("other", int)];
            let spec = types.add(schema::Type {
                name: format!("Spec{version}").into(),
                fields: spec,
                ..Default::default()
            });
            let text = schema::Shape::Scalar(schema::Scalar::Str);
            let fields = vec![
                schema::Field::new("apiVersion", text.clone()),
                schema::Field::new("kind", text),
                schema::Field::new("metadata", schema::Shape::Any),
                schema::Field::new("spec", schema::Shape::Struct(spec)),
            ];
            types.add(schema::Type { name: version.into(), fields, ..Default::default() })
        };
        let ids = [add("v1", "size"), add("v2", "count")];
        Renamed(types, ids)
    }

    fn typed(&self, api_version: &str) -> Option<Typing<'_>> {
        let at = ["example.com/v1", "example.com/v2"].iter().position(|v| *v == api_version)?;
        Some(Typing::of(&self.0, self.1[at]))
    }
}

struct Both<'r>(&'r Renamed);

impl<'s> Versions<'s> for Both<'s> {
    fn typing(&self, api_version: &str) -> Option<Typing<'s>> {
        self.0.typed(api_version)
    }

    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        self.0.typed(api_version)?;
        let (from, to) = if api_version.ends_with("v2") { ("size", "count") } else { ("count", "size") };
        let mut object = object.clone();
        object.set(&["apiVersion"], api_version);
        if let Some(value) = object.unset(&["spec", from]) {
            object.set(&["spec", to], value);
        }
        Some(object)
    }

    fn reset_fields(&self, _: &str) -> Option<&FieldSet> {
        None
    }
}

#[test]
fn owners_keep_the_version_they_named_their_fields_in() {
    let renamed = Renamed::new();
    let both = Both(&renamed);
    let keeper = |api_version: &'static str| FieldManager {
        typing: renamed.typed(api_version).unwrap(),
        api_version,
        kind: "Thing",
        subresource: "",
        reset_fields: &NO_FIELDS,
        versions: &both,
    };
    let thing = |version: &str, spec: Value| tree!({"apiVersion": format!("example.com/{version}"), "kind": "Thing", "metadata": {"name": "t"}, "spec": spec});
    let one = thing("v1", tree!({"size": 1, "other": 1}));
    let live = keeper("example.com/v1").apply(&Value::map(), &one, "one", false, "").unwrap().unwrap();
    let live = both.convert(&live, "example.com/v2").unwrap();
    let v2 = keeper("example.com/v2");
    let status = v2.apply(&live, &thing("v2", tree!({"count": 2})), "two", false, "").unwrap_err();
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.size");
    let less = v2.apply(&live, &thing("v2", tree!({"count": 1})), "one", false, "").unwrap().unwrap();
    assert_eq!(less.get("spec"), Some(&tree!({"count": 1})));
    assert_eq!(entries(&less), [r#"one Apply {"f:spec":{"f:count":{}}}"#]);
}
