//! Values as CEL sees them: what JSON says by a number or a text is a double, a time, a duration or bytes when its
//! schema says so, and fields whose names are no identifiers have others.

use super::Props;
use api::cel::{Cel, RESERVED};
use api::{Value, time};
use base64::Engine as _;
use std::sync::Arc;

/// A value of a schema; what needs no other form stays where it is.
pub fn typed<'a>(value: &'a Value, props: &Props) -> Cel<'a> {
    if !props.is_retyped {
        return Cel::from(value);
    }
    match (value, props.items.as_deref()) {
        #[expect(clippy::cast_precision_loss, reason = "what a double holds of an integer")]
        (Value::Int(int), _) if is_of(props, "number") => Cel::Double(*int as f64),
        (Value::Str(text), _) => formatted(text, &props.format).unwrap_or_else(|| Cel::from(value)),
        (Value::List(items), Some(inner)) => Cel::list(items.iter().map(|i| typed(i, inner)).collect()),
        (Value::Map(map), _) => {
            let mut entries = Vec::with_capacity(map.len());
            for (key, value) in map.iter() {
                let value = props.value_of(key).map_or_else(|| Cel::from(value), |inner| typed(value, inner));
                let escaped = props.property(key).map(|_| escape(key)).filter(|name| name != key.as_str());
                entries.extend(escaped.map(|name| (Cel::text(name), value.clone())));
                entries.push((Cel::Str(key.clone()), value));
            }
            Cel::Map(Arc::new(entries))
        }
        _ => Cel::from(value),
    }
}

fn is_of(props: &Props, ty: &str) -> bool {
    matches!(props.types.as_slice(), [one] if one.as_str() == ty)
}

/// Whether values of the schema itself, or names of its fields, look otherwise in CEL.
pub fn is_retyped(props: &Props) -> bool {
    let formats = ["date-time", "datetime", "date", "duration", "byte"];
    is_of(props, "number")
        || formats.contains(&props.format.as_str())
        || props.properties.iter().any(|(name, _)| escape(name) != name.as_str())
}

fn formatted(text: &str, format: &str) -> Option<Cel<'static>> {
    match format {
        "date-time" | "datetime" => time::parse(text).ok().map(Cel::Timestamp),
        "date" => time::parse(&format!("{text}T00:00:00Z")).ok().map(Cel::Timestamp),
        "duration" => time::parse_duration(text).ok().map(Cel::Duration),
        "byte" => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
            Some(Cel::Bytes(bytes.into()))
        }
        _ => None,
    }
}

/// What stands for what names in CEL cannot have; the first of them is made of what the others begin with.
const MARKS: [(&str, &str); 4] =
    [("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];

/// The name of a field in CEL.
pub fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    MARKS.iter().fold(name.to_owned(), |name, (of, mark)| name.replace(of, mark))
}

/// The field that has a name in CEL; `None` when none can have it.
pub fn unescape(escaped: &str) -> Option<String> {
    let inner = escaped.strip_prefix("__").and_then(|name| name.strip_suffix("__"));
    if let Some(word) = inner.filter(|name| RESERVED.contains(name)) {
        return Some(word.to_owned());
    }
    let (mut name, mut rest) = (String::with_capacity(escaped.len()), escaped);
    while let Some(next) = rest.chars().next() {
        let mark = MARKS.iter().find_map(|(of, mark)| Some((*of, rest.strip_prefix(mark)?)));
        let (of, after) = mark.unwrap_or_else(|| rest.split_at(next.len_utf8()));
        name.push_str(of);
        rest = after;
    }
    Some(name).filter(|name| escape(name) == escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::cel::{Env, Program};
    use api::tree;

    #[test]
    fn values_have_the_types_of_their_schemas() {
        let props = Props::read(&tree!({"type": "object", "properties": {
            "n": {"type": "number"}, "t": {"type": "string", "format": "date-time"},
            "d": {"type": "array", "items": {"type": "string", "format": "duration"}},
            "namespace": {"type": "string"}, "a-b": {"type": "integer"}}}));
        let value = tree!({"n": 1, "t": "2026-01-02T03:04:05Z", "d": ["90s"], "namespace": "x", "a-b": 7});
        let holds = |rule: &str| {
            let program = Program::compile(rule, &["self"]).unwrap();
            program.eval_bool(&Env::new().with_value("self", typed(&value, &props))).unwrap()
        };
        assert!(holds("self.n / 2.0 == 0.5"));
        assert!(holds("self.t.getFullYear() == 2026"));
        assert!(holds("self.d[0] == duration('1m30s')"));
        assert!(holds("self.__namespace__ == 'x' && self.a__dash__b == 7"));
    }

    #[test]
    fn names_of_fields_in_cel_lead_back_to_the_fields() {
        for name in ["a", "a-b", "a.b/c", "in", "__in__", "a__dash__b", "___", "a___b", "_a", "__dot__dot__"]
        {
            assert_eq!(unescape(&escape(name)).as_deref(), Some(name), "{}", escape(name));
        }
        assert_eq!((unescape("a__b"), unescape("a-b"), unescape("in")), (None, None, None));
    }
}
