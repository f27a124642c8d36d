//! The libraries of lists: order, sums, places, parts.

use super::Library;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError, operators};
use std::cmp::Ordering;

pub const LIBRARY: Library = Library {
    functions: &["lists.range"],
    methods: &[
        "isSorted",
        "sum",
        "min",
        "max",
        "indexOf",
        "lastIndexOf",
        "slice",
        "flatten",
        "sort",
        "distinct",
        "reverse",
        "first",
        "last",
    ],
    call,
};

/// The longest list that `lists.range` makes.
const MAX_RANGE: i64 = 1_000_000;

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    if let ("lists.range", [Cel::Int(count)]) = (name, args) {
        return Some(match *count {
            count if count > MAX_RANGE => Err(CelError::Cost),
            count => Ok(Cel::list((0..count.max(0)).map(Cel::Int).collect())),
        });
    }
    let (list, rest) = args.split_first()?;
    let items = list.items()?;
    Some(match (name, rest) {
        ("isSorted", []) => is_sorted(&items),
        ("sum", []) => sum(&items),
        ("min", []) => extreme(items, Ordering::Less, "min"),
        ("max", []) => extreme(items, Ordering::Greater, "max"),
        ("indexOf", [item]) => Ok(place(items.iter().position(|i| operators::equal(i, item)))),
        ("lastIndexOf", [item]) => Ok(place(items.iter().rposition(|i| operators::equal(i, item)))),
        ("slice", [Cel::Int(from), Cel::Int(to)]) => slice(&items, *from, *to),
        ("flatten", []) => Ok(Cel::list(flatten(items, 1))),
        ("flatten", [Cel::Int(depth)]) if *depth < 0 => Err(CelError::new("level must be non-negative")),
        ("flatten", [Cel::Int(depth)]) => Ok(Cel::list(flatten(items, *depth))),
        ("sort", []) => sort(items),
        ("distinct", []) => Ok(Cel::list(distinct(items))),
        ("reverse", []) => Ok(Cel::list(items.into_iter().rev().collect())),
        ("first", []) => Ok(Cel::Optional(items.into_iter().next().map(std::sync::Arc::new))),
        ("last", []) => Ok(Cel::Optional(items.into_iter().next_back().map(std::sync::Arc::new))),
        _ => return None,
    })
}

fn place<'a>(at: Option<usize>) -> Cel<'a> {
    at.map_or(Cel::Int(-1), Cel::size_of)
}

fn is_sorted<'a>(items: &[Cel<'a>]) -> Outcome<'a> {
    for pair in items.windows(2) {
        if let [a, b] = pair
            && operators::compare(a, b)?.is_gt()
        {
            return Ok(Cel::Bool(false));
        }
    }
    Ok(Cel::Bool(true))
}

fn sum<'a>(items: &[Cel<'a>]) -> Outcome<'a> {
    let mut total = match items.first() {
        Some(Cel::Double(_)) => Cel::Double(0.0),
        Some(Cel::Uint(_)) => Cel::Uint(0),
        Some(Cel::Duration(_)) => Cel::Duration(0),
        _ => Cel::Int(0),
    };
    for item in items {
        total =
            operators::call("_+_", &[total, item.clone()]).unwrap_or_else(|| Err(CelError::overload()))?;
    }
    Ok(total)
}

fn extreme<'a>(items: Vec<Cel<'a>>, wanted: Ordering, name: &str) -> Outcome<'a> {
    let mut items = items.into_iter();
    let Some(mut best) = items.next() else {
        return Err(CelError::new(format!("{name} called on empty list")));
    };
    for item in items {
        if operators::compare(&item, &best)? == wanted {
            best = item;
        }
    }
    Ok(best)
}

fn slice<'a>(items: &[Cel<'a>], from: i64, to: i64) -> Outcome<'a> {
    if from < 0 || to < 0 {
        return Err(CelError::new(format!("cannot slice({from}, {to}), negative indexes not supported")));
    }
    if from > to {
        return Err(CelError::new(format!(
            "cannot slice({from}, {to}), start index must be less than or equal to end index"
        )));
    }
    let bounds = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    match bounds.and_then(|(from, to)| items.get(from..to)) {
        Some(part) => Ok(Cel::list(part.to_vec())),
        None => Err(CelError::new(format!("cannot slice({from}, {to}), list is length {}", items.len()))),
    }
}

fn flatten<'a>(items: Vec<Cel<'a>>, depth: i64) -> Vec<Cel<'a>> {
    let mut flat = Vec::new();
    for item in items {
        match item.items().filter(|_| depth > 0) {
            Some(inner) => flat.extend(flatten(inner, depth - 1)),
            None => flat.push(item),
        }
    }
    flat
}

fn sort<'a>(mut items: Vec<Cel<'a>>) -> Outcome<'a> {
    for pair in items.windows(2) {
        if let [a, b] = pair {
            operators::compare(a, b)?;
        }
    }
    items.sort_by(|a, b| operators::compare(a, b).unwrap_or(Ordering::Equal));
    Ok(Cel::list(items))
}

fn distinct<'a>(items: Vec<Cel<'a>>) -> Vec<Cel<'a>> {
    let mut seen: Vec<Cel<'a>> = Vec::new();
    for item in items {
        if !seen.iter().any(|s| operators::equal(s, &item)) {
            seen.push(item);
        }
    }
    seen
}
