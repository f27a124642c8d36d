//! What may be wrong with an AuthenticationConfiguration, in upstream's order and words.

use super::{Expression, JwtAuthenticator, Mapping, Rule};
use api::cel::Program;
use api::{Fault, Path, Value, names};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;

const ISSUERS: usize = 64;
const BOTH: &str = "claim and expression can't both be set";
const UNVERIFIED_EMAIL: &str = "claims.email_verified must be used in claimMappings.username.expression or \
     claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in \
     claimMappings.username.expression";

/// The issuers of a configuration, and all that is wrong with it.
pub fn validate(
    value: &Value,
    disallowed: &[String],
    algorithms: &[String],
) -> (Vec<JwtAuthenticator>, Vec<Fault>) {
    let (root, entries) = (Path::new("jwt"), value.list_at(&["jwt"]));
    if entries.len() > ISSUERS {
        return (Vec::new(), vec![Fault::too_many(&root, entries.len(), ISSUERS)]);
    }
    let mut checks = Checks { faults: Vec::new(), disallowed };
    let mut issuers: Vec<JwtAuthenticator> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let path = root.index(at);
        let issuer = checks.authenticator(entry, algorithms, &path);
        let path = path.child("issuer");
        if issuers.iter().any(|before| before.url == issuer.url) {
            checks.add(Fault::duplicate(path.child("url"), issuer.url.as_str()));
        }
        let discovery = issuer.discovery_url.as_str();
        if !discovery.is_empty() && issuers.iter().any(|before| before.discovery_url == discovery) {
            checks.add(Fault::duplicate(path.child("discoveryURL"), discovery));
        }
        issuers.push(issuer);
    }
    let anonymous = value.get("anonymous").unwrap_or(&Value::Null);
    let conditions = anonymous.list_at(&["conditions"]);
    if !conditions.is_empty() && !anonymous.bool_at(&["enabled"]) {
        let detail = "enabled should be set to true when conditions are defined";
        let conditions = Value::from(conditions.to_vec());
        checks.add(Fault::invalid(Path::new("anonymous").child("conditions"), conditions, detail));
    }
    (issuers, checks.faults)
}

struct Checks<'a> {
    faults: Vec<Fault>,
    disallowed: &'a [String],
}

