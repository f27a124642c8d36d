//! What an AuthenticationConfiguration may say, and what is refused in it.

use super::*;

const CLAIM: &str = "username: {claim: sub, prefix: 'x:'}";

fn jwt(issuer: &str, mappings: &str, rest: &str) -> String {
    format!("- issuer: {{{issuer}}}\n  claimMappings: {{{mappings}}}\n{rest}")
}

fn parse(jwt: &str, rest: &str) -> Result<Configuration, String> {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n{jwt}\n{rest}"
    );
    Configuration::parse(text.as_bytes(), &["https://kubernetes.default.svc".to_owned()])
}

const ISSUER: &str = "url: 'https://a.example.org', audiences: [me]";

fn refused(jwt: &str, rest: &str) -> String {
    let why = parse(jwt, rest).unwrap_err();
    why.strip_prefix("invalid authentication configuration: ").unwrap_or(&why).to_owned()
}

#[test]
fn a_file_says_whom_to_believe_and_what_makes_a_user() {
    let mappings = "username: {expression: 'claims.name'}, groups: {claim: g, prefix: ''}, uid: {claim: id}, \
                    extra: [{key: example.org/team, valueExpression: claims.team}]";
    let rules = "  claimValidationRules: [{claim: hd, requiredValue: b}, {expression: 'claims.ok == true', message: nope}]\n  \
                 userValidationRules: [{expression: \"!user.username.startsWith('system:')\"}]\n";
    let text = jwt(ISSUER, mappings, rules);
    let anonymous = "anonymous: {enabled: true, conditions: [{path: /livez}]}";
    let Configuration { jwt, anonymous } = parse(&text, anonymous).unwrap();
    assert_eq!(anonymous, Some(Anonymous { enabled: true, paths: vec!["/livez".to_owned()] }));
    let [issuer] = jwt.as_slice() else { panic!("{jwt:?}") };
    assert_eq!(
        (issuer.url.as_str(), issuer.audiences.as_slice()),
        ("https://a.example.org", &["me".to_owned()][..])
    );
    assert_eq!(issuer.required_claims, [("hd".to_owned(), "b".to_owned())]);
    assert_eq!((issuer.claim_rules[0].message.as_str(), issuer.user_rules.len()), ("nope", 1));
    assert!(matches!(&issuer.username, Mapping::Expression(e) if e.text == "claims.name"));
    assert_eq!(issuer.groups, Some(Mapping::Claim { claim: "g".into(), prefix: String::new() }));
    assert_eq!(issuer.extra[0].0, "example.org/team");
    assert_eq!(issuer.signing_algorithms.len(), 9);
}

#[test]
fn what_is_wrong_with_an_issuer_is_told_in_upstreams_words() {
    let wrong = |issuer: &str, why: &str| assert_eq!(refused(&jwt(issuer, CLAIM, ""), ""), why, "{issuer}");
    wrong("audiences: [a]", "jwt[0].issuer.url: Required value");
    wrong(
        "url: 'http://a?b=c', audiences: [a]",
        "[jwt[0].issuer.url: Invalid value: \"http://a?b=c\": URL scheme must be https, \
         jwt[0].issuer.url: Invalid value: \"http://a?b=c\": URL must not contain a query]",
    );
    wrong(
        "url: 'https://u@a/#f', audiences: [a]",
        "[jwt[0].issuer.url: Invalid value: \"https://u@a/#f\": URL must not contain a username or password, \
         jwt[0].issuer.url: Invalid value: \"https://u@a/#f\": URL must not contain a fragment]",
    );
    wrong(
        "url: 'https://kubernetes.default.svc', audiences: [a]",
        "jwt[0].issuer.url: Invalid value: \"https://kubernetes.default.svc\": URL must not overlap with \
         disallowed issuers: [https://kubernetes.default.svc]",
    );
    wrong(
        "url: 'https://a', discoveryURL: 'https://a/', audiences: [a]",
        "jwt[0].issuer.discoveryURL: Invalid value: \"https://a/\": discoveryURL must be different from URL",
    );
    wrong(
        "url: 'https://a'",
        "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
    );
    wrong(
        "url: 'https://a', audiences: [a, b]",
        "jwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be MatchAny for multiple \
         audiences",
    );
    wrong(
        "url: 'https://a', audiences: [a, a], audienceMatchPolicy: MatchAny",
        "jwt[0].issuer.audiences[1]: Duplicate value: \"a\"",
    );
    wrong(
        "url: 'https://a', audiences: [a], certificateAuthority: x",
        "jwt[0].issuer.certificateAuthority: Invalid value: \"<omitted>\": data does not contain any valid RSA or \
         ECDSA certificates",
    );
    let twice = format!("{}\n{}", jwt(ISSUER, CLAIM, ""), jwt(ISSUER, CLAIM, ""));
    assert_eq!(refused(&twice, ""), "jwt[1].issuer.url: Duplicate value: \"https://a.example.org\"");
}

