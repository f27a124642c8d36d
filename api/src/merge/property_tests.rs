//! Properties of apply and update on arbitrary trees.

use super::tests::{apply, keeper, names, template};
use super::*;
use crate::tree;
use proptest::prelude::*;

fn any_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0i64..3).prop_map(Value::Int),
        Just(Value::Float(1.5)),
        "[ab]{0,1}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "spec",
        "metadata",
        "template",
        "containers",
        "name",
        "ports",
        "containerPort",
        "labels",
        "finalizers",
        "nodeSelector",
        "managedFields",
        "bogus",
    ]);
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

fn any_template() -> impl Strategy<Value = Value> {
    let container = (0..4usize, 0..3i64).prop_map(|(name, port)| {
        let name = ["a", "b", "c", "d"][name];
        tree!({"name": name, "image": "i", "ports": [{"containerPort": port}]})
    });
    prop::collection::vec(container, 1..4).prop_map(|mut list| {
        list.sort_by(|a, b| a.str_at(&["name"]).cmp(b.str_at(&["name"])));
        list.dedup_by(|a, b| a.str_at(&["name"]) == b.str_at(&["name"]));
        template(Value::List(list))
    })
}

proptest! {
    #[test]
    fn arbitrary_trees_never_panic(live in any_tree(), config in any_tree()) {
        let keeper = keeper("v1", "PodTemplate");
        let mut config = config;
        config.set(&["apiVersion"], "v1");
        config.set(&["kind"], "PodTemplate");
        let _ = keeper.apply(&live, &config, "one", false, "t");
        let _ = keeper.update(Some(&live), config.clone(), "two", "t");
        let deduced = FieldManager { typing: Typing::deduced(), ..keeper };
        if let Ok(Some(applied)) = deduced.apply(&live, &config, "one", true, "t") {
            let _ = deduced.apply(&applied, &live, "one", true, "t");
            let _ = deduced.update(Some(&applied), live, "two", "t");
        }
    }

    #[test]
    fn forced_apply_is_idempotent_and_contains_the_configuration(a in any_template(), b in any_template(), c in any_template()) {
        let live = apply(&Value::map(), &a, "one", true).unwrap();
        let live = apply(&live, &b, "two", true).unwrap();
        let live = apply(&live, &c, "one", true).unwrap();
        prop_assert_eq!(apply(&live, &c, "one", true).unwrap(), live.clone());
        let have = names(&live);
        for name in names(&c).into_iter().chain(names(&b)) {
            prop_assert!(have.contains(&name));
        }
    }
}
