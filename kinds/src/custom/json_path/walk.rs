//! From values to values, step by step.

use super::{JsonPath, Slice, Step};
use api::Value;
use std::cmp::Ordering;

pub fn path(steps: &[Step], start: Vec<Value>) -> Result<Vec<Value>, String> {
    steps.iter().try_fold(start, |values, step| one(step, values))
}

fn one(step: &Step, values: Vec<Value>) -> Result<Vec<Value>, String> {
    match step {
        Step::Field(name) => Ok(values.iter().filter_map(|v| v.get(name).cloned()).collect()),
        Step::Wildcard => Ok(values.iter().flat_map(children).collect()),
        Step::Recursive => Ok(values.into_iter().flat_map(descendants).collect()),
        Step::Slice(slice) => {
            let mut found = Vec::new();
            for value in values {
                found.extend(sliced(slice, value)?);
            }
            Ok(found)
        }
        Step::Union(parts) => {
            let mut found = Vec::new();
            for JsonPath(steps) in parts {
                found.extend(path(steps, values.clone())?);
            }
            Ok(found)
        }
        Step::Has(inner) => {
            filtered(values, |item| Ok(inner.find(item).is_ok_and(|found| !found.is_empty())))
        }
        Step::Compare(left, operator, right) => filtered(values, |item| compare(item, left, operator, right)),
        Step::Literal(value) => Ok(values.iter().map(|_| value.clone()).collect()),
        Step::Word(word) => Err(format!("unrecognized identifier {word}")),
    }
}

fn children(value: &Value) -> Vec<Value> {
    match value {
        Value::Map(map) => map.values().cloned().collect(),
        Value::List(items) => items.clone(),
        _ => Vec::new(),
    }
}

/// The value and all that have something inside.
fn descendants(value: Value) -> Vec<Value> {
    let inner = children(&value);
    if inner.is_empty() {
        return Vec::new();
    }
    std::iter::once(value).chain(inner.into_iter().flat_map(descendants)).collect()
}

fn sliced(slice: &Slice, value: Value) -> Result<Vec<Value>, String> {
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::List(items) => items,
        other => return Err(format!("{} is not array or slice", other.json_type())),
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { at + length } else { at };
    let start = from_end(slice.start.unwrap_or(0));
    let end = if slice.is_index && slice.start.is_some() {
        start + 1
    } else {
        from_end(slice.end.unwrap_or(length))
    };
    if start == end {
        return Ok(Vec::new());
    }
    if !(0..length).contains(&start) || !(0..=length).contains(&end) {
        return Err(format!("array index out of bounds: index {start}, length {length}"));
    }
    if start > end {
        return Err(format!("starting index {start} is greater than ending index {end}"));
    }
    let step = slice.step.unwrap_or(1);
    let step = usize::try_from(step).ok().filter(|s| *s > 0).ok_or("step must be > 0")?;
    let place = |at: i64| usize::try_from(at).unwrap_or(0);
    Ok(items.into_iter().take(place(end)).skip(place(start)).step_by(step).collect())
}

fn filtered(
    values: Vec<Value>,
    keeps: impl Fn(&Value) -> Result<bool, String>,
) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    for value in values {
        let Value::List(items) = value else {
            return Err(format!("{} is not array or slice and cannot be filtered", value.json_type()));
        };
        for item in items {
            if keeps(&item)? {
                found.push(item);
            }
        }
    }
    Ok(found)
}

fn compare(item: &Value, left: &JsonPath, operator: &str, right: &JsonPath) -> Result<bool, String> {
    let single = |path: &JsonPath| match path.find(item)?.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        _ => Err("can only compare one element at a time".to_owned()),
    };
    let Some(left) = single(left)? else { return Ok(false) };
    let Some(right) = single(right)? else { return Ok(false) };
    let order = order(&left, &right).ok_or("incompatible types for comparison")?;
    match operator {
        "<" => Ok(order.is_lt()),
        ">" => Ok(order.is_gt()),
        "==" => Ok(order.is_eq()),
        "!=" => Ok(order.is_ne()),
        "<=" => Ok(order.is_le()),
        ">=" => Ok(order.is_ge()),
        other => Err(format!("unrecognized filter operator {other}")),
    }
}

/// Only values of one type compare.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Str(a), Value::Str(b)) => Some(a.as_str().cmp(b.as_str())),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
