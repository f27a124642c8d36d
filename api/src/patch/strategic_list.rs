//! Merging lists in strategic merge patches: items that are maps by their merge key, scalars as a set.

use super::strategic::{DIRECTIVE, ListRule, bad_directive, failure, merge_map, no_merge_key};
use super::{element_order, go_text};
use crate::{Map, Status, Value};

/// Merges a patch's list into an object's and puts the outcome into order. With `deletes` the patch's items (which
/// are scalars) are taken out instead.
pub(super) fn merge(
    mut original: Vec<Value>,
    patch: &mut Vec<Value>,
    rule: &ListRule<'_>,
    deletes: bool,
) -> Result<Vec<Value>, Status> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    if !items_are_maps(&[&original, patch])? {
        if deletes {
            original.retain(|v| !patch.contains(v));
            return Ok(original);
        }
        let mut both = original.clone();
        for item in patch.iter().filter(|item| !original.contains(item)) {
            both.push(item.clone());
        }
        deduplicate(&mut both);
        let (listed, others) = element_order::partition(both, patch, rule.key)?;
        return element_order::normalize(listed, others, patch, &original, None);
    }
    if rule.key.is_empty() {
        return Err(failure(format!("cannot merge lists without merge key for {}", rule.items.kind())));
    }
    let mut change = carry_out_directives(&mut original, patch, rule.key)?;
    let mut merged = original.clone();
    for item in &mut change {
        merge_item(&mut merged, item, rule)?;
    }
    let (listed, others) = element_order::partition(merged, &change, rule.key)?;
    element_order::normalize(listed, others, &change, &original, Some(rule.key))
}

/// All items are maps (true) or of one other type (false); what mixes types or holds lists is refused.
pub(super) fn items_are_maps(lists: &[&Vec<Value>]) -> Result<bool, Status> {
    let mut items = lists.iter().flat_map(|l| l.iter());
    let Some(first) = items.next() else { return Err(failure("no elements in any of the given slices")) };
    if matches!(first, Value::List(_)) {
        let mut status =
            Status::new(422, "Invalid", "the server rejected our request due to an error in our request");
        status.details = Some(Default::default());
        return Err(status);
    }
    let kind = std::mem::discriminant(first);
    if items.any(|item| std::mem::discriminant(item) != kind) {
        let shown: Vec<String> = lists.iter().map(|l| go_text(&Value::List(l.to_vec()))).collect();
        return Err(failure(format!("list element types are not identical: [{}]", shown.join(" "))));
    }
    Ok(matches!(first, Value::Map(_)))
}

fn deduplicate(list: &mut Vec<Value>) {
    let mut at = 0;
    while at < list.len() {
        let (seen, rest) = list.split_at(at);
        if seen.contains(&rest[0]) {
            list.remove(at);
        } else {
            at += 1;
        }
    }
}

/// Carries out the items that are directives; gives what is left to merge.
fn carry_out_directives(original: &mut Vec<Value>, patch: &[Value], key: &str) -> Result<Vec<Value>, Status> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replaces = false;
    for item in patch {
        let Value::Map(map) = item else { continue };
        let Some(directive) = map.get(DIRECTIVE) else {
            plain.push(item.clone());
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let value = map.get(key).ok_or_else(|| no_merge_key(map, key))?;
                original.retain(|o| o.get(key) != Some(value));
            }
            Some("replace") => replaces = true,
            Some("merge") => return Err(failure("merging lists cannot yet be specified in the patch")),
            _ => return Err(bad_directive(directive, map)),
        }
    }
    if replaces {
        *original = plain;
        return Ok(Vec::new());
    }
    Ok(plain)
}

/// Merges one item into the first with the same key, or appends it.
fn merge_item(merged: &mut Vec<Value>, item: &mut Value, rule: &ListRule<'_>) -> Result<(), Status> {
    let Value::Map(patch) = item else { return Ok(()) };
    let key = patch.get(rule.key).ok_or_else(|| no_merge_key(patch, rule.key))?;
    let found: Option<&mut Map> =
        merged.iter_mut().find(|m| m.get(rule.key) == Some(key)).and_then(Value::as_map_mut);
    match found {
        Some(current) => merge_map(current, patch, rule.items),
        None => {
            merged.push(item.clone());
            Ok(())
        }
    }
}
