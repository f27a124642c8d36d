//! What an AuthorizationConfiguration may say, and what is refused in it.

use super::*;

const KUBECONFIG: &str = "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n\
                          clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1/authz', certificate-authority: ca.pem}}]\n";

fn read_file(path: &str) -> Result<Vec<u8>, String> {
    match path {
        "/etc/hook.kubeconfig" => Ok(KUBECONFIG.as_bytes().to_vec()),
        "/etc/ca.pem" => Ok(b"CA".to_vec()),
        other => Err(format!("open {other}: no such file or directory")),
    }
}

fn parse(authorizers: &str) -> Result<Configuration, String> {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n{authorizers}"
    );
    Configuration::parse(text.as_bytes(), &read_file)
}

const WEBHOOK: &str = "- type: Webhook\n  name: hook\n  webhook:\n    timeout: 3s\n    subjectAccessReviewVersion: v1\n    \
                       failurePolicy: Deny\n    connectionInfo: {type: KubeConfigFile, kubeConfigFile: /etc/hook.kubeconfig}\n";

#[test]
fn a_file_says_who_is_asked_and_when() {
    let conditions = "    unauthorizedTTL: 7s\n    cacheAuthorizedRequests: false\n    \
                      matchConditionSubjectAccessReviewVersion: v1\n    matchConditions:\n    \
                      - expression: request.user != 'jane'\n";
    let text = format!("{WEBHOOK}{conditions}- {{type: Node, name: node}}\n- {{type: RBAC, name: rbac}}\n");
    let Configuration { authorizers } = parse(&text).unwrap();
    let [Mode::Webhook(hook), Mode::Node, Mode::Rbac] = authorizers.as_slice() else {
        panic!("{authorizers:?}")
    };
    assert_eq!((hook.name.as_str(), hook.remote.url.as_str()), ("hook", "https://127.0.0.1:1/authz"));
    assert_eq!(hook.remote.ca.as_deref(), Some(&b"CA"[..]));
    assert_eq!((hook.timeout.as_secs(), hook.deny_on_error), (3, true));
    assert_eq!((hook.authorized_ttl.as_secs(), hook.unauthorized_ttl.as_secs()), (0, 7));
    assert_eq!(hook.match_conditions[0].expression, "request.user != 'jane'");
}

#[test]
fn what_is_wrong_is_told_in_upstreams_words() {
    let wrong = |text: &str, why: &str| assert_eq!(parse(text).unwrap_err(), why, "{text}");
    wrong("  []", "authorizers: Required value: at least one authorization mode must be defined");
    wrong("- {name: a}", "authorizers[0].type: Required value");
    wrong(
        "- {type: Foo, name: foo}",
        "authorizers[0].type: Unsupported value: \"Foo\": supported values: \"AlwaysAllow\", \"AlwaysDeny\", \
         \"Node\", \"RBAC\", \"Webhook\"",
    );
    wrong(
        "- {type: RBAC, name: rbac}\n- {type: RBAC, name: b}",
        "authorizers[1].type: Duplicate value: \"RBAC\"",
    );
    wrong("- {type: RBAC, name: roles}", "expected name rbac for authorizer RBAC instead of roles");
    wrong(
        "- {type: RBAC, name: rbac, webhook: {}}",
        "authorizers[0].webhook: Invalid value: \"non-null\": may only be specified when type=Webhook",
    );
    wrong(
        "- {type: Webhook, name: hook}",
        "authorizers[0].webhook: Required value: required when type=Webhook",
    );
    let with = |from: &str, to: &str| parse(&WEBHOOK.replace(from, to)).unwrap_err();
    assert_eq!(with("timeout: 3s", "timeout: 0s"), "authorizers[0].timeout: Required value");
    assert_eq!(
        with("timeout: 3s", "timeout: 31s"),
        "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s"
    );
    assert_eq!(
        with("timeout: 3s", "timeout: -1s"),
        "authorizers[0].timeout: Invalid value: \"-1s\": must be > 0s and <= 30s"
    );
    assert_eq!(
        with("/etc/hook", "/no/hook"),
        "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/no/hook.kubeconfig\": error loading \
         file: open /no/hook.kubeconfig: no such file or directory"
    );
    assert_eq!(
        with("Deny", "Allow"),
        "authorizers[0].failurePolicy: Unsupported value: \"Allow\": supported values: \"NoOpinion\", \"Deny\""
    );
    assert!(with("    timeout", "    timeouts").starts_with(
        "failed to load AuthorizationConfiguration from file: strict decoding error: unknown field"
    ));
}

#[test]
fn conditions_are_compiled_at_the_start() {
    let with = |conditions: &str| {
        parse(&format!(
            "{WEBHOOK}    matchConditionSubjectAccessReviewVersion: v1\n    matchConditions:\n{conditions}"
        ))
    };
    let wrong = |conditions: &str, part: &str| {
        let why = with(conditions).unwrap_err();
        assert!(why.contains(part), "{why}");
    };
    wrong(
        "    - {expression: 'request.'}",
        "matchConditions[0].expression: Invalid value: \"request.\": compilation",
    );
    wrong("    - {expression: 'user == 1'}", "compilation failed: ");
    wrong("    - {expression: '\"a\"'}", "must evaluate to bool but got string");
    wrong("    - {expression: ''}", "authorizers[0].matchConditions[0].expression: Required value");
    wrong("    - {expression: 'true'}\n    - {expression: 'true'}", "expression: Duplicate value: \"true\"");
    let why = parse(&format!("{WEBHOOK}    matchConditions: [{{expression: 'true'}}]")).unwrap_err();
    assert!(why.ends_with("Required value: required if match conditions are specified"), "{why}");
}

#[test]
fn what_follows_the_cluster_stays_as_it_was_at_the_start() {
    let of = |types: &[&str]| Configuration {
        authorizers: types.iter().filter_map(|kind| Mode::of_type(kind)).collect(),
    };
    assert_eq!(of(&["Node", "RBAC"]).may_become(&of(&["RBAC", "Node", "AlwaysDeny"])), Ok(()));
    let missing = of(&["RBAC", "Node"]).may_become(&of(&["AlwaysAllow"])).unwrap_err();
    assert_eq!(missing, "missing required types: [Node RBAC]");
    let new = of(&["AlwaysAllow"]).may_become(&of(&["AlwaysAllow", "RBAC"])).unwrap_err();
    assert_eq!(new, "authorizer type RBAC is not allowed if it was not enabled at initial server startup");
}
