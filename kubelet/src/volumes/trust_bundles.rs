//! ClusterTrustBundles as a file: the certificates of one bundle, or of all of a signer that a selector picks, each
//! once.

use super::Inner;
use crate::resources;
use api::selector::LabelSelector;
use api::{Value, pem};
use std::collections::BTreeSet;
use std::time::Duration;
use stdx::Time;

/// How often bundles are looked at again; there is no watch of them.
const AGAIN: Duration = Duration::from_secs(300);

/// The certificates as PEM, and when to look again.
///
/// # Errors
/// When there is no bundle and must be one.
pub async fn collect(volumes: &Inner, source: &Value) -> Result<(String, Time), String> {
    let optional = source.bool_at(&["optional"]);
    let given = |field| source.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let bundles = match (given("name"), given("signerName")) {
        (Some(name), _) => {
            let found = volumes.client.find(&resources::cluster_trust_bundles(), "", name).await;
            let missing = || {
                let text = format!("clustertrustbundle.certificates.k8s.io {name:?} not found");
                format!("while getting ClusterTrustBundle: {text}")
            };
            match found.map_err(|why| format!("while getting ClusterTrustBundle: {why}"))? {
                None if !optional => return Err(missing()),
                found => found.into_iter().collect(),
            }
        }
        (None, Some(signer)) => of_signer(volumes, signer, source.get("labelSelector"), optional).await?,
        (None, None) => {
            return Err(
                "ClusterTrustBundle projection requires either name or signerName to be set".to_owned()
            );
        }
    };
    Ok((certificates(&bundles), volumes.settings.clock.now().plus(AGAIN)))
}

async fn of_signer(
    volumes: &Inner,
    signer: &str,
    selector: Option<&Value>,
    optional: bool,
) -> Result<Vec<Value>, String> {
    let query = format!("fieldSelector=spec.signerName%3D{}", signer.replace('/', "%2F"));
    let list = volumes.client.list(&resources::cluster_trust_bundles(), "", &query).await;
    let list = list.map_err(|why| format!("while listing ClusterTrustBundles: {why}"))?;
    // No selector picks nothing; an empty one picks all.
    let selector = LabelSelector::from_value(selector.filter(|s| !s.is_null()))
        .map_err(|why| format!("while parsing label selector: {why}"))?;
    let picked = |bundle: &&Value| selector.matches(bundle.map_at(&["metadata", "labels"]));
    let found: Vec<Value> = list.list_at(&["items"]).iter().filter(picked).cloned().collect();
    match found.is_empty() && !optional {
        true => {
            Err("combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned())
        }
        false => Ok(found),
    }
}

fn certificates(bundles: &[Value]) -> String {
    let texts = bundles.iter().map(|bundle| bundle.str_at(&["spec", "trustBundle"]));
    let all: BTreeSet<Vec<u8>> = texts.flat_map(pem::blocks).map(|block| block.der).collect();
    all.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn each_certificate_is_told_once() {
        let one = pem::encode("CERTIFICATE", b"one");
        let bundle = |text: String| tree!({"spec": {"trustBundle": (text)}});
        let two = pem::encode("CERTIFICATE", b"two");
        let text = certificates(&[bundle(format!("# x\n{one}{two}")), bundle(one.clone())]);
        assert_eq!(text, format!("{one}{two}"));
    }
}
