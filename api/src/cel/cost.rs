//! What calls cost, as upstream counts: most of them one, those that go through a text or a list a tenth of its size
//! (what compares all with all each pair). Calls whose work upstream does not count, but has here, cost it as well.

use super::Cel;
use crate::Value;

/// What every list that is made costs, beside its items.
const NEW_LIST: usize = 11;

/// The cost of a call; a method's target is the first value. Charged before the call, so that it bounds the work.
pub fn of_call(name: &str, values: &[Cel<'_>]) -> usize {
    match (name, values) {
        ("_[_]" | "_[?_]", [of, _]) => 1 + search(of),
        ("string", [Cel::Str(_)]) => 1,
        ("@in", [_, range]) if range.is_map() => 1 + search(range),
        ("@in", [_, range]) => size(range),
        ("_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_", [a, b]) => tenth(size(a).min(size(b))),
        ("_+_", [a, b]) => tenth(size(a).saturating_add(size(b))).max(1),
        ("contains", [a, b]) => tenth(size(a)).saturating_mul(tenth(size(b))),
        ("matches" | "find" | "findAll", [text, pattern, ..]) => {
            tenth(1 + size(text)).saturating_mul(size(pattern).div_ceil(4))
        }
        ("startsWith" | "endsWith", [text, _]) => tenth(size(text)),
        ("distinct" | "sort", [list]) => NEW_LIST.saturating_add(pairs(list, list).saturating_mul(2)),
        ("sets.contains" | "sets.intersects", [a, b]) => pairs(a, b).saturating_add(1),
        ("sets.equivalent", [a, b]) => pairs(a, b).saturating_mul(2).saturating_add(1),
        ("lists.range", [Cel::Int(count)]) => NEW_LIST + usize::try_from(*count).unwrap_or(0),
        ("slice" | "reverse" | "flatten", [list, ..]) => NEW_LIST + size(list),
        ("isSorted" | "sum" | "min" | "max", [list]) => size(list),
        ("indexOf" | "lastIndexOf", [list, ..]) if !matches!(list, Cel::Str(_)) => size(list),
        (
            "size"
            | "int"
            | "uint"
            | "double"
            | "bool"
            | "dyn"
            | "type"
            | "!_"
            | "hasValue"
            | "value"
            | "or"
            | "orValue"
            | "optional.of"
            | "optional.none"
            | "optional.ofNonZeroValue",
            _,
        ) => 1,
        _ => values.iter().map(|value| size(value) / 10).fold(1, usize::saturating_add),
    }
}

fn tenth(size: usize) -> usize {
    size.div_ceil(10)
}

fn pairs(a: &Cel<'_>, b: &Cel<'_>) -> usize {
    size(a).saturating_mul(size(b))
}

/// Maps that were built are gone through for a key; trees are not.
fn search(of: &Cel<'_>) -> usize {
    match of {
        Cel::Map(entries) => entries.len() / 10,
        _ => 0,
    }
}

/// Characters, bytes, items or entries; one of anything else.
fn size(value: &Cel<'_>) -> usize {
    match value {
        Cel::Str(text) => text.chars().count(),
        Cel::Bytes(bytes) => bytes.len(),
        Cel::List(items) => items.len(),
        Cel::Map(entries) => entries.len(),
        Cel::Tree(Value::List(items)) => items.len(),
        Cel::Tree(Value::Map(map)) => map.len(),
        Cel::Optional(Some(inner)) => size(inner),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::{CelError, Env, Program};

    fn cost(text: &str, tree: &Value) -> (Result<bool, CelError>, u64) {
        let program = Program::compile(text, &["self"]).unwrap();
        let (outcome, cost) = program.eval_cel(&Env::new().with("self", tree));
        (outcome.map(|value| matches!(value, Cel::Bool(true))), cost)
    }

    #[test]
    fn calls_cost_what_they_go_through() {
        let list = Value::List((0..100).map(Value::Int).collect());
        for (text, expected) in [
            ("self[99] == 99", 3),
            ("size(self) == 100", 3),
            ("self == self", 12),
            ("99 in self", 101),
            ("true && !false", 1),
            ("'a' + 'b' == 'ab'", 2),
        ] {
            assert_eq!(cost(text, &list), (Ok(true), expected), "{text}");
        }
    }

    #[test]
    fn what_compares_all_with_all_ends_at_the_budget() {
        let list = Value::List((0..2000).map(Value::Int).collect());
        for text in [
            "self.distinct() == self",
            "sets.contains(self, self)",
            "sets.equivalent(self, self)",
            "sets.intersects(self, self.map(x, x + 5000))",
            "lists.range(1000000).size() == 1",
        ] {
            assert_eq!(cost(text, &list).0, Err(CelError::Cost), "{text}");
        }
    }

    #[test]
    fn equal_maps_are_found_equal_in_time_and_at_a_cost() {
        let map = |last: i64| {
            let entries =
                (0..50_000).map(|i| (format!("k{}", 49_999 - i), Value::Int(if i == 0 { last } else { i })));
            Value::Map(entries.collect())
        };
        let tree = Value::List(vec![map(1), map(1), map(2)]);
        assert_eq!(cost("self[0] == self[1]", &tree), (Ok(true), 5004));
        assert_eq!(cost("self[0] != self[2]", &tree), (Ok(true), 5004));
        assert_eq!(cost("{1: 'a', 'b': 2, true: 3} == {true: 3u, 'b': 2.0, 1u: 'a'}", &tree).0, Ok(true));
        assert_eq!(cost("{1: 'a', 'b': 2} == {1: 'a', 'c': 2}", &tree).0, Ok(false));
    }
}
