//! Tests of strategic merge patch on a small schema in the likeness of a pod template.

use super::*;
use crate::schema::{Scalar, Type};
use crate::tree;

fn merging(name: &str, items: Shape, key: &str) -> Field {
    let mut field = Field::new(name, Shape::List(Box::new(items)));
    field.patch_merge = true;
    field.patch_merge_key = key.into();
    field
}

fn string() -> Shape {
    Shape::Scalar(Scalar::Str)
}

fn spec() -> (Schema, TypeId) {
    let mut schema = Schema::new();
    let env = schema.add(Type {
        name: "io.v1.EnvVar".into(),
        fields: vec![Field::new("name", string()), Field::new("value", string())],
        ..Type::default()
    });
    let container = schema.add(Type {
        name: "io.v1.Container".into(),
        fields: vec![
            Field::new("name", string()),
            Field::new("image", string()),
            Field::new("args", Shape::List(Box::new(string()))),
            merging("env", Shape::Struct(env), "name"),
        ],
        ..Type::default()
    });
    let spec = schema.add(Type {
        name: "io.v1.Spec".into(),
        fields: vec![
            merging("containers", Shape::Struct(container), "name"),
            merging("finalizers", string(), ""),
            Field::new("labels", Shape::Map(Box::new(string()))),
            Field::new("strategy", Shape::Struct(env)),
        ],
        ..Type::default()
    });
    (schema, spec)
}

fn patched(object: Value, patch: Value) -> Result<Value, (u16, String)> {
    let (schema, ty) = spec();
    let (mut object, mut patch) = (object, patch);
    apply(&schema, ty, &mut object, &mut patch).map(|()| object).map_err(|s| (s.code, s.message))
}

fn two() -> Value {
    tree!({"containers": [
        {"name": "one", "image": "i1", "args": ["a"], "env": [{"name": "E1", "value": "1"}, {"name": "E2"}]},
        {"name": "two", "image": "i2"}
    ]})
}

fn names(object: &Value) -> Vec<&str> {
    object.list_at(&["containers"]).iter().map(|c| c.str_at(&["name"])).collect()
}

#[test]
fn items_merge_by_key_and_new_ones_are_woven_in() {
    let out = patched(two(), tree!({"containers": [{"name": "two", "image": "new"}]})).unwrap();
    assert_eq!(names(&out), ["one", "two"]);
    assert_eq!(out.list_at(&["containers"])[1].str_at(&["image"]), "new");
    let out = patched(two(), tree!({"containers": [{"name": "three"}]})).unwrap();
    assert_eq!(names(&out), ["three", "one", "two"]);
}

#[test]
fn lists_without_a_key_are_replaced_and_null_removes() {
    let patch = tree!({"containers": [{"name": "one", "args": ["b"], "image": null}]});
    let out = patched(two(), patch).unwrap();
    assert_eq!(out.list_at(&["containers"])[0].list_at(&["args"]), [Value::from("b")]);
    assert_eq!(out.list_at(&["containers"])[0].get("image"), None);
}

#[test]
fn delete_and_replace_directives_work_in_lists_and_maps() {
    let out = patched(two(), tree!({"containers": [{"name": "one", "$patch": "delete"}]})).unwrap();
    assert_eq!(names(&out), ["two"]);
    let out = patched(two(), tree!({"containers": [{"$patch": "replace"}, {"name": "z"}]})).unwrap();
    assert_eq!(names(&out), ["z"]);
    let labels = || tree!({"labels": {"a": "1"}});
    let out = patched(labels(), tree!({"labels": {"$patch": "replace", "b": "2"}})).unwrap();
    assert_eq!(out, tree!({"labels": {"b": "2"}}));
    let out = patched(labels(), tree!({"labels": {"$patch": "delete"}})).unwrap();
    assert_eq!(out, tree!({"labels": {}}));
    let out = patched(tree!({}), tree!({"labels": {"$patch": "bogus", "x": "1"}})).unwrap();
    assert_eq!(out, tree!({}));
}

#[test]
fn element_order_reorders_with_and_without_changes() {
    let patch = tree!({"$setElementOrder/containers": [{"name": "two"}, {"name": "one"}]});
    assert_eq!(names(&patched(two(), patch).unwrap()), ["two", "one"]);
    let patch = tree!({
        "$setElementOrder/containers": [{"name": "new"}, {"name": "two"}],
        "containers": [{"name": "new"}, {"name": "two", "image": "y"}]
    });
    assert_eq!(names(&patched(two(), patch).unwrap()), ["new", "one", "two"]);
}

#[test]
fn sets_of_scalars_merge_and_shrink() {
    let object = || tree!({"finalizers": ["a", "b"]});
    let out = patched(object(), tree!({"finalizers": ["b", "c"]})).unwrap();
    assert_eq!(out, tree!({"finalizers": ["a", "b", "c"]}));
    let out = patched(object(), tree!({"$deleteFromPrimitiveList/finalizers": ["a", "none"]})).unwrap();
    assert_eq!(out, tree!({"finalizers": ["b"]}));
}

#[test]
fn retain_keys_clears_what_it_does_not_name() {
    let object = || tree!({"strategy": {"name": "x", "value": "v"}});
    let out = patched(object(), tree!({"strategy": {"$retainKeys": ["name"], "name": "y"}})).unwrap();
    assert_eq!(out, tree!({"strategy": {"name": "y"}}));
    let bad = patched(object(), tree!({"strategy": {"$retainKeys": ["name"], "name": "y", "value": "z"}}));
    assert_eq!(bad, Err((400, "invalid patch format of retainKeys".to_owned())));
}

#[test]
fn errors_read_as_upstreams() {
    for (patch, message) in [
        (
            tree!({"containers": [{"image": "x"}]}),
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            tree!({"labels": {"$patch": "merge", "more": "2"}}),
            "unknown patch type: merge in map: map[$patch:merge more:2]",
        ),
        (
            tree!({"$setElementOrder/containers": [{"name": "one"}], "containers": [{"image": "z", "name": "two"}]}),
            "The order in patch list:\n[map[image:z name:two]]\n doesn't match $setElementOrder list:\n[map[name:one]]\n",
        ),
        (tree!({"containers": ["text"]}), "list element types are not identical: [[map[name:one]] [text]]"),
        (tree!({"bogus": {"a": 1}}), "unable to find api field in struct Spec for the json field \"bogus\""),
    ] {
        let object = tree!({"containers": [{"name": "one"}], "labels": {"a": "1"}, "bogus": {}});
        assert_eq!(patched(object, patch), Err((500, message.to_owned())));
    }
}
