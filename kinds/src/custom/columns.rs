//! Columns of a custom kind's table (`additionalPrinterColumns`) and their cells.

use super::JsonPath;
use crate::{Column, Doc, print};
use api::{Value, json};

/// A column and where its cells come from.
#[derive(Debug)]
pub struct PrinterColumn {
    pub column: Column,
    path: Option<JsonPath>,
}

/// The columns of a version: those it names, or the age.
pub fn read(version: &Value) -> Vec<PrinterColumn> {
    let named = version.list_at(&["additionalPrinterColumns"]);
    if named.is_empty() {
        let column = Column { ty: "date".into(), ..Column::age() };
        return vec![PrinterColumn { column, path: JsonPath::parse(".metadata.creationTimestamp").ok() }];
    }
    named.iter().map(read_one).collect()
}

fn read_one(raw: &Value) -> PrinterColumn {
    let path = raw.str_at(&["jsonPath"]);
    let doc = match raw.str_at(&["description"]) {
        "" => format!("Custom resource definition column (in JSONPath format): {path}"),
        text => text.to_owned(),
    };
    let column = Column {
        name: raw.str_at(&["name"]).into(),
        ty: raw.str_at(&["type"]).into(),
        format: raw.str_at(&["format"]).into(),
        priority: raw.i64_at(&["priority"]).and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
        doc: Doc::Text(doc.into()),
    };
    PrinterColumn { column, path: JsonPath::parse(path).ok() }
}

impl PrinterColumn {
    /// The cell of an object; null when there is nothing, or nothing of the column's type. `now` is unix seconds.
    pub fn cell(&self, object: &Value, now: i64) -> Value {
        let found = self.path.as_ref().and_then(|path| path.find(object).ok()).unwrap_or_default();
        let Some(value) = found.into_iter().next() else { return Value::Null };
        match self.column.ty.as_str() {
            "string" => text(&value).into(),
            "integer" => match value {
                Value::Float(float) => Value::Int(whole(float)),
                Value::Int(_) => value,
                _ => Value::Null,
            },
            "number" if matches!(value, Value::Int(_) | Value::Float(_)) => value,
            "boolean" if matches!(value, Value::Bool(_)) => value,
            "date" => match value.as_str() {
                Some(time) if print::unix_secs(time).is_some() => print::since(time, now).into(),
                Some("") => "<unknown>".into(),
                Some(_) => "<invalid>".into(),
                None => Value::Null,
            },
            _ => Value::Null,
        }
    }
}

/// A value as Go prints it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Str(text) => text.to_string(),
        Value::Map(_) | Value::List(_) => {
            let mut sorted = value.clone();
            super::sort(&mut sorted);
            json::to_string(&sorted)
        }
        other => json::to_string(other),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "as upstream converts numbers of integer columns")]
fn whole(float: f64) -> i64 {
    float as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn cells(object: &Value) -> Vec<Value> {
        let column = |ty: &str, path: &str| tree!({"name": "C", "type": (ty), "jsonPath": (path)});
        let version = tree!({"additionalPrinterColumns": [
            (column("string", ".s")), (column("integer", ".i")), (column("number", ".n")), (column("boolean", ".b")),
            (column("date", ".d")), (column("string", ".l[*]")), (column("string", ".o")),
            (column("string", ".c[?(@.type==\"R\")].status"))]});
        read(&version).iter().map(|c| c.cell(object, 100)).collect()
    }

    #[test]
    fn cells_are_of_their_columns_type_or_null() {
        let object = tree!({"s": "x", "i": 5, "n": 1.5, "b": true, "d": "bad date", "l": ["a", "b"], "o": {"k": "v"},
            "c": [{"type": "R", "status": "True"}]});
        let wanted = tree!(["x", 5, 1.5, true, "<invalid>", "a", r#"{"k":"v"}"#, "True"]);
        assert_eq!(Value::List(cells(&object)), wanted);
        let object = tree!({"s": 5, "i": "text", "n": null, "b": "yes", "d": "1970-01-01T00:00:40Z"});
        assert_eq!(
            Value::List(cells(&object)),
            tree!([
                "5",
                (Value::Null),
                (Value::Null),
                (Value::Null),
                "60s",
                (Value::Null),
                (Value::Null),
                (Value::Null)
            ])
        );
    }

    #[test]
    fn without_columns_there_is_the_age() {
        let columns = read(&tree!({}));
        assert_eq!(columns.len(), 1);
        let object = tree!({"metadata": {"creationTimestamp": "1970-01-01T00:00:10Z"}});
        assert_eq!(columns[0].cell(&object, 40), Value::from("30s"));
    }
}
