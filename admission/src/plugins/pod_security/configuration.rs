//! `PodSecurityConfiguration`: what holds where a namespace says nothing, and who is exempt. Source:
//! pod-security-admission's `admission/api`.

use super::policy::{Level, LevelVersion, Policy, Version};
use crate::configuration::{self, join};
use api::configuration::Form;
use api::{Fault, Path, Value};

const FORM: Form = Form {
    kind: "PodSecurityConfiguration",
    versions: &[
        "pod-security.admission.config.k8s.io/v1",
        "pod-security.admission.config.k8s.io/v1beta1",
        "pod-security.admission.config.k8s.io/v1alpha1",
    ],
    table: "v1.PodSecurityConfiguration\n\tkind\ts\n\tapiVersion\ts\n\tdefaults\tv1.PodSecurityDefaults\n\
            \texemptions\tv1.PodSecurityExemptions\n\
            v1.PodSecurityDefaults\n\tenforce\ts\n\tenforce-version\ts\n\taudit\ts\n\taudit-version\ts\n\
            \twarn\ts\n\twarn-version\ts\n\
            v1.PodSecurityExemptions\n\tusernames\t[s\n\tnamespaces\t[s\n\truntimeClasses\t[s\n",
};

/// The configuration of the plugin, checked.
pub struct Configuration {
    pub defaults: Policy,
    pub usernames: Vec<String>,
    pub namespaces: Vec<String>,
    pub runtime_classes: Vec<String>,
}

impl Configuration {
    /// Everything is privileged and nobody exempt when there is none.
    pub fn read(value: Option<&Value>) -> Result<Self, String> {
        let value = &value.map_or_else(|| Ok(Value::map()), |value| configuration::read(value, &FORM))?;
        let mut faults = Vec::new();
        let mut mode = |name: &str| read_mode(value, name, &mut faults);
        let defaults = Policy { enforce: mode("enforce"), audit: mode("audit"), warn: mode("warn") };
        if !faults.is_empty() {
            return Err(format!("PodSecurity configuration error: {}", join(&faults)));
        }
        let mut exempt =
            |field: &str, check: fn(&str) -> Vec<String>| read_exempt(value, field, check, &mut faults);
        let namespaces = exempt("namespaces", |name| api::names::name_is_dns_label(name, false));
        let runtime_classes = exempt("runtimeClasses", |name| api::names::name_is_dns_subdomain(name, false));
        let usernames = exempt("usernames", |name| match name {
            "" => vec!["username must not be empty".to_owned()],
            _ => Vec::new(),
        });
        if !faults.is_empty() {
            return Err(format!("PodSecurity invalid: {}", join(&faults)));
        }
        Ok(Configuration { defaults, usernames, namespaces, runtime_classes })
    }
}

fn read_mode(value: &Value, mode: &str, faults: &mut Vec<String>) -> LevelVersion {
    let of = |field: &str, default: &'static str| match value.str_at(&["defaults", field]) {
        "" => default.to_owned(),
        text => text.to_owned(),
    };
    let version_field = format!("{mode}-version");
    let level = Level::parse(&of(mode, "privileged"));
    let version = Version::parse(&of(&version_field, "latest"));
    faults.extend(level.as_ref().err().map(|why| format!("{mode}: {why}")));
    faults.extend(version.as_ref().err().map(|why| format!("{version_field}: {why}")));
    LevelVersion { level: level.unwrap_or(Level::Restricted), version: version.unwrap_or(Version::Latest) }
}

fn read_exempt(
    value: &Value,
    field: &str,
    check: fn(&str) -> Vec<String>,
    faults: &mut Vec<String>,
) -> Vec<String> {
    let at = Path::new("exemptions").child(field);
    let mut names: Vec<String> = Vec::new();
    for (i, name) in value.list_at(&["exemptions", field]).iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        let why = check(name);
        if !why.is_empty() {
            faults.push(Fault::invalid(at.index(i), name, why.join(", ")).to_string());
        } else if names.iter().any(|known| known == name) {
            faults.push(Fault::duplicate(at.index(i), name).to_string());
        } else {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn read(mut value: Value) -> Result<Configuration, String> {
        value.set(&["kind"], "PodSecurityConfiguration");
        value.set(&["apiVersion"], FORM.versions[0]);
        Configuration::read(Some(&value))
    }

    #[test]
    fn what_is_left_out_is_privileged() {
        let none = Configuration::read(None).unwrap();
        assert!(none.defaults.is_fully_privileged());
        let some = read(tree!({"defaults": {"enforce": "baseline", "warn-version": "v1.20"}})).unwrap();
        assert_eq!(some.defaults.enforce.to_string(), "baseline:latest");
        assert_eq!(some.defaults.warn.to_string(), "privileged:v1.20");
    }

    #[test]
    fn wrong_configurations_are_refused_in_upstreams_words() {
        let why = |value: Value| read(value).err().unwrap_or_default();
        assert_eq!(
            why(tree!({"defaults": {"enforce": "x", "audit-version": "y"}})),
            "PodSecurity configuration error: [enforce: must be one of privileged, baseline, restricted, audit-version: must be \"latest\" or \"v1.x\"]"
        );
        assert_eq!(
            why(tree!({"exemptions": {"namespaces": ["a", "a"], "usernames": [""]}})),
            "PodSecurity invalid: [exemptions.namespaces[1]: Duplicate value: \"a\", exemptions.usernames[0]: Invalid value: \"\": username must not be empty]"
        );
        assert!(why(tree!({"nonsense": 1})).contains("unknown field \"nonsense\""));
    }
}
