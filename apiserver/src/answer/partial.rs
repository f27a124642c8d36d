//! `PartialObjectMetadata`: an object's metadata alone; and the metadata of lists.

use api::{Map, Value, tree};

/// The metadata of an object; `version` of meta.k8s.io.
pub fn object(obj: &Value, version: &str) -> Value {
    let meta = obj.get("metadata").cloned().unwrap_or_else(Value::map);
    tree!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": meta})
}

/// `ListMeta`: resource version, token for the next page, how many follow.
pub fn list_meta(version: &str, continue_token: &str, remaining: Option<usize>) -> Value {
    let mut meta = Map::new();
    if !version.is_empty() {
        meta.insert("resourceVersion", version);
    }
    if !continue_token.is_empty() {
        meta.insert("continue", continue_token);
    }
    if let Some(n) = remaining {
        meta.insert("remainingItemCount", i64::try_from(n).unwrap_or(i64::MAX));
    }
    Value::Map(meta)
}
