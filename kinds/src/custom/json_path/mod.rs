//! JSONPath as Kubernetes has it: what columns and selectable fields are made of. Fields, indexes and slices, wildcards,
//! recursion, unions and filters; no text around it, no ranges.

mod parse;
mod walk;

use api::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

/// One step from values to values.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Wildcard,
    Recursive,
    Slice(Slice),
    Union(Vec<JsonPath>),
    /// Items of a list for which something exists.
    Has(JsonPath),
    /// Items of a list that compare so: left, operator, right.
    Compare(JsonPath, String, JsonPath),
    /// A constant.
    Literal(Value),
    /// A word without meaning here.
    Word(String),
}

/// `[start:end:step]`; an index is a slice of one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
    /// It was an index: the end follows from the start.
    is_index: bool,
}

impl JsonPath {
    /// Parses a path without braces: `.spec.replicas`, `.items[*].name`, `.c[?(@.type=="Ready")].status`.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::path(text).map(JsonPath)
    }

    /// The values it leads to; missing fields lead nowhere. An error when a step does not fit what is there.
    pub fn find(&self, root: &Value) -> Result<Vec<Value>, String> {
        walk::path(&self.0, vec![root.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn find(path: &str) -> Result<Value, String> {
        let object = tree!({"metadata": {"labels": {"a.b/c": "x"}}, "spec": {"l": ["a", "b", "c"], "n": 5, "z": null,
            "c": [{"type": "R", "status": "True", "n": 1}, {"type": "S", "status": "False", "n": 2}, {"type": "T"}]}});
        JsonPath::parse(path)?.find(&object).map(Value::List)
    }

    #[test]
    fn paths_lead_to_values() {
        let cases = [
            (".spec.n", tree!([5])),
            (".spec.none.deep", tree!([])),
            (".spec.z.deep", tree!([])),
            (".metadata.labels.a\\.b/c", tree!(["x"])),
            (".metadata.labels['a\\.b/c']", tree!(["x"])),
            (".spec.l[*]", tree!(["a", "b", "c"])),
            (".spec.l[1]", tree!(["b"])),
            (".spec.l[-1]", tree!(["c"])),
            (".spec.l[0:2]", tree!(["a", "b"])),
            (".spec.l[::2]", tree!(["a", "c"])),
            (".spec.l[0,2]", tree!(["a", "c"])),
            (".spec.c[?(@.type==\"R\")].status", tree!(["True"])),
            (".spec.c[?(@.type=='S')].status", tree!(["False"])),
            (".spec.c[?(@.n>1)].type", tree!(["S"])),
            (".spec.c[?(@.n)].type", tree!(["R", "S"])),
            (".spec.c[?(@.type!=\"R\")].type", tree!(["S", "T"])),
            (".spec.c[*].type", tree!(["R", "S", "T"])),
            ("..status", tree!(["True", "False"])),
        ];
        for (path, wanted) in cases {
            assert_eq!(find(path), Ok(wanted), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        for path in [".spec.l[7]", ".spec.n[0]", "spec.n", ".spec.n[?(@.a==1)]"] {
            assert!(JsonPath::parse(path).is_ok(), "{path}");
            assert!(find(path).is_err(), "{path}");
        }
        for path in [".spec[", ".spec.l[x]", ".spec.c[?(@.a", "!"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
