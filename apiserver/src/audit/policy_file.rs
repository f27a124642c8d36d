//! Reads an audit policy: `audit.k8s.io/v1 Policy` in YAML or JSON. Unknown fields are warned of, as upstream does; what
//! makes no sense is refused.

use super::policy::{GroupResources, Level, Policy, Rule, Stage};
use api::{Fault, Path, Value, names, schema, yaml};

const API_VERSION: &str = "audit.k8s.io/v1";
const TYPE: &str = "io.k8s.apiserver.pkg.apis.audit.v1.Policy";

/// The policy of a file; one line that says what is wrong with it.
pub fn load(path: &std::path::Path) -> Result<Policy, String> {
    let shown = path.display();
    let failed = |why: String| format!("loading audit policy file: {why}");
    let text = std::fs::read(path)
        .map_err(|e| failed(format!("failed to read file path {}: {e}", api::quote(&shown.to_string()))))?;
    parse(&text).map_err(|why| failed(format!("{why}: from file {shown}")))
}

/// The policy of a text.
pub fn parse(text: &[u8]) -> Result<Policy, String> {
    let failed = |why: &dyn std::fmt::Display| format!("failed decoding: {why}");
    let raw = yaml::parse(text).map_err(|e| failed(&e))?;
    check_type(&raw)?;
    let types = schema::builtin();
    let ty = types.find(TYPE).ok_or("audit policies are not in the schema")?;
    let decoded = schema::decode(types, ty, raw, true).map_err(|e| failed(&e))?;
    if !decoded.strict.is_empty() {
        tracing::warn!("audit policy contains errors, which are ignored: {}", decoded.strict.join(", "));
    }
    let faults = faults(&decoded.value);
    if !faults.is_empty() {
        return Err(super::aggregate(&faults));
    }
    let policy = policy(&decoded.value);
    if policy.rules.is_empty() { Err("loaded illegal policy with 0 rules".to_owned()) } else { Ok(policy) }
}

fn check_type(raw: &Value) -> Result<(), String> {
    let (kind, version) = (raw.str_at(&["kind"]), raw.str_at(&["apiVersion"]));
    for (name, text) in [("Kind", kind), ("apiVersion", version)] {
        if text.is_empty() {
            return Err(format!("failed decoding: Object '{name}' is missing"));
        }
    }
    if (kind, version) == ("Policy", API_VERSION) {
        return Ok(());
    }
    Err(format!(
        "failed decoding: no kind {} is registered for version {}",
        api::quote(kind),
        api::quote(version)
    ))
}

fn policy(value: &Value) -> Policy {
    Policy {
        rules: value.list_at(&["rules"]).iter().map(rule).collect(),
        omit_stages: stages(value),
        omit_managed_fields: value.bool_at(&["omitManagedFields"]),
    }
}

fn rule(value: &Value) -> Rule {
    Rule {
        level: Level::parse(value.str_at(&["level"])).unwrap_or_default(),
        users: texts(value, "users"),
        user_groups: texts(value, "userGroups"),
        verbs: texts(value, "verbs"),
        resources: value.list_at(&["resources"]).iter().map(group_resources).collect(),
        namespaces: texts(value, "namespaces"),
        non_resource_urls: texts(value, "nonResourceURLs"),
        omit_stages: stages(value),
        omit_managed_fields: value.get("omitManagedFields").and_then(Value::as_bool),
    }
}

fn group_resources(value: &Value) -> GroupResources {
    GroupResources {
        group: value.str_at(&["group"]).to_owned(),
        resources: texts(value, "resources"),
        resource_names: texts(value, "resourceNames"),
    }
}

