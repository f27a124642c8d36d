//! The order of merged lists in strategic merge patches: what the patch orders comes in the patch's order, what only
//! the object has in the object's, and the latter is woven into the former.

use super::go_text;
use super::strategic::{DIRECTIVE, MAP, bad_type, failure, no_merge_key};
use crate::{Status, Value};

/// Items of a patch must occur in `$setElementOrder` in the same order (deletions aside).
pub(super) fn check(patch: &[Value], order: &[Value], key: &str) -> Result<(), Status> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let directive = |item: &Value| item.get(DIRECTIVE).is_some();
    if let (false, Some(scalar)) = (key.is_empty(), patch.iter().find(|i| !matches!(i, Value::Map(_)))) {
        return Err(bad_type(MAP, scalar));
    }
    let mut items = patch.iter().filter(|i| key.is_empty() || !directive(i));
    let mut next = items.next();
    for place in order {
        let Some(item) = next else { return Ok(()) };
        let same = if key.is_empty() { item == place } else { key_of(item, key)? == key_of(place, key)? };
        if same {
            next = items.next();
        }
    }
    match next {
        None => Ok(()),
        Some(_) => Err(failure(format!(
            "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
            go_text(&Value::List(patch.to_vec())),
            go_text(&Value::List(order.to_vec()))
        ))),
    }
}

fn key_of<'v>(item: &'v Value, key: &str) -> Result<&'v Value, Status> {
    let map = item.as_map().ok_or_else(|| bad_type(MAP, item))?;
    map.get(key).ok_or_else(|| no_merge_key(map, key))
}

/// What occurs in `order` (by merge key, or as it is without one), and the rest.
pub(super) fn partition(
    items: Vec<Value>,
    order: &[Value],
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Status> {
    let (mut listed, mut others) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        let found = if key.is_empty() {
            order.contains(&item)
        } else {
            let value = key_of(&item, key)?;
            if let Some(at) = order.iter().position(|o| !matches!(o, Value::Map(_))) {
                return Err(failure(format!("value for key {at} is not a map")));
            }
            order.iter().any(|o| o.get(key) == Some(value))
        };
        if found { listed.push(item) } else { others.push(item) }
    }
    Ok((listed, others))
}

/// `listed` in the patch's order, `others` in the object's, woven together. `key` when items are maps.
pub(super) fn normalize(
    listed: Vec<Value>,
    others: Vec<Value>,
    patch_order: &[Value],
    object_order: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, Status> {
    let listed = sorted(listed, patch_order, key)?;
    let others = sorted(others, object_order, key)?;
    Ok(woven(others, listed, object_order, key))
}

fn rank(order: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    match key {
        Some(key) => order.iter().position(|o| o.get(key) == item.get(key)),
        None => order.iter().position(|o| o == item),
    }
}

fn sorted(items: Vec<Value>, order: &[Value], key: Option<&str>) -> Result<Vec<Value>, Status> {
    let mut deletions = Vec::new();
    let mut keep = Vec::with_capacity(items.len());
    if let Some(key) = key {
        for item in items.iter().chain(order) {
            key_of(item, key)?;
        }
    }
    for item in items {
        let deletes = key.is_some() && item.str_at(&[DIRECTIVE]) == "delete";
        if deletes { deletions.push(item) } else { keep.push((rank(order, &item, key), item)) }
    }
    if keep.iter().all(|(rank, _)| rank.is_some()) {
        keep.sort_by_key(|(rank, _)| *rank);
    } else {
        sort_unlisted_first(&mut keep);
    }
    Ok(keep.into_iter().map(|(_, item)| item).chain(deletions).collect())
}

/// An insertion sort in which whatever has no rank, on either side, counts as less: upstream's order.
fn sort_unlisted_first(items: &mut [(Option<usize>, Value)]) {
    for i in 1..items.len() {
        let mut at = i;
        while at > 0 {
            let less = match (items[at].0, items[at - 1].0) {
                (Some(a), Some(b)) => a < b,
                _ => true,
            };
            if !less {
                break;
            }
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// Each of `others` goes before the first of `listed` that the object has after it.
fn woven(others: Vec<Value>, listed: Vec<Value>, order: &[Value], key: Option<&str>) -> Vec<Value> {
    let mut all = Vec::with_capacity(others.len() + listed.len());
    let (mut left, mut right) = (others.into_iter().peekable(), listed.into_iter().peekable());
    while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
        let less = matches!((rank(order, l, key), rank(order, r, key)), (Some(a), Some(b)) if a < b);
        all.extend(if less { left.next() } else { right.next() });
    }
    all.extend(left);
    all.extend(right);
    all
}
