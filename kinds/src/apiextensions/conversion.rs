//! How objects are brought from one version of a custom kind into another: not at all, or by a webhook.

use super::schema_walk::set;
use crate::admissionregistration::webhook_client;
use crate::validation;
use api::{Fault, Path, Value, names};
use std::collections::HashSet;

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// True when some version of reviews is known, or none is named.
pub fn has_known_version(versions: &[Value]) -> bool {
    versions.is_empty() || versions.iter().any(|v| v.as_str().is_some_and(|v| REVIEW_VERSIONS.contains(&v)))
}

/// The versions of reviews that a definition's webhook understands.
pub fn review_versions(crd: &Value) -> &[Value] {
    crd.list_at(&["spec", "conversion", "webhook", "conversionReviewVersions"])
}

/// Faults of `spec.conversion`.
pub fn faults(conversion: &Value, need_known_version: bool, at: &Path) -> Vec<Fault> {
    let webhook = set(conversion, "webhook");
    let client = webhook.and_then(|w| set(w, "clientConfig"));
    let versions = webhook.map(|w| w.list_at(&["conversionReviewVersions"])).unwrap_or_default();
    let strategy = conversion.str_at(&["strategy"]);
    let path = at.child("strategy");
    let mut faults = match strategy {
        "" => vec![Fault::required(path, "")],
        _ => validation::one_of(strategy, &["None", "Webhook"], &path),
    };
    let (client_path, versions_path) =
        (at.child("webhookClientConfig"), at.child("conversionReviewVersions"));
    if strategy == "Webhook" {
        match client {
            None => faults.push(Fault::required(client_path, "required when strategy is set to Webhook")),
            Some(client) => faults.extend(webhook_client::faults(Some(client), &client_path)),
        }
        faults.extend(version_faults(versions, need_known_version, &versions_path));
    } else {
        let text = "should not be set when strategy is not set to Webhook";
        faults.extend(client.map(|_| Fault::forbidden(client_path, text)));
        if !versions.is_empty() {
            faults.push(Fault::forbidden(versions_path, text));
        }
    }
    faults
}

fn version_faults(versions: &[Value], need_known: bool, at: &Path) -> Vec<Fault> {
    if versions.is_empty() {
        return vec![Fault::required(at, "")];
    }
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (i, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        if !seen.insert(version) {
            faults.push(Fault::invalid(at.index(i), version, "duplicate version"));
            continue;
        }
        faults.extend(validation::texts(&at.index(i), version, names::is_dns1035_label(version)));
    }
    if need_known && !has_known_version(versions) {
        let text = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        faults.push(Fault::invalid(at, versions.to_vec(), text));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(conversion: Value) -> Vec<String> {
        faults(&conversion, true, &Path::new("c")).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn webhooks_are_for_the_strategy_of_that_name() {
        assert!(texts(tree!({"strategy": "None"})).is_empty());
        assert_eq!(
            texts(tree!({"strategy": "Webhook"})),
            [
                "c.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "c.conversionReviewVersions: Required value",
            ]
        );
        assert_eq!(
            texts(tree!({"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}})),
            ["c.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook"]
        );
        let client = tree!({"url": "https://x.example"});
        assert_eq!(
            texts(
                tree!({"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v9"]}})
            ),
            ["c.conversionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1"]
        );
    }
}
