//! CertificateSigningRequest: asks a signer for a certificate; approved through one lens, signed through another.

use super::conditions;
use crate::{Column, Cx, Info, Kind, NameRule, keep_field, print, validation};
use api::x509::{self, CertificateRequest};
use api::{Fault, Map, Path, Value, names, pem};

const SPEC: &str = "io.k8s.api.certificates.v1.CertificateSigningRequestSpec";
const STATUS: &str = "io.k8s.api.certificates.v1.CertificateSigningRequestStatus";
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const MIN_EXPIRATION_SECS: i64 = 600;
const MAX_DOMAIN: usize = names::SUBDOMAIN_MAX_LENGTH;
const MAX_SIGNER: usize = 2 * names::SUBDOMAIN_MAX_LENGTH + names::LABEL_MAX_LENGTH + 2;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub struct CertificateSigningRequest(Info);

impl CertificateSigningRequest {
    pub fn new() -> Self {
        let info =
            Info::new("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests");
        let info = info.short(&["csr"]).cluster_scoped().names(NameRule::Own);
        CertificateSigningRequest(info.lens("approval").with_status())
    }
}

fn decoded(obj: &Value, path: &[&str]) -> String {
    let bytes = pem::decode_base64(obj.str_at(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn request_fault(obj: &Value) -> Option<Fault> {
    let reason = CertificateRequest::from_pem(&decoded(obj, &["spec", "request"])).err()?;
    let shown = obj.at(&["spec", "request"]).cloned().unwrap_or_default();
    Some(Fault::invalid("spec.request", shown, reason))
}

fn certificate_fault(obj: &Value) -> Option<Fault> {
    let text = decoded(obj, &["status", "certificate"]);
    if text.is_empty() {
        return None;
    }
    let blocks = pem::blocks(&text);
    let reason = match blocks.iter().find_map(block_fault) {
        Some(reason) => reason,
        None if blocks.is_empty() => "must contain at least one CERTIFICATE PEM block".to_owned(),
        None => return None,
    };
    Some(Fault::invalid("status.certificate", "<certificate data>", reason))
}

fn block_fault(block: &pem::Block) -> Option<String> {
    match () {
        () if block.label != "CERTIFICATE" => {
            Some(format!("only CERTIFICATE PEM blocks are allowed, found {}", api::quote(&block.label)))
        }
        () if block.has_headers => Some("no PEM block headers are permitted".to_owned()),
        () => x509::certificate_end(&block.der).err(),
    }
}

fn usage_faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let at = Path::new("spec").child("usages");
    let usages = |v: &Value| -> Vec<String> {
        v.list_at(&["spec", "usages"]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let repeated = |list: &[String]| -> Vec<usize> {
        (0..list.len()).filter(|i| list[..*i].contains(&list[*i])).collect()
    };
    let before = old.map(usages).unwrap_or_default();
    let now = usages(obj);
    if now.is_empty() {
        return vec![Fault::required(at, "")];
    }
    let mut faults = Vec::new();
    if before.iter().all(|u| USAGES.contains(&u.as_str())) {
        let checks = now.iter().enumerate().map(|(i, u)| validation::one_of(u, &USAGES, &at.index(i)));
        faults.extend(checks.flatten());
    }
    if repeated(&before).is_empty() {
        faults.extend(repeated(&now).into_iter().map(|i| Fault::duplicate(at.index(i), now[i].as_str())));
    }
    faults
}

/// Faults of a signer's name, `example.com/signer-name`.
fn signer_faults(signer: &str, at: &Path) -> Vec<Fault> {
    if signer.is_empty() {
        return vec![Fault::required(at, "")];
    }
    let (domain, name) = match signer.split_once('/') {
        Some((domain, name)) if !name.contains('/') => (domain, name),
        _ => {
            let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
            return vec![Fault::invalid(at, signer, text)];
        }
    };
    let mut faults = Vec::new();
    if domain.len() > MAX_DOMAIN {
        faults.push(Fault::too_long(at, MAX_DOMAIN));
    }
    let label_faults = |part: &str, rule: fn(&str) -> Vec<String>| -> Vec<Fault> {
        let bad = part.split('.').map(|label| (label, rule(label))).find(|(_, texts)| !texts.is_empty());
        let (label, texts) = bad.unwrap_or_default();
        let texts = texts.into_iter().map(|t| format!("validating label {}: {t}", api::quote(label)));
        texts.map(|t| Fault::invalid(at, part, t)).collect()
    };
    faults.extend(label_faults(domain, names::is_dns1123_label));
    if !domain.contains('.') {
        let text = "should be a domain with at least two segments separated by dots";
        faults.push(Fault::invalid(at, domain, text));
    }
    faults.extend(label_faults(name, names::is_dns1123_subdomain));
    if signer.len() > MAX_SIGNER {
        faults.push(Fault::too_long(at, MAX_SIGNER));
    }
    faults
}

fn faults(obj: &Value, old: Option<&Value>) -> Vec<Fault> {
    let signer = obj.str_at(&["spec", "signerName"]);
    let at = Path::new("spec").child("signerName");
    let legacy_before = old.is_some_and(|o| o.str_at(&["spec", "signerName"]) == LEGACY_SIGNER);
    let mut faults: Vec<Fault> = request_fault(obj).into_iter().collect();
    faults.extend(usage_faults(obj, old));
    if signer == LEGACY_SIGNER && !legacy_before {
        let text = "the legacy signerName is not allowed via this API version";
        faults.push(Fault::invalid(&at, signer, text));
    } else {
        faults.extend(signer_faults(signer, &at));
    }
    if let Some(secs) = obj.i64_at(&["spec", "expirationSeconds"]).filter(|s| *s < MIN_EXPIRATION_SECS) {
        let text = "may not specify a duration less than 600 seconds (10 minutes)";
        faults.push(Fault::invalid("spec.expirationSeconds", secs, text));
    }
    faults.extend(conditions::faults(obj, old));
    let unchanged = old.is_some_and(|o| {
        o.str_at(&["status", "certificate"]) == obj.str_at(&["status", "certificate"])
            || certificate_fault(o).is_some()
    });
    if !unchanged {
        faults.extend(certificate_fault(obj));
    }
    faults
}

fn change_faults(new: &Value, old: &Value, subresource: &str) -> Vec<Fault> {
    let certificate = |v: &Value| v.str_at(&["status", "certificate"]).to_owned();
    let at = Path::new("status").child("certificate");
    let mut faults = faults(new, Some(old));
    faults.extend(conditions::change_faults(new, old, subresource == "approval"));
    if certificate(new) != certificate(old) {
        if subresource != "status" {
            faults.push(Fault::forbidden(at, "updates may not set certificate content"));
        } else if !certificate(old).is_empty() {
            faults.push(Fault::forbidden(at, "updates may not modify existing certificate content"));
        }
    }
    faults
}

/// `Pending`, `Approved` or `Denied`, then what else became of it.
fn state(obj: &Value) -> String {
    let has = |name: &str| obj.list_at(&conditions::CONDITIONS).iter().any(|c| c.str_at(&["type"]) == name);
    let decision = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if obj.str_at(&["status", "certificate"]).is_empty() { "" } else { ",Issued" };
    format!("{decision}{failed}{issued}")
}

impl Kind for CertificateSigningRequest {
    fn info(&self) -> &Info {
        &self.0
    }

    /// Who asks is who is logged in, whatever the body says.
    fn prepare_create(&self, obj: &mut Value, cx: &Cx<'_>) {
        let groups: Vec<&str> = cx.groups.iter().map(String::as_str).collect();
        obj.unset(&["status"]);
        obj.unset(&["spec", "extra"]);
        obj.set(&["spec", "username"], cx.user);
        obj.set(&["spec", "uid"], cx.uid);
        obj.set(&["spec", "groups"], groups);
        if !cx.extra.is_empty() {
            let extra: Map = cx.extra.iter().cloned().collect();
            obj.set(&["spec", "extra"], extra);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        keep_field(new, old, "spec");
        keep_field(new, old, "status");
    }

    fn prepare_lens(&self, new: &mut Value, old: &Value, cx: &Cx<'_>) {
        keep_field(new, old, "spec");
        if cx.subresource == "approval" {
            conditions::fill_times(new, old, cx.now);
            let decided = new.at(&conditions::CONDITIONS).cloned();
            keep_field(new, old, "status");
            match decided {
                Some(decided) => new.set(&conditions::CONDITIONS, decided),
                None => drop(new.unset(&conditions::CONDITIONS)),
            }
        } else {
            conditions::keep_decisions(new, old);
            conditions::fill_times(new, old, cx.now);
        }
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj, None)
    }

    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        change_faults(new, old, "")
    }

    fn validate_lens(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        change_faults(new, old, cx.subresource)
    }

    fn reset_fields(&self, subresource: &str) -> Vec<Vec<&'static str>> {
        match subresource {
            "approval" => vec![vec!["spec"], vec!["status", "certificate"]],
            "status" => vec![vec!["spec"], vec!["status", "conditions"]],
            _ => vec![vec!["spec"], vec!["status"]],
        }
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.signerName", obj.str_at(&["spec", "signerName"]).to_owned())]
    }

    fn columns(&self) -> Vec<Column> {
        let spec = |name: &str, field| Column::field(name, "string", SPEC, field);
        vec![
            Column::name(),
            Column::age(),
            spec("SignerName", "signerName"),
            spec("Requestor", "request"),
            spec("RequestedDuration", "expirationSeconds"),
            Column::field("Condition", "string", STATUS, "conditions"),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let asked = obj.i64_at(&["spec", "expirationSeconds"]);
        vec![
            print::name(obj),
            print::age(obj, now),
            print::or_else(obj.str_at(&["spec", "signerName"]), "<none>").into(),
            obj.str_at(&["spec", "username"]).into(),
            asked.map_or_else(|| "<none>".to_owned(), print::human_duration).into(),
            state(obj).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn texts(obj: &Value) -> Vec<String> {
        faults(obj, None).iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn an_empty_request_lacks_everything() {
        assert_eq!(
            texts(&tree!({"spec": {}})),
            [
                "spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST",
                "spec.usages: Required value",
                "spec.signerName: Required value",
            ]
        );
    }

    #[test]
    fn who_asks_is_who_is_logged_in() {
        let mut obj =
            tree!({"spec": {"username": "root", "uid": "0", "extra": {"a": ["b"]}}, "status": {"x": "y"}});
        let groups = ["g".to_owned()];
        let extra = [("k".to_owned(), vec!["v".to_owned()])];
        let cx = Cx { user: "jane", uid: "1", groups: &groups, extra: &extra, ..crate::testing::cx("") };
        CertificateSigningRequest::new().prepare_create(&mut obj, &cx);
        assert_eq!(
            obj,
            tree!({"spec": {"username": "jane", "uid": "1", "extra": {"k": ["v"]}, "groups": ["g"]}})
        );
    }

    #[test]
    fn signers_are_a_domain_and_a_name() {
        let at = Path::new("s");
        assert!(signer_faults("example.com/signer", &at).is_empty());
        assert_eq!(
            signer_faults("nodomain", &at)[0].body(),
            "Invalid value: \"nodomain\": must be a fully qualified domain and path of the form 'example.com/signer-name'"
        );
        assert_eq!(
            signer_faults("com/x", &at)[0].body(),
            "Invalid value: \"com\": should be a domain with at least two segments separated by dots"
        );
    }

    #[test]
    fn the_state_names_decision_and_outcome() {
        let obj = tree!({"status": {"conditions": [{"type": "Approved", "status": "True"}], "certificate": "eA=="}});
        assert_eq!(state(&obj), "Approved,Issued");
        assert_eq!(state(&tree!({})), "Pending");
    }
}
