//! What holds for every input: codecs give back what they took, and no bytes make a reader panic.

#![allow(clippy::unwrap_used)]

use api::quantity::Quantity;
use api::schema::{self, Schema, Shape, TypeId};
use api::{Map, Str, Value, json, proto, time, yaml};
use proptest::prelude::*;

/// Any tree, floats apart (their texts are tested on their own).
fn any_tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((any_text(), inner), 0..6).prop_map(|pairs| {
                let mut map: Map = pairs.into_iter().collect();
                map.sort();
                Value::Map(map)
            }),
        ]
    })
}

/// Texts that look like something else more often than not.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\n\t]{0,100}",
        "[a-z ]{60,160}",
        prop::sample::select(vec![
            "yes",
            "null",
            "~",
            "1",
            "017",
            "0x1",
            "1e3",
            ".5",
            "- a",
            "a: b",
            "#",
            "2026-11-21",
            "1:20",
            "",
            "<<",
            "|",
            "'",
            "\"",
            "---",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            " x",
            "x ",
            "x\n",
            "\nx",
            "x\n\n",
            "{",
            "[a]",
            "%",
            "@",
            "!t",
        ])
        .prop_map(str::to_owned),
    ]
}

/// A value of a shape, as clients might send it: fields present or not, some of them empty.
fn value_of(schema: &'static Schema, shape: &'static Shape, depth: u32) -> BoxedStrategy<Value> {
    use schema::Scalar;
    match shape {
        Shape::Any => any_tree().prop_filter("null is nothing", |v| !v.is_null()).boxed(),
        Shape::Scalar(scalar) => match scalar {
            Scalar::Str => "[a-z<é]{0,8}".prop_map(Value::from).boxed(),
            Scalar::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
            Scalar::Int32 => any::<i32>().prop_map(Value::from).boxed(),
            Scalar::Int64 => any::<i64>().prop_map(Value::Int).boxed(),
            Scalar::Double => any::<i32>().prop_map(|i| Value::Float(f64::from(i) / 8.0)).boxed(),
            Scalar::Bytes => "([A-Za-z0-9+/]{4}){0,3}".prop_map(Value::from).boxed(),
            Scalar::Quantity => "[1-9][0-9]{0,5}(m|k|Mi|e3|)".prop_map(Value::from).boxed(),
            Scalar::IntOrString => {
                prop_oneof![any::<i32>().prop_map(Value::from), "[a-z0-9%]{0,6}".prop_map(Value::from)]
                    .boxed()
            }
            Scalar::Time => (-60_000_000_000_i64..200_000_000_000)
                .prop_map(|secs| Value::from(time::Time { secs, nanos: 0 }.rfc3339()))
                .boxed(),
            Scalar::MicroTime => (0_i64..200_000_000_000, 0_u32..1_000_000)
                .prop_map(|(secs, micros)| {
                    Value::from(time::Time { secs, nanos: micros * 1000 }.rfc3339_micro())
                })
                .boxed(),
            Scalar::Duration => any::<i64>().prop_map(|n| Value::from(time::format_duration(n))).boxed(),
        },
        Shape::Struct(ty) if depth == 0 => Just(schema::zero_value(schema, &Shape::Struct(*ty))).boxed(),
        Shape::Struct(ty) | Shape::StructOr(ty, _) => object_of(schema, *ty, depth.saturating_sub(1)),
        Shape::List(item) => {
            prop::collection::vec(value_of(schema, item, depth), 0..3).prop_map(Value::List).boxed()
        }
        Shape::Map(item) => prop::collection::vec(("[a-z]{1,4}", value_of(schema, item, depth)), 0..3)
            .prop_map(|pairs| Value::Map(pairs.into_iter().collect()))
            .boxed(),
    }
}

fn object_of(schema: &'static Schema, ty: TypeId, depth: u32) -> BoxedStrategy<Value> {
    let fields = &schema.get(ty).fields;
    if fields.is_empty() {
        return Just(Value::map()).boxed();
    }
    prop::collection::vec(prop::sample::select((0..fields.len()).collect::<Vec<_>>()), 0..8)
        .prop_flat_map(move |places| {
            let pick = |i: usize| {
                value_of(schema, &fields[i].shape, depth).prop_map(move |v| (fields[i].name.clone(), v))
            };
            places.into_iter().map(pick).collect::<Vec<_>>()
        })
        .prop_map(|pairs: Vec<(Str, Value)>| Value::Map(Map::from_pairs(pairs)))
        .boxed()
}