impl Checks<'_> {
    fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    fn authenticator(&mut self, entry: &Value, algorithms: &[String], path: &Path) -> JwtAuthenticator {
        let none = Value::Null;
        let mut issuer = self.issuer(entry.get("issuer").unwrap_or(&none), &path.child("issuer"));
        issuer.signing_algorithms = algorithms.to_vec();
        let rules = entry.list_at(&["claimValidationRules"]);
        self.claim_rules(rules, &mut issuer, &path.child("claimValidationRules"));
        let mappings = entry.get("claimMappings").unwrap_or(&none);
        self.mappings(mappings, &mut issuer, &path.child("claimMappings"));
        let rules = entry.list_at(&["userValidationRules"]);
        self.user_rules(rules, &mut issuer, &path.child("userValidationRules"));
        issuer
    }

    fn issuer(&mut self, issuer: &Value, path: &Path) -> JwtAuthenticator {
        let text = |field: &str| issuer.str_at(&[field]).to_owned();
        let (url, discovery_url) = (text("url"), text("discoveryURL"));
        if url.is_empty() {
            self.add(Fault::required(path.child("url"), ""));
        } else {
            if self.disallowed.contains(&url) {
                let detail =
                    format!("URL must not overlap with disallowed issuers: [{}]", self.disallowed.join(" "));
                self.add(Fault::invalid(path.child("url"), url.as_str(), detail));
            }
            self.url(&url, &path.child("url"));
        }
        if !discovery_url.is_empty() {
            let path = path.child("discoveryURL");
            if !url.is_empty() && url.trim_end_matches('/') == discovery_url.trim_end_matches('/') {
                let detail = "discoveryURL must be different from URL";
                self.add(Fault::invalid(&path, discovery_url.as_str(), detail));
            }
            self.url(&discovery_url, &path);
        }
        let audiences = self.audiences(issuer, path);
        let certificate_authority = text("certificateAuthority");
        let readable =
            CertificateDer::pem_slice_iter(certificate_authority.as_bytes()).any(|der| der.is_ok());
        if !certificate_authority.is_empty() && !readable {
            let detail = "data does not contain any valid RSA or ECDSA certificates";
            self.add(Fault::invalid(path.child("certificateAuthority"), "<omitted>", detail));
        }
        if let selector @ ("controlplane" | "cluster") = issuer.str_at(&["egressSelectorType"]) {
            let detail =
                format!("oidc: egress lookup required with egress selector type {}", api::quote(selector));
            self.add(Fault::invalid(path.child("egressSelectorType"), selector, detail));
        } else if let selector = issuer.str_at(&["egressSelectorType"])
            && !selector.is_empty()
        {
            let detail = "egress selector must be either controlplane or cluster";
            self.add(Fault::invalid(path.child("egressSelectorType"), selector, detail));
        }
        JwtAuthenticator {
            url,
            discovery_url,
            certificate_authority,
            audiences,
            ..JwtAuthenticator::default()
        }
    }

    fn url(&mut self, url: &str, path: &Path) {
        let (before_fragment, fragment) = url.split_once('#').unwrap_or((url, ""));
        let (base, query) = before_fragment.split_once('?').unwrap_or((before_fragment, ""));
        if url.starts_with(':') {
            let detail = format!("parse {}: missing protocol scheme", api::quote(url));
            return self.add(Fault::invalid(path, url, detail));
        }
        let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
        let authority = rest.split('/').next().unwrap_or_default();
        let faults = [
            (!scheme.eq_ignore_ascii_case("https"), "URL scheme must be https"),
            (authority.contains('@'), "URL must not contain a username or password"),
            (!query.is_empty(), "URL must not contain a query"),
            (!fragment.is_empty(), "URL must not contain a fragment"),
        ];
        for (_, detail) in faults.into_iter().filter(|(wrong, _)| *wrong) {
            self.add(Fault::invalid(path, url, detail));
        }
    }

    fn audiences(&mut self, issuer: &Value, path: &Path) -> Vec<String> {
        let entries: Vec<String> =
            issuer.list_at(&["audiences"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let at = path.child("audiences");
        if entries.is_empty() {
            self.add(Fault::required(&at, format!("at least one {} is required", at.as_str())));
            return entries;
        }
        for (index, audience) in entries.iter().enumerate() {
            if audience.is_empty() {
                self.add(Fault::required(at.index(index), ""));
            }
            if entries.iter().take(index).any(|before| before == audience) {
                self.add(Fault::duplicate(at.index(index), audience.as_str()));
            }
        }
        let policy = issuer.str_at(&["audienceMatchPolicy"]);
        let detail = match (entries.len(), policy) {
            (_, "MatchAny") | (1, "") => return entries,
            (1, _) => "audienceMatchPolicy must be empty or MatchAny for single audience",
            _ => "audienceMatchPolicy must be MatchAny for multiple audiences",
        };
        self.add(Fault::invalid(path.child("audienceMatchPolicy"), policy, detail));
        entries
    }

    fn claim_rules(&mut self, rules: &[Value], issuer: &mut JwtAuthenticator, path: &Path) {
        for (at, rule) in rules.iter().enumerate() {
            let path = path.index(at);
            let text = |field: &str| rule.str_at(&[field]).to_owned();
            let (claim, expression, message) = (text("claim"), text("expression"), text("message"));
            match (claim.is_empty(), expression.is_empty()) {
                (false, false) => self.add(Fault::invalid(path, claim, BOTH)),
                (true, true) => self.add(Fault::required(path, "claim or expression is required")),
                (false, true) => {
                    if !message.is_empty() {
                        let detail = "may not be specified when claim is set";
                        self.add(Fault::invalid(path.child("message"), message, detail));
                    }
                    if issuer.required_claims.iter().any(|(before, _)| *before == claim) {
                        self.add(Fault::duplicate(path.child("claim"), claim.as_str()));
                    }
                    issuer.required_claims.push((claim, text("requiredValue")));
                }
                (true, false) => {
                    let value = text("requiredValue");
                    if !value.is_empty() {
                        let detail = "may not be specified when expression is set";
                        self.add(Fault::invalid(path.child("requiredValue"), value, detail));
                    }
                    self.rule(&expression, message, "claims", &mut issuer.claim_rules, &path);
                }
            }
        }
    }

    fn user_rules(&mut self, rules: &[Value], issuer: &mut JwtAuthenticator, path: &Path) {
        for (at, rule) in rules.iter().enumerate() {
            let (expression, message) = (rule.str_at(&["expression"]), rule.str_at(&["message"]).to_owned());
            if expression.is_empty() {
                self.add(Fault::required(path.index(at).child("expression"), ""));
            } else {
                self.rule(expression, message, "user", &mut issuer.user_rules, &path.index(at));
            }
        }
    }

    fn rule(&mut self, text: &str, message: String, of: &str, rules: &mut Vec<Rule>, path: &Path) {
        let path = path.child("expression");
        if rules.iter().any(|before| before.expression.text == text) {
            self.add(Fault::duplicate(path, text));
        } else if let Some(expression) = self.expression(text, of, true, &path) {
            rules.push(Rule { expression, message });
        }
    }

    fn expression(&mut self, text: &str, of: &str, is_bool: bool, path: &Path) -> Option<Expression> {
        let compiled = Program::compile(text, &[of]).map_err(|why| format!("compilation failed: {why}"));
        let checked = compiled.and_then(|program| match program.known_type() {
            Some(other) if is_bool && other != "bool" => Err("must evaluate to bool".to_owned()),
            _ => Ok(Expression { text: text.to_owned(), program: Arc::new(program) }),
        });
        checked.map_err(|why| self.add(Fault::invalid(path, text, why))).ok()
    }

    fn mappings(&mut self, mappings: &Value, issuer: &mut JwtAuthenticator, path: &Path) {
        let none = Value::Null;
        let part = |name: &str| mappings.get(name).unwrap_or(&none);
        if let Some(username) = self.prefixed(part("username"), true, &path.child("username")) {
            issuer.username = username;
        }
        issuer.groups = self.prefixed(part("groups"), false, &path.child("groups"));
        issuer.uid = self.uid(part("uid"), &path.child("uid"));
        for (at, mapping) in mappings.list_at(&["extra"]).iter().enumerate() {
            self.extra(mapping, issuer, &path.child("extra").index(at));
        }
        let Mapping::Expression(username) = &issuer.username else { return };
        let verifies = |expression: &Expression| expression.program.uses(&["claims", "email_verified"]);
        let verified = verifies(username)
            || issuer.extra.iter().any(|(_, expression)| verifies(expression))
            || issuer.claim_rules.iter().any(|rule| verifies(&rule.expression));
        if username.program.uses(&["claims", "email"]) && !verified {
            let path = path.child("username").child("expression");
            self.add(Fault::invalid(path, username.text.as_str(), UNVERIFIED_EMAIL));
        }
    }

    /// A claim with a prefix, or an expression.
    fn prefixed(&mut self, mapping: &Value, required: bool, path: &Path) -> Option<Mapping> {
        let (claim, text) = (mapping.str_at(&["claim"]), mapping.str_at(&["expression"]));
        let prefix = mapping.get("prefix").and_then(Value::as_str);
        match (claim.is_empty(), text.is_empty()) {
            (false, false) => self.add(Fault::invalid(path, "", BOTH)),
            (true, true) if required => self.add(Fault::required(path, "claim or expression is required")),
            (true, true) => {}
            (true, false) => {
                if let Some(prefix) = prefix {
                    let detail = "may not be specified when expression is set";
                    self.add(Fault::invalid(path.child("prefix"), prefix, detail));
                }
                return self
                    .expression(text, "claims", false, &path.child("expression"))
                    .map(Mapping::Expression);
            }
            (false, true) => match prefix {
                Some(prefix) => {
                    return Some(Mapping::Claim { claim: claim.to_owned(), prefix: prefix.to_owned() });
                }
                None => {
                    let detail = "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
                    self.add(Fault::required(path.child("prefix"), detail));
                }
            },
        }
        None
    }

    fn uid(&mut self, mapping: &Value, path: &Path) -> Option<Mapping> {
        let (claim, text) = (mapping.str_at(&["claim"]), mapping.str_at(&["expression"]));
        match (claim.is_empty(), text.is_empty()) {
            (true, true) => None,
            (false, false) => {
                self.add(Fault::invalid(path, "", BOTH));
                None
            }
            (false, true) => Some(Mapping::Claim { claim: claim.to_owned(), prefix: String::new() }),
            (true, false) => {
                self.expression(text, "claims", false, &path.child("expression")).map(Mapping::Expression)
            }
        }
    }

    fn extra(&mut self, mapping: &Value, issuer: &mut JwtAuthenticator, path: &Path) {
        let (key, text) = (mapping.str_at(&["key"]), mapping.str_at(&["valueExpression"]));
        let (at_key, at_text) = (path.child("key"), path.child("valueExpression"));
        self.faults.extend(names::domain_prefixed_path_faults(key, &at_key));
        if key != key.to_lowercase() {
            self.add(Fault::invalid(&at_key, key, "must be lowercase"));
        }
        let domain = key.split_once('/').map_or("", |(domain, _)| domain);
        let within = |of: &str| domain == of || domain.strip_suffix(of).is_some_and(|sub| sub.ends_with('.'));
        if within("kubernetes.io") || within("k8s.io") {
            let detail = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
            self.add(Fault::invalid(&at_key, key, detail));
        }
        if issuer.extra.iter().any(|(before, _)| before == key) {
            self.add(Fault::duplicate(&at_key, key));
        } else if text.is_empty() {
            self.add(Fault::required(at_text, ""));
        } else if let Some(expression) = self.expression(text, "claims", false, &at_text) {
            issuer.extra.push((key.to_owned(), expression));
        }
    }
}
