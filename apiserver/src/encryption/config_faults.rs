//! What makes no sense in an EncryptionConfiguration, in upstream's words.

use super::config::{GroupResource, kms_timeout, kms_version, secret};
use api::{Fault, Path, Value};
use std::collections::HashSet;

/// All faults. `reload`: names of plugins are unique whatever their version.
pub fn faults(config: &Value, reload: bool) -> Vec<Fault> {
    let root = Path::new("resources");
    let resources = config.list_at(&["resources"]);
    if resources.is_empty() {
        return vec![Fault::required(&root, "at least one resources is required")];
    }
    let mut check = Check { faults: Vec::new(), names: HashSet::new(), reload };
    for (i, resource) in resources.iter().enumerate() {
        check.resource(resource, &root.index(i));
    }
    check.faults
}

struct Check<'a> {
    faults: Vec<Fault>,
    /// Names of plugins seen so far.
    names: HashSet<&'a str>,
    reload: bool,
}

impl<'a> Check<'a> {
    fn resource(&mut self, config: &'a Value, at: &Path) {
        let (resources_at, providers_at) = (at.child("resources"), at.child("providers"));
        let texts = config.list_at(&["resources"]).iter();
        let texts: Vec<&str> = texts.map(|text| text.as_str().unwrap_or_default()).collect();
        if texts.is_empty() {
            let why = format!("at least one {resources_at} is required");
            self.faults.push(Fault::required(&resources_at, why));
        }
        overlap(&texts, &resources_at, &mut self.faults);
        for (i, text) in texts.iter().enumerate() {
            if let Some(why) = name_fault(text) {
                self.faults.push(Fault::invalid(resources_at.index(i), *text, why));
            }
        }
        let providers = config.list_at(&["providers"]);
        if providers.is_empty() {
            let why = format!("at least one {providers_at} is required");
            self.faults.push(Fault::required(&providers_at, why));
        }
        for (i, provider) in providers.iter().enumerate() {
            self.provider(provider, &providers_at.index(i));
        }
    }

    fn provider(&mut self, provider: &'a Value, at: &Path) {
        const ALL: [&str; 5] = ["kms", "aesgcm", "aescbc", "secretbox", "identity"];
        let given: Vec<&str> = ALL.into_iter().filter(|name| provider.get(name).is_some()).collect();
        match given.len() {
            0 => {
                let why = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity";
                self.faults.push(Fault::invalid_unshown(at, why));
            }
            1 => {}
            _ => {
                let why = "more than one provider specified in a single element, should split into different list elements";
                self.faults.push(Fault::invalid_unshown(at, why));
            }
        }
        let sizes: &[usize] = if given.first() == Some(&"secretbox") { &[32] } else { &[16, 24, 32] };
        match given.first() {
            Some(&"kms") => self.kms(provider.get("kms").unwrap_or(&Value::Null), &at.child("kms")),
            Some(name) if *name != "identity" => {
                let keys = provider.list_at(&[name, "keys"]);
                self.keys(keys, &at.child(name).child("keys"), sizes);
            }
            _ => {}
        }
    }

    fn keys(&mut self, keys: &[Value], at: &Path, sizes: &[usize]) {
        if keys.is_empty() {
            self.faults.push(Fault::required(at, "at least one keys is required"));
        }
        for (i, key) in keys.iter().enumerate() {
            let at = at.index(i);
            if key.str_at(&["name"]).is_empty() {
                self.faults.push(Fault::required(at.child("name"), "name is a mandatory field for a key"));
            }
            let text = key.str_at(&["secret"]);
            let secret_at = at.child("secret");
            if text.is_empty() {
                self.faults.push(Fault::required(secret_at, "secret is a mandatory field for a key"));
                continue;
            }
            let Some(bytes) = secret(text) else {
                self.faults.push(Fault::invalid(secret_at, "REDACTED", "secrets must be base64 encoded"));
                continue;
            };
            if !sizes.contains(&bytes.len()) {
                let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
                let why = format!(
                    "secret is not of the expected length, got {}, expected one of [{}]",
                    bytes.len(),
                    sizes.join(" ")
                );
                self.faults.push(Fault::invalid(secret_at, "REDACTED", why));
            }
        }
    }