fn any_object() -> impl Strategy<Value = (TypeId, Value)> {
    let mut kinds: Vec<TypeId> = schema::gvk_types().map(|(_, _, _, ty)| ty).collect();
    kinds.sort_by_key(|ty| schema::builtin().get(*ty).name.to_string());
    prop::sample::select(kinds)
        .prop_flat_map(|ty| object_of(schema::builtin(), ty, 4).prop_map(move |v| (ty, v)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_gives_back_every_tree(tree in any_tree()) {
        prop_assert_eq!(&json::parse(&json::to_vec(&tree)).unwrap(), &tree);
        prop_assert_eq!(&json::parse(&json::to_pretty(&tree)).unwrap(), &tree);
        let judged: serde_json::Value = serde_json::from_slice(&json::to_vec(&tree)).unwrap();
        prop_assert_eq!(json::parse(judged.to_string().as_bytes()).unwrap(), tree);
    }

    #[test]
    fn floats_come_back_from_their_texts(float in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
        prop_assert_eq!(json::float_text(float).parse::<f64>().unwrap().to_bits(), float.to_bits());
    }

    #[test]
    fn json_accepts_and_refuses_what_a_judge_does(text in "[\\[\\]{},:\"ntf0-9eE.+\\-\\\\u a]{0,12}") {
        let ours = json::parse(text.as_bytes());
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}: {:?}", text, ours);
    }

    #[test]
    fn yaml_gives_back_every_tree(tree in any_tree()) {
        let text = yaml::to_string(&tree);
        prop_assert_eq!(yaml::parse(text.as_bytes()).unwrap(), tree, "{}", text);
    }

    #[test]
    fn protobuf_and_json_give_back_every_object((ty, raw) in any_object()) {
        let schema = schema::builtin();
        let decoded = schema::decode(schema, ty, raw, true).unwrap();
        prop_assert!(decoded.strict.is_empty());
        let text = json::to_vec(&decoded.value);
        let again = schema::decode_json(schema, ty, &text, true).unwrap();
        prop_assert_eq!(String::from_utf8(json::to_vec(&again.value)).unwrap(), String::from_utf8(text).unwrap());
        // Protobuf cannot tell empty lists from none; a second pass has to be stable.
        let bytes = proto::encode(schema, ty, &decoded.value);
        let back = proto::decode(schema, ty, &bytes).unwrap();
        prop_assert_eq!(proto::encode(schema, ty, &back), bytes);
    }

    #[test]
    fn quantities_keep_their_value_and_canonical_text(text in "[+-]?[0-9]{1,20}(\\.[0-9]{0,12})?(n|u|m|k|M|G|Ki|Mi|Gi|e3|E-2|)") {
        let quantity = Quantity::parse(&text).unwrap();
        let canonical = quantity.to_string();
        let again = Quantity::parse(&canonical).unwrap();
        prop_assert!(again == quantity, "{} became {}", text, canonical);
        prop_assert_eq!(again.to_string(), canonical);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let pod = schema::builtin_type("", "v1", "Pod").unwrap();
        let _ = json::parse_tracking_duplicates(&bytes);
        let _ = schema::decode_json(schema::builtin(), pod, &bytes, true);
        let _ = yaml::parse(&bytes);
        let _ = proto::unwrap(&bytes);
        let _ = proto::decode(schema::builtin(), pod, &bytes);
        let _ = proto::set_resource_version(&bytes, "1");
        let _ = json::set_resource_version(&bytes, "1", false);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in any_text()) {
        let _ = yaml::parse(text.as_bytes());
        let _ = Quantity::parse(&text);
        let _ = time::parse(&text);
        let _ = time::parse_micro(&text);
        let _ = time::parse_duration(&text);
        let _ = json::parse(text.as_bytes());
    }

    #[test]
    fn cut_and_bent_messages_do_not_panic((ty, raw) in any_object(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = proto::encode(schema::builtin(), ty, &raw);
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = proto::decode(schema::builtin(), ty, &bytes);
            let _ = proto::decode(schema::builtin(), ty, &bytes[..at]);
        }
    }
}