fn stages(value: &Value) -> Vec<Stage> {
    texts(value, "omitStages").iter().filter_map(|text| Stage::parse(text)).collect()
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    value.list_at(&[field]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn faults(policy: &Value) -> Vec<Fault> {
    let mut faults = stage_faults(policy, &Path::new("omitStages"));
    for (i, rule) in policy.list_at(&["rules"]).iter().enumerate() {
        rule_faults(rule, &Path::new("rules").index(i), &mut faults);
    }
    faults
}

fn rule_faults(rule: &Value, at: &Path, faults: &mut Vec<Fault>) {
    let level = rule.str_at(&["level"]);
    if level.is_empty() {
        faults.push(Fault::required(at.child("level"), ""));
    } else if Level::parse(level).is_none() {
        faults.push(Fault::not_supported(at.child("level"), level, &Level::ALL.map(Level::as_str)));
    }
    let urls = rule.list_at(&["nonResourceURLs"]);
    for (i, url) in urls.iter().enumerate() {
        url_faults(url.as_str().unwrap_or_default(), &at.child("nonResourceURLs").index(i), faults);
    }
    let resources = rule.list_at(&["resources"]);
    resources.iter().for_each(|group| resource_faults(group, &at.child("resources"), faults));
    faults.extend(stage_faults(rule, &at.child("omitStages")));
    let names_resources = !resources.is_empty() || !rule.list_at(&["namespaces"]).is_empty();
    if !urls.is_empty() && names_resources {
        const WHY: &str = "rules cannot apply to both regular resources and non-resource URLs";
        faults.push(Fault::invalid(at.child("nonResourceURLs"), urls.to_vec(), WHY));
    }
}

fn url_faults(url: &str, at: &Path, faults: &mut Vec<Fault>) {
    if url == "*" {
        return;
    }
    if !url.starts_with('/') {
        faults.push(Fault::invalid(at, url, "non-resource URL rules must begin with a '/' character"));
    }
    if url.char_indices().any(|(i, c)| c == '*' && i + 1 < url.len()) {
        let why = "non-resource URL wildcards '*' must be the final character of the rule";
        faults.push(Fault::invalid(at, url, why));
    }
}

fn resource_faults(value: &Value, at: &Path, faults: &mut Vec<Fault>) {
    let group = value.str_at(&["group"]);
    if !matches!(group, "" | "*") {
        let why = names::is_dns1123_subdomain(group);
        if !why.is_empty() {
            faults.push(Fault::invalid(at.child("group"), group, why.join(",")));
        }
    }
    let named = value.list_at(&["resourceNames"]);
    if !named.is_empty() && value.list_at(&["resources"]).is_empty() {
        let why = "using resourceNames requires at least one resource";
        faults.push(Fault::invalid(at.child("resourceNames"), named.to_vec(), why));
    }
}

fn stage_faults(value: &Value, at: &Path) -> Vec<Fault> {
    let allowed = format!("allowed stages are {}", Stage::ALL.map(Stage::as_str).join(","));
    let stages = value.list_at(&["omitStages"]).iter().map(|stage| stage.as_str().unwrap_or_default());
    let wrong = stages.enumerate().filter(|(_, stage)| Stage::parse(stage).is_none());
    wrong.map(|(i, stage)| Fault::invalid(at.index(i), stage, allowed.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rest: &str) -> Result<Policy, String> {
        parse(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rest}").as_bytes())
    }

    #[test]
    fn a_policy_is_read_whole() {
        let policy = with(
            "omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n- level: None\n  users: [a]\n  verbs: [watch]\n\
             \x20 resources:\n  - group: apps\n    resources: [deployments]\n    resourceNames: [web]\n\
             - level: RequestResponse\n  userGroups: [g]\n  namespaces: ['']\n  omitStages: [Panic]\n  omitManagedFields: false\n\
             - level: Metadata\n  nonResourceURLs: ['/api*']\n",
        )
        .unwrap();
        assert_eq!((policy.rules.len(), policy.omit_managed_fields), (3, true));
        assert_eq!(policy.omit_stages, [Stage::RequestReceived]);
        let [first, second, third] = &policy.rules[..] else { panic!() };
        assert_eq!((first.level, first.users.len(), first.verbs.len()), (Level::None, 1, 1));
        assert_eq!(first.resources[0].resource_names, ["web"]);
        assert_eq!((second.level, second.omit_managed_fields), (Level::RequestResponse, Some(false)));
        assert_eq!(
            (&second.namespaces[..], &second.omit_stages[..]),
            (&[String::new()][..], &[Stage::Panic][..])
        );
        assert_eq!(third.non_resource_urls, ["/api*"]);
        assert!(with("rules: [{level: None, surprise: 1}]").is_ok());
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_upstreams_words() {
        for (text, why) in [
            ("rules: []", "loaded illegal policy with 0 rules"),
            ("rules: [{}]", "rules[0].level: Required value"),
            (
                "rules: [{level: Some}]",
                r#"rules[0].level: Unsupported value: "Some": supported values: "None", "Metadata", "Request", "RequestResponse""#,
            ),
            (
                "omitStages: [Never]\nrules: [{level: None}]",
                r#"omitStages[0]: Invalid value: "Never": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic"#,
            ),
            (
                "rules: [{level: None, nonResourceURLs: [x, '/a*b']}]",
                r#"[rules[0].nonResourceURLs[0]: Invalid value: "x": non-resource URL rules must begin with a '/' character, rules[0].nonResourceURLs[1]: Invalid value: "/a*b": non-resource URL wildcards '*' must be the final character of the rule]"#,
            ),
            (
                "rules: [{level: None, nonResourceURLs: ['*'], namespaces: [a]}]",
                r#"rules[0].nonResourceURLs: Invalid value: ["*"]: rules cannot apply to both regular resources and non-resource URLs"#,
            ),
            (
                "rules: [{level: None, resources: [{resourceNames: [a]}]}]",
                r#"rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires at least one resource"#,
            ),
        ] {
            assert_eq!(with(text).unwrap_err(), why, "{text}");
        }
        assert!(
            with("rules: [{level: None, resources: [{group: 'a/v1'}]}]")
                .unwrap_err()
                .contains("resources.group")
        );
        assert!(with("rules: 7").unwrap_err().starts_with("failed decoding: "));
        assert!(parse(b"kind: Policy\nrules: []").unwrap_err().contains("apiVersion"));
        assert!(parse(b"{").is_err());
    }
}
