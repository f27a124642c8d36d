//! How plugins read their configuration: the part of the file of `--admission-control-config-file` that is theirs, an
//! object of a kind of its own.

use api::configuration::Form;
use api::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The configuration of a plugin, read strictly.
pub fn read(value: &Value, form: &Form) -> Result<Value, String> {
    api::configuration::read(form, &json::to_vec(value))
}

const ADMISSION: Form = Form {
    kind: "AdmissionConfiguration",
    versions: &["apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"],
    table: "v1.AdmissionConfiguration\n\tkind\ts\n\tapiVersion\ts\n\tplugins\t[v1.AdmissionPluginConfiguration\n\
            v1.AdmissionPluginConfiguration\n\tname\ts\n\tpath\ts\n\tconfiguration\t*\n",
};
/// Plugins whose configuration once was the whole file, and by which field it is known.
const LEGACY: [(&str, &str); 2] =
    [("ImagePolicyWebhook", "imagePolicy"), ("PodNodeSelector", "podNodeSelectorPluginConfig")];

/// The configurations in an AdmissionConfiguration, by plugin: they stand in it, or in files that it names.
pub fn plugins(
    path: &str,
    read: fn(&str) -> Result<Vec<u8>, String>,
) -> Result<BTreeMap<String, Value>, String> {
    let unreadable =
        |why| format!("unable to read admission control configuration from {} [{why}]", api::quote(path));
    let file = parse(&read(path).map_err(unreadable)?)?;
    if LEGACY.iter().any(|(_, field)| file.get(field).is_some()) {
        return Ok(LEGACY.iter().map(|(name, _)| ((*name).to_owned(), file.clone())).collect());
    }
    let file = self::read(&file, &ADMISSION)?;
    let mut found = BTreeMap::new();
    for plugin in file.list_at(&["plugins"]) {
        let inline = plugin.get("configuration").filter(|inline| !inline.is_null());
        let configuration = match (inline, plugin.str_at(&["path"])) {
            (Some(inline), _) => inline.clone(),
            (None, "") => continue,
            (None, named) => parse(&read(&beside(path, named))?)?,
        };
        let name = plugin.str_at(&["name"]).to_owned();
        found.entry(name).or_insert(configuration);
    }
    found.retain(|_, configuration| !configuration.is_null());
    Ok(found)
}

/// A file that is named in another one.
pub fn beside(path: &str, named: &str) -> String {
    let relative = Path::new(path).parent().unwrap_or(Path::new(""));
    relative.join(named).to_string_lossy().into_owned()
}

fn parse(text: &[u8]) -> Result<Value, String> {
    api::yaml::parse(text).map_err(|why| why.to_string())
}

/// Faults in one text, as Go joins errors: alone, or in brackets.
pub fn join(faults: &[String]) -> String {
    match faults {
        [one] => one.clone(),
        _ => format!("[{}]", faults.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_stand_in_the_file_or_in_files_beside_it() {
        fn read(path: &str) -> Result<Vec<u8>, String> {
            match path {
                "/etc/admission.yaml" => Ok(b"kind: AdmissionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nplugins:\n- {name: A, path: a.yaml}\n- {name: B, configuration: {x: 1}}\n- {name: A, configuration: {}}\n- {name: C}\n".to_vec()),
                "/etc/a.yaml" => Ok(b"z: 2".to_vec()),
                "/etc/old.yaml" => Ok(b"imagePolicy: {}".to_vec()),
                "/etc/other.yaml" => Ok(b"kind: Other\napiVersion: v1\n".to_vec()),
                _ => Err(format!("open {path}: no such file or directory")),
            }
        }
        let found = plugins("/etc/admission.yaml", read).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found["A"].i64_at(&["z"]), found["B"].i64_at(&["x"])), (Some(2), Some(1)));
        assert!(plugins("/etc/old.yaml", read).unwrap().contains_key("PodNodeSelector"));
        assert!(plugins("/etc/other.yaml", read).is_err());
        assert_eq!(
            plugins("/etc/none", read).unwrap_err(),
            "unable to read admission control configuration from \"/etc/none\" [open /etc/none: no such file or directory]"
        );
    }
}
