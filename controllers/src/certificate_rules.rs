//! What requests for certificates must look like for each of the built-in signers; faults in upstream's words.
//! Source: upstream's `pkg/apis/certificates/helpers.go` and `pkg/controller/certificates/signer`.

use api::x509::CertificateRequest;
use api::{Value, pem};
use std::collections::BTreeSet;

pub const API_SERVER_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub const LEGACY_UNKNOWN: &str = "kubernetes.io/legacy-unknown";

const NODES: &str = "system:nodes";
const NODE: &str = "system:node:";

/// The request inside a CertificateSigningRequest.
pub fn request_of(object: &Value) -> Result<CertificateRequest, String> {
    let bytes = pem::decode_base64(object.str_at(&["spec", "request"])).unwrap_or_default();
    CertificateRequest::from_pem(&String::from_utf8_lossy(&bytes))
}

pub fn usages_of(object: &Value) -> Vec<&str> {
    object.list_at(&["spec", "usages"]).iter().filter_map(Value::as_str).collect()
}

/// Whether a condition of this type is there.
pub fn has_condition(object: &Value, ty: &str) -> bool {
    object.list_at(&["status", "conditions"]).iter().any(|condition| condition.str_at(&["type"]) == ty)
}

/// Whether a signer of ours signs this; an error when it is for ours and wrong.
pub fn check(signer: &str, request: &CertificateRequest, usages: &[&str]) -> Result<bool, String> {
    match signer {
        KUBELET_SERVING => kubelet_serving(request, usages)?,
        KUBELET_CLIENT => kubelet_client(request, usages)?,
        API_SERVER_CLIENT => client_usages(usages)?,
        LEGACY_UNKNOWN => {}
        _ => return Ok(false),
    }
    Ok(true)
}

fn no<T>(why: &str) -> Result<T, String> {
    Err(why.to_owned())
}

pub fn kubelet_client(request: &CertificateRequest, usages: &[&str]) -> Result<(), String> {
    match () {
        () if request.organizations != [NODES] => no("subject organization is not system:nodes"),
        () if !request.dns_names.is_empty() => no("DNS subjectAltNames are not allowed"),
        () if !request.email_addresses.is_empty() => no("Email subjectAltNames are not allowed"),
        () if !request.ip_addresses.is_empty() => no("IP subjectAltNames are not allowed"),
        () if !request.uris.is_empty() => no("URI subjectAltNames are not allowed"),
        () if !request.common_name.starts_with(NODE) => {
            no("subject common name does not begin with system:node:")
        }
        () => usages_match(usages, "client auth"),
    }
}

fn kubelet_serving(request: &CertificateRequest, usages: &[&str]) -> Result<(), String> {
    match () {
        () if request.organizations != [NODES] => no("subject organization is not system:nodes"),
        () if request.dns_names.is_empty() && request.ip_addresses.is_empty() => {
            no("DNS or IP subjectAltName is required")
        }
        () if !request.email_addresses.is_empty() => no("Email subjectAltNames are not allowed"),
        () if !request.uris.is_empty() => no("URI subjectAltNames are not allowed"),
        () => usages_match(usages, "server auth"),
    }?;
    if request.common_name.starts_with(NODE) {
        return Ok(());
    }
    no("subject common name does not begin with system:node:")
}

/// A kubelet's usages: signatures and `purpose`, and the encipherment of keys where these are RSA.
fn usages_match(usages: &[&str], purpose: &str) -> Result<(), String> {
    let given: BTreeSet<&str> = usages.iter().copied().collect();
    let mut wanted = BTreeSet::from(["digital signature", purpose]);
    if given == wanted {
        return Ok(());
    }
    wanted.insert("key encipherment");
    if given == wanted {
        return Ok(());
    }
    Err(format!("usages did not match [{}]", wanted.into_iter().collect::<Vec<_>>().join(" ")))
}

fn client_usages(usages: &[&str]) -> Result<(), String> {
    let optional = ["digital signature", "key encipherment"];
    match usages.iter().find(|usage| **usage != "client auth" && !optional.contains(usage)) {
        Some(odd) => Err(format!("invalid usage for client certificate: {odd}")),
        None if usages.contains(&"client auth") => Ok(()),
        None => no("missing required usage for client certificate: client auth"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> CertificateRequest {
        CertificateRequest {
            common_name: "system:node:a".into(),
            organizations: vec!["system:nodes".into()],
            ..CertificateRequest::default()
        }
    }

    fn told(signer: &str, request: &CertificateRequest, usages: &[&str]) -> String {
        check(signer, request, usages).err().unwrap_or_default()
    }

    #[test]
    fn a_kubelets_client_certificate_names_a_node_and_nothing_else() {
        let usages = ["client auth", "digital signature"];
        let told = |request: &CertificateRequest, usages: &[&str]| told(KUBELET_CLIENT, request, usages);
        assert_eq!(told(&node(), &usages), "");
        assert_eq!(told(&node(), &["client auth", "key encipherment", "digital signature"]), "");
        assert_eq!(
            told(&node(), &["server auth"]),
            "usages did not match [client auth digital signature key encipherment]"
        );
        let groups = vec!["system:nodes".to_owned(), "b".to_owned()];
        let two = CertificateRequest { organizations: groups, ..node() };
        assert_eq!(told(&two, &usages), "subject organization is not system:nodes");
        let other = CertificateRequest { common_name: "jane".into(), ..node() };
        assert_eq!(told(&other, &usages), "subject common name does not begin with system:node:");
        let named = CertificateRequest { dns_names: vec!["a".into()], ..node() };
        assert_eq!(told(&named, &usages), "DNS subjectAltNames are not allowed");
    }

    #[test]
    fn a_kubelets_serving_certificate_names_where_it_serves() {
        let usages = ["server auth", "digital signature"];
        assert_eq!(told(KUBELET_SERVING, &node(), &usages), "DNS or IP subjectAltName is required");
        let named = CertificateRequest { dns_names: vec!["a".into()], ..node() };
        assert_eq!(told(KUBELET_SERVING, &named, &usages), "");
        assert_eq!(
            told(KUBELET_SERVING, &named, &["client auth"]),
            "usages did not match [digital signature key encipherment server auth]"
        );
    }

    #[test]
    fn a_client_of_the_api_server_is_a_client_and_nothing_else() {
        assert_eq!(told(API_SERVER_CLIENT, &node(), &["client auth", "key encipherment"]), "");
        assert_eq!(
            told(API_SERVER_CLIENT, &node(), &["client auth", "server auth"]),
            "invalid usage for client certificate: server auth"
        );
        assert_eq!(
            told(API_SERVER_CLIENT, &node(), &[]),
            "missing required usage for client certificate: client auth"
        );
        assert_eq!(check(LEGACY_UNKNOWN, &node(), &["any"]), Ok(true));
        assert_eq!(check("example.com/x", &node(), &["any"]), Ok(false));
    }
}