    fn kms(&mut self, kms: &'a Value, at: &Path) {
        let (name, version) = (kms.str_at(&["name"]), kms_version(kms));
        self.kms_name(name, version, &at.child("name"));
        if kms_timeout(kms).is_zero() {
            let given = kms.str_at(&["timeout"]);
            self.faults.push(Fault::invalid(
                at.child("timeout"),
                given,
                "timeout should be a positive value",
            ));
        }
        self.kms_endpoint(kms.str_at(&["endpoint"]), &at.child("endpoint"));
        let size_at = at.child("cachesize");
        match kms.i64_at(&["cachesize"]) {
            Some(size) if version != "v1" => {
                self.faults.push(Fault::invalid(size_at, size, "cachesize is not supported in v2"));
            }
            Some(0) => {
                let why = "cachesize should be a positive value, or negative to disable";
                self.faults.push(Fault::invalid(size_at, 0, why));
            }
            _ => {}
        }
        if !matches!(version, "v1" | "v2") {
            let why = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
            self.faults.push(Fault::invalid(at.child("apiVersion"), version, why));
        }
    }

    fn kms_name(&mut self, name: &'a str, version: &str, at: &Path) {
        if name.is_empty() {
            self.faults.push(Fault::required(at, "name is a mandatory field for a provider"));
        }
        if version != "v1" && name.contains(':') {
            let why = format!("invalid KMS provider name {name}, must not contain ':'");
            self.faults.push(Fault::invalid(at, name, why));
        }
        if !self.names.insert(name) && (self.reload || version != "v1") {
            let why = format!("duplicate KMS provider name {name}, names must be unique");
            self.faults.push(Fault::invalid(at, name, why));
        }
    }

    fn kms_endpoint(&mut self, endpoint: &str, at: &Path) {
        if endpoint.is_empty() {
            self.faults.push(Fault::invalid(at, "", "endpoint is a mandatory field for a kms"));
            return;
        }
        let scheme = endpoint.split_once("://").map_or("", |(scheme, _)| scheme);
        if scheme != "unix" {
            let why =
                format!("unsupported scheme {} for KMS provider, only unix is supported", api::quote(scheme));
            self.faults.push(Fault::invalid(at, endpoint, why));
        }
    }
}

/// The same resource twice in one list, or one that another entry hides.
fn overlap(texts: &[&str], at: &Path, faults: &mut Vec<Fault>) {
    let all: Vec<GroupResource> = texts.iter().map(|text| GroupResource::parse(text)).collect();
    let pairs =
        || all.iter().enumerate().flat_map(|(i, one)| all.iter().skip(i + 1).map(move |two| (one, two)));
    let any = GroupResource::any_of("*");
    let shown: Vec<Value> = texts.iter().map(|text| (*text).into()).collect();
    if pairs().any(|(one, two)| one == two) {
        let why = "the same resource cannot be specified multiple times";
        faults.push(Fault::invalid(at, shown.clone(), why));
    }
    let hides = |one: &GroupResource, two: &GroupResource| {
        one == &any || one.group == two.group && (one.resource == "*" || two.resource == "*")
    };
    if pairs().any(|(one, two)| one != two && (hides(one, two) || hides(two, one))) {
        let why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
        faults.push(Fault::invalid(at, shown, why));
    }
}