#[test]
fn what_is_wrong_with_mappings_is_told_in_upstreams_words() {
    let wrong = |mappings: &str, part: &str| {
        let why = refused(&jwt(ISSUER, mappings, ""), "");
        assert!(why.contains("jwt[0].claimMappings.") && why.contains(part), "{why}");
    };
    wrong("groups: {claim: g, prefix: ''}", "username: Required value: claim or expression is required");
    wrong("username: {claim: a}", "username.prefix: Required value: prefix is required when claim is set.");
    wrong(
        "username: {claim: a, expression: b}",
        "username: Invalid value: \"\": claim and expression can't both",
    );
    wrong("username: {expression: claims.b, prefix: a}", "username.prefix: Invalid value: \"a\": may not be");
    wrong("username: {expression: user.name}", "Invalid value: \"user.name\": compilation failed: ");
    wrong(
        "username: {expression: claims.email}",
        "username.expression: Invalid value: \"claims.email\": claims.email_verified must be used in",
    );
    let extra = |key: &str| format!("{CLAIM}, extra: [{{key: {key}, valueExpression: claims.a}}]");
    wrong(&extra("foo"), "extra[0].key: Invalid value: \"foo\": must be a domain-prefixed path");
    wrong(&extra("a.k8s.io/b"), "extra[0].key: Invalid value: \"a.k8s.io/b\": k8s.io, kubernetes.io and");
    wrong(&extra("A.org/b"), "must be lowercase");
    let verified = "username: {expression: \"claims.email_verified ? claims.email : ''\"}";
    assert!(parse(&jwt(ISSUER, verified, ""), "").is_ok());
}

#[test]
fn what_is_wrong_with_rules_is_told_in_upstreams_words() {
    let wrong = |rules: &str, why: &str| assert_eq!(refused(&jwt(ISSUER, CLAIM, rules), ""), why, "{rules}");
    wrong(
        "  claimValidationRules: [{}]",
        "jwt[0].claimValidationRules[0]: Required value: claim or expression is required",
    );
    wrong(
        "  claimValidationRules: [{claim: a, expression: b}]",
        "jwt[0].claimValidationRules[0]: Invalid value: \"a\": claim and expression can't both be set",
    );
    wrong(
        "  claimValidationRules: [{expression: \"'a'\"}]",
        "jwt[0].claimValidationRules[0].expression: Invalid value: \"'a'\": must evaluate to bool",
    );
    wrong(
        "  claimValidationRules: [{claim: a}, {claim: a}]",
        "jwt[0].claimValidationRules[1].claim: Duplicate value: \"a\"",
    );
    wrong("  userValidationRules: [{}]", "jwt[0].userValidationRules[0].expression: Required value");
    wrong(
        "  userValidationRules: [{expression: 'true'}, {expression: 'true'}]",
        "jwt[0].userValidationRules[1].expression: Duplicate value: \"true\"",
    );
    let conditions = "anonymous: {enabled: false, conditions: [{path: /a}]}";
    let why = refused("", conditions);
    assert!(why.starts_with("anonymous.conditions: Invalid value: "), "{why}");
    assert_eq!(Configuration::parse(b"", &[]), Err("empty config data".to_owned()));
}

#[test]
fn flags_make_one_issuer() {
    let flags = OidcFlags {
        issuer_url: "https://a".to_owned(),
        client_id: "me".to_owned(),
        username_claim: "sub".to_owned(),
        groups_claim: "g".to_owned(),
        groups_prefix: "g:".to_owned(),
        signing_algorithms: vec!["RS256".to_owned()],
        required_claims: vec![("hd".to_owned(), "b".to_owned())],
        ..OidcFlags::default()
    };
    let issuer = Configuration::of_flags(&flags, &[]).unwrap().jwt.remove(0);
    let claim = |claim: &str, prefix: &str| Mapping::Claim { claim: claim.into(), prefix: prefix.into() };
    assert_eq!((issuer.username, issuer.groups), (claim("sub", "https://a#"), Some(claim("g", "g:"))));
    assert_eq!(issuer.required_claims, flags.required_claims);
    let mail = OidcFlags { username_claim: "email".to_owned(), ..flags.clone() };
    assert_eq!(Configuration::of_flags(&mail, &[]).unwrap().jwt[0].username, claim("email", ""));
    let plain = OidcFlags { username_prefix: "-".to_owned(), ..flags.clone() };
    assert_eq!(Configuration::of_flags(&plain, &[]).unwrap().jwt[0].username, claim("sub", ""));
    let odd = OidcFlags { signing_algorithms: vec!["HS256".to_owned()], ..flags };
    assert_eq!(Configuration::of_flags(&odd, &[]).unwrap_err(), "oidc: unsupported signing alg: \"HS256\"");
}
