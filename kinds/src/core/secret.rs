//! Secret: bytes by key, of a type that says which keys there must be, optionally frozen.

use super::{data, pod_spec::default_zero};
use crate::validation::immutable;
use crate::{Column, Cx, Info, Kind, print};
use api::{Fault, Map, Path, Value, json, names};
use base64::{Engine, engine::general_purpose::STANDARD};

const DEFINITION: &str = "io.k8s.api.core.v1.Secret";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

pub struct Secret(Info);

impl Secret {
    pub fn new() -> Self {
        Secret(Info::new("", "v1", "Secret", "secrets"))
    }
}

/// The bytes at a key.
fn bytes(secret: &Value, key: &str) -> Option<Vec<u8>> {
    secret.at(&["data", key]).map(|v| STANDARD.decode(v.as_str().unwrap_or_default()).unwrap_or_default())
}

/// The keys that the type needs, and what is wrong with what stands there.
fn by_type(secret: &Value) -> Vec<Fault> {
    let path = Path::new("data");
    let missing = |key: &str| Fault::required(path.key(key), "");
    let has = |key: &str| secret.at(&["data", key]).is_some();
    match secret.str_at(&["type"]) {
        "kubernetes.io/service-account-token" => {
            let name = secret.str_at(&["metadata", "annotations", ACCOUNT_NAME]);
            let at = Path::new("metadata").child("annotations").key(ACCOUNT_NAME);
            if name.is_empty() { vec![Fault::required(at, "")] } else { Vec::new() }
        }
        "kubernetes.io/dockercfg" => docker_config(secret, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => docker_config(secret, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            vec![missing("username"), missing("password")]
        }
        "kubernetes.io/ssh-auth" if bytes(secret, "ssh-privatekey").is_none_or(|b| b.is_empty()) => {
            vec![missing("ssh-privatekey")]
        }
        "kubernetes.io/tls" => ["tls.crt", "tls.key"].into_iter().filter(|k| !has(k)).map(missing).collect(),
        _ => Vec::new(),
    }
}

fn docker_config(secret: &Value, key: &str) -> Vec<Fault> {
    let at = Path::new("data").key(key);
    let Some(bytes) = bytes(secret, key) else { return vec![Fault::required(at, "")] };
    let why = match json::parse(&bytes) {
        Ok(Value::Map(_) | Value::Null) => return Vec::new(),
        Ok(other) => {
            let what = other.json_type();
            format!("json: cannot unmarshal {what} into Go value of type map[string]interface {{}}")
        }
        Err(why) => why.to_string(),
    };
    vec![Fault::invalid(at, "<secret contents redacted>", why)]
}

/// The kinds of blocks in PEM text, in their order.
fn pem_blocks(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let starts = text.lines().filter_map(|l| l.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let whole = |kind: &&str| text.contains(&format!("-----END {kind}-----"));
    starts.filter(whole).map(str::to_owned).collect()
}

/// What is wrong with the pair of a TLS secret, as far as its outer form goes.
fn pair_warning(secret: &Value) -> Option<String> {
    let is_key = |kind: &String| kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY");
    let certificate = pem_blocks(&bytes(secret, "tls.crt").unwrap_or_default());
    let skipped = |kinds: &[String]| kinds.join(" ");
    if !certificate.iter().any(|k| k == "CERTIFICATE") {
        return Some(match certificate.as_slice() {
            [] => "tls: failed to find any PEM data in certificate input".to_owned(),
            [only] if is_key(only) => {
                "tls: failed to find certificate PEM data in certificate input, but did find a \
                                       private key; PEM inputs may have been switched"
                    .to_owned()
            }
            kinds => format!(
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the \
                 following types: [{}]",
                skipped(kinds)
            ),
        });
    }
    let key = pem_blocks(&bytes(secret, "tls.key").unwrap_or_default());
    if key.iter().any(is_key) {
        return None;
    }
    Some(match key.as_slice() {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [only] if only == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        kinds => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks \
             of the following types: [{}]",
            skipped(kinds)
        ),
    })
}

impl Kind for Secret {
    fn info(&self) -> &Info {
        &self.0
    }

    fn fill(&self, obj: &mut Value, _version: &str) {
        default_zero(obj, "type", "Opaque");
        let Some(Value::Map(text)) = obj.unset(&["stringData"]) else { return };
        if text.is_empty() {
            return;
        }
        let data = obj.make_map(&["data"]);
        for (key, value) in text {
            data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()));
        }
        data.sort();
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _cx: &Cx<'_>) {
        default_zero(new, "type", old.str_at(&["type"]));
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let path = Path::new("data");
        let mut faults = Vec::new();
        let entries = || obj.map_at(&["data"]).into_iter().flat_map(Map::iter);
        for (key, _) in entries() {
            let wrong = names::is_config_map_key(key).into_iter();
            faults.extend(wrong.map(|text| Fault::invalid(path.key(key), key, text)));
        }
        if entries().map(|(_, value)| data::decoded_len(value)).sum::<usize>() > data::MAX_BYTES {
            faults.push(Fault::too_long(path, data::MAX_BYTES));
        }
        faults.extend(by_type(obj));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value, cx: &Cx<'_>) -> Vec<Fault> {
        let mut faults = immutable(new.get("type"), old.get("type"), &Path::new("type"));
        faults.extend(data::frozen(new, old, &["data"]));
        faults.extend(self.validate(new, cx));
        faults
    }

    fn warn(&self, new: &Value, _old: Option<&Value>, _cx: &Cx<'_>) -> Vec<String> {
        let tls = new.str_at(&["type"]) == "kubernetes.io/tls";
        tls.then(|| pair_warning(new)).flatten().into_iter().collect()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name(),
            Column::field("Type", "string", DEFINITION, "type"),
            Column::field("Data", "string", DEFINITION, "data"),
            Column::age(),
        ]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let entries = obj.map_at(&["data"]).map_or(0, |m| i64::try_from(m.len()).unwrap_or(i64::MAX));
        vec![print::name(obj), obj.str_at(&["type"]).into(), entries.into(), print::age(obj, now)]
    }

    fn fields(&self, obj: &Value) -> Vec<(&'static str, String)> {
        vec![("type", obj.str_at(&["type"]).to_owned())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cx, texts};
    use api::tree;

    #[test]
    fn text_becomes_bytes_and_wins() {
        let mut secret =
            tree!({"data": {"a": "QUFB", "b": ""}, "stringData": {"a": "overridden", "c": "plain text"}});
        Secret::new().fill(&mut secret, "v1");
        let want =
            tree!({"data": {"a": "b3ZlcnJpZGRlbg==", "b": "", "c": "cGxhaW4gdGV4dA=="}, "type": "Opaque"});
        assert_eq!(secret, want);
    }

    #[test]
    fn types_have_keys() {
        let faults = |kind: &str, text: Value| {
            let mut secret = tree!({"type": kind, "stringData": text});
            Secret::new().fill(&mut secret, "v1");
            texts(&Secret::new().validate(&secret, &cx("")))
        };
        assert_eq!(
            faults("kubernetes.io/basic-auth", tree!({})),
            ["data[username]: Required value", "data[password]: Required value"]
        );
        assert_eq!(faults("kubernetes.io/tls", tree!({"tls.crt": ""})), ["data[tls.key]: Required value"]);
        assert_eq!(
            faults("kubernetes.io/dockerconfigjson", tree!({".dockerconfigjson": "not json"})),
            [
                "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'o' in \
              literal null (expecting 'u')"
            ]
        );
    }

    #[test]
    fn pairs_that_are_no_pem_are_warned_about() {
        let secret = tree!({"type": "kubernetes.io/tls", "data": {"tls.crt": "Yw==", "tls.key": "aw=="}});
        assert_eq!(
            Secret::new().warn(&secret, None, &cx("")),
            ["tls: failed to find any PEM data in certificate input"]
        );
    }
}