fn name_fault(text: &str) -> Option<&'static str> {
    let parsed = GroupResource::parse(text);
    match text {
        _ if text.to_lowercase() != text => Some("resource name should not contain capital letters"),
        "*" => {
            Some("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")
        }
        "apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations" => {
            Some("resources which do not have REST API/s cannot be encrypted")
        }
        _ if parsed.group == "events.k8s.io" => Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file",
        ),
        _ if parsed.group == "extensions" => {
            Some("'extensions' group has been removed and cannot be used for encryption")
        }
        _ if parsed.group == "*" && parsed.resource != "*" => {
            Some("encrypting the same resource across groups is not supported")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{ProviderConfig, parse};

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn with(resources: &str, providers: &str) -> Result<usize, String> {
        let text = format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: {resources}\n  providers: {providers}\n"
        );
        parse(text.as_bytes()).map(|config| config.iter().map(|c| c.providers.len()).sum())
    }

    #[test]
    fn a_configuration_is_read_whole() {
        let keys = format!("{{keys: [{{name: a, secret: {KEY}}}]}}");
        let all = format!(
            "[{{aescbc: {keys}}}, {{aesgcm: {keys}}}, {{secretbox: {keys}}}, {{identity: {{}}}}, {{kms: {{apiVersion: v2, name: k, endpoint: 'unix:///tmp/k', timeout: 5s}}}}]"
        );
        assert_eq!(with("[secrets, '*.apps', foos.example.com]", &all), Ok(5));
        let text = format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{{resources: ['*.*'], providers: {all}}}]"
        );
        let config = parse(text.as_bytes()).unwrap();
        let [ProviderConfig::AesCbc(keys), .., ProviderConfig::Kms { timeout, .. }] =
            &config[0].providers[..]
        else {
            panic!("{config:?}")
        };
        assert_eq!((keys[0].secret.len(), timeout.as_secs()), (32, 5));
        assert!(!format!("{config:?}").contains("0123"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_upstreams_words() {
        let aes = |key: &str| format!("[{{aescbc: {{keys: [{key}]}}}}]");
        let kms =
            |rest: &str| format!("[{{kms: {{name: k, apiVersion: v2, endpoint: 'unix:///k', {rest}}}}}]");
        for (resources, providers, why) in [
            (
                "[]",
                "[{identity: {}}]".to_owned(),
                "resources[0].resources: Required value: at least one resources[0].resources is required",
            ),
            (
                "[secrets]",
                "[]".to_owned(),
                "resources[0].providers: Required value: at least one resources[0].providers is required",
            ),
            (
                "['*']",
                "[{identity: {}}]".to_owned(),
                "resources[0].resources[0]: Invalid value: \"*\": use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
            ),
            (
                "[secrets, secrets]",
                "[{identity: {}}]".to_owned(),
                "resources[0].resources: Invalid value: [\"secrets\",\"secrets\"]: the same resource cannot be specified multiple times",
            ),
            (
                "[secrets, '*.']",
                "[{identity: {}}]".to_owned(),
                "resources[0].resources: Invalid value: [\"secrets\",\"*.\"]: using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked",
            ),
            (
                "[secrets]",
                aes(""),
                "resources[0].providers[0].aescbc.keys: Required value: at least one keys is required",
            ),
            (
                "[secrets]",
                aes("{name: a, secret: QUJD}"),
                "resources[0].providers[0].aescbc.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 3, expected one of [16 24 32]",
            ),
            (
                "[secrets]",
                aes("{name: a, secret: '???'}"),
                "resources[0].providers[0].aescbc.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded",
            ),
            (
                "[secrets]",
                aes(&format!("{{secret: {KEY}}}")),
                "resources[0].providers[0].aescbc.keys[0].name: Required value: name is a mandatory field for a key",
            ),
            (
                "[secrets]",
                kms("timeout: 0s"),
                "resources[0].providers[0].kms.timeout: Invalid value: \"0s\": timeout should be a positive value",
            ),
            (
                "[secrets]",
                kms("cachesize: 3"),
                "resources[0].providers[0].kms.cachesize: Invalid value: 3: cachesize is not supported in v2",
            ),
        ] {
            assert_eq!(with(resources, &providers).unwrap_err(), why);
        }
    }

    #[test]
    fn what_is_strange_is_refused() {
        for (resources, providers) in [
            ("[Secrets]", "[{identity: {}}]"),
            ("[events.events.k8s.io]", "[{identity: {}}]"),
            ("[secrets]", "[{}]"),
            ("[secrets]", "[{identity: {}, kms: {name: x}}]"),
            ("[secrets]", "[{unknown: {}}]"),
            ("[secrets]", "[{kms: {name: 'a:b', apiVersion: v2, endpoint: 'unix:///k'}}]"),
            ("[secrets]", "[{kms: {name: a, apiVersion: v2, endpoint: 'http://k'}}]"),
        ] {
            assert!(with(resources, providers).is_err(), "{resources} {providers}");
        }
    }
}
