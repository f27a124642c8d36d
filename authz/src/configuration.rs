//! Which authorities are asked, in what order: `--authorization-mode`, or an `AuthorizationConfiguration` from a file,
//! which may name several webhooks and say when each is asked.

use api::cel::Program;
use api::configuration::{Form, check, read};
use api::time::{format_duration, parse_duration};
use api::{Fault, Path, Remote, Value, names};
use std::sync::Arc;
use std::time::Duration;

/// An AuthorizationConfiguration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    /// Asked from the first to the last.
    pub authorizers: Vec<Mode>,
}

/// One authority.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    Webhook(Box<WebhookMode>),
}

/// A server elsewhere that decides.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookMode {
    pub name: String,
    pub remote: Remote,
    /// For one question.
    pub timeout: Duration,
    /// The version of SubjectAccessReview that it takes: `v1` or `v1beta1`.
    pub version: String,
    /// How long it holds that something is allowed, and that it is not; zero for not at all.
    pub authorized_ttl: Duration,
    pub unauthorized_ttl: Duration,
    /// Whether what cannot be found out is denied, or left to the next authority.
    pub deny_on_error: bool,
    /// It is asked only when all of them are true.
    pub match_conditions: Vec<MatchCondition>,
}

/// An expression over the SubjectAccessReviewSpec `request`.
#[derive(Clone, Debug)]
pub struct MatchCondition {
    pub expression: String,
    pub program: Arc<Program>,
}

impl PartialEq for MatchCondition {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression
    }
}

/// Gives the content of a file that a configuration names, or Go's words why not.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

const FORM: Form = Form {
    kind: "AuthorizationConfiguration",
    versions: &[
        "apiserver.config.k8s.io/v1",
        "apiserver.config.k8s.io/v1beta1",
        "apiserver.config.k8s.io/v1alpha1",
    ],
    table: "v1.AuthorizationConfiguration\n\tkind\ts\n\tapiVersion\ts\n\tauthorizers\t[v1.AuthorizerConfiguration\n\
            v1.AuthorizerConfiguration\n\ttype\ts\n\tname\ts\n\twebhook\tv1.WebhookConfiguration\n\
            v1.WebhookConfiguration\n\tauthorizedTTL\tu\n\tcacheAuthorizedRequests\tb\n\tunauthorizedTTL\tu\n\
            \tcacheUnauthorizedRequests\tb\n\ttimeout\tu\n\tsubjectAccessReviewVersion\ts\n\
            \tmatchConditionSubjectAccessReviewVersion\ts\n\tfailurePolicy\ts\n\
            \tconnectionInfo\tv1.WebhookConnectionInfo\n\tmatchConditions\t[v1.WebhookMatchCondition\n\
            v1.WebhookConnectionInfo\n\ttype\ts\n\tkubeConfigFile\ts\n\
            v1.WebhookMatchCondition\n\texpression\ts\n",
};
const TYPES: [&str; 5] = ["AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
const MATCH_CONDITIONS: usize = 64;
const MAX_TIMEOUT: Duration = Duration::from_secs(30);

impl Configuration {
    /// Upstream's usual order for a cluster.
    pub fn usual() -> Self {
        Configuration { authorizers: vec![Mode::Node, Mode::Rbac] }
    }

    /// Reads an AuthorizationConfiguration; `read_file` gives the kubeconfigs that it names.
    ///
    /// # Errors
    /// All that is wrong with it, in upstream's words.
    pub fn parse(text: &[u8], read_file: ReadFile<'_>) -> Result<Self, String> {
        let value = read(&FORM, text)
            .map_err(|why| format!("failed to load AuthorizationConfiguration from file: {why}"))?;
        let mut reading = Reading { faults: Vec::new(), read_file };
        let authorizers = reading.authorizers(&value);
        check(&reading.faults)?;
        misnamed(&value)?;
        Ok(Configuration { authorizers })
    }

    /// Whether `later` may take the place of this while the server runs: what it is to follow the cluster by from
    /// its start must stay.
    ///
    /// # Errors
    /// Upstream's words.
    pub fn may_become(&self, later: &Configuration) -> Result<(), String> {
        let types = |all: &[Mode]| all.iter().filter_map(Mode::lasting).collect::<Vec<_>>();
        let (before, after) = (types(&self.authorizers), types(&later.authorizers));
        let mut missing: Vec<&str> = before.iter().copied().filter(|kind| !after.contains(kind)).collect();
        missing.sort_unstable();
        if !missing.is_empty() {
            return Err(format!("missing required types: [{}]", missing.join(" ")));
        }
        let new = after.iter().find(|kind| matches!(**kind, "Node" | "RBAC") && !before.contains(kind));
        new.map_or(Ok(()), |kind| {
            let why = "is not allowed if it was not enabled at initial server startup";
            Err(format!("authorizer type {kind} {why}"))
        })
    }
}

impl Mode {
    /// Upstream's name of the type, of all but webhooks.
    fn lasting(&self) -> Option<&'static str> {
        match self {
            Mode::AlwaysAllow => Some("AlwaysAllow"),
            Mode::AlwaysDeny => Some("AlwaysDeny"),
            Mode::Node => Some("Node"),
            Mode::Rbac => Some("RBAC"),
            Mode::Webhook(_) => None,
        }
    }

    /// By upstream's name, of all but webhooks.
    pub fn of_type(name: &str) -> Option<Self> {
        [Mode::AlwaysAllow, Mode::AlwaysDeny, Mode::Node, Mode::Rbac]
            .into_iter()
            .find(|mode| mode.lasting() == Some(name))
    }
}

/// All but webhooks have the name of their type.
fn misnamed(value: &Value) -> Result<(), String> {
    let wrong = |entry: &Value| {
        let (kind, name) = (entry.str_at(&["type"]), entry.str_at(&["name"]));
        let expected = kind.to_ascii_lowercase();
        (kind != "Webhook" && name != expected)
            .then(|| format!("expected name {expected} for authorizer {kind} instead of {name}"))
    };
    let all: Vec<String> = value.list_at(&["authorizers"]).iter().filter_map(wrong).collect();
    if all.is_empty() { Ok(()) } else { Err(crate::reason::aggregate(all)) }
}

struct Reading<'a> {
    faults: Vec<Fault>,
    read_file: ReadFile<'a>,
}

impl Reading<'_> {
    fn authorizers(&mut self, value: &Value) -> Vec<Mode> {
        let path = Path::new("authorizers");
        let entries = value.list_at(&["authorizers"]);
        if entries.is_empty() {
            self.faults.push(Fault::required(&path, "at least one authorization mode must be defined"));
        }
        let (mut types, mut names) = (Vec::new(), Vec::new());
        let mut modes = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let path = path.index(at);
            let kind = entry.str_at(&["type"]);
            let fault = match kind {
                "" => Some(Fault::required(path.child("type"), "")),
                unknown if !TYPES.contains(&unknown) => {
                    Some(Fault::not_supported(path.child("type"), unknown, &TYPES))
                }
                again if again != "Webhook" && types.contains(&again) => {
                    Some(Fault::duplicate(path.child("type"), again))
                }
                _ => None,
            };
            if let Some(fault) = fault {
                self.faults.push(fault);
                continue;
            }
            types.push(kind);
            let name = entry.str_at(&["name"]);
            self.name(name, &names, &path.child("name"));
            names.push(name);
            modes.extend(self.mode(kind, name, entry.get("webhook"), &path));
        }
        modes
    }

    fn name(&mut self, name: &str, before: &[&str], path: &Path) {
        let wrong = names::is_dns1123_subdomain(name);
        if name.is_empty() {
            self.faults.push(Fault::required(path, ""));
        } else if before.contains(&name) {
            self.faults.push(Fault::duplicate(path, name));
        } else if !wrong.is_empty() {
            let detail = format!("authorizer name is invalid: {}", wrong.join(", "));
            self.faults.push(Fault::invalid(path, name, detail));
        }
    }

    fn mode(&mut self, kind: &str, name: &str, webhook: Option<&Value>, path: &Path) -> Option<Mode> {
        match (kind, webhook) {
            ("Webhook", None) => {
                self.faults.push(Fault::required(path.child("webhook"), "required when type=Webhook"));
                None
            }
            // Upstream's paths leave the field `webhook` out.
            ("Webhook", Some(webhook)) => self.webhook(name, webhook, path),
            (_, Some(_)) => {
                let detail = "may only be specified when type=Webhook";
                self.faults.push(Fault::invalid(path.child("webhook"), "non-null", detail));
                None
            }
            _ => Mode::of_type(kind),
        }
    }

    fn webhook(&mut self, name: &str, webhook: &Value, path: &Path) -> Option<Mode> {
        let timeout = self.time(webhook, "timeout", None, path);
        if timeout > MAX_TIMEOUT {
            let shown = webhook.str_at(&["timeout"]);
            self.faults.push(Fault::invalid(path.child("timeout"), shown, "must be > 0s and <= 30s"));
        }
        let authorized = self.time(webhook, "authorizedTTL", Some(Duration::from_secs(300)), path);
        let unauthorized = self.time(webhook, "unauthorizedTTL", Some(Duration::from_secs(30)), path);
        let cached = |field, ttl| {
            let cached = webhook.get(field).and_then(Value::as_bool).unwrap_or(true);
            if cached { ttl } else { Duration::ZERO }
        };
        self.one_of(webhook, "subjectAccessReviewVersion", &["v1", "v1beta1"], path);
        self.match_version(webhook, path);
        self.one_of(webhook, "failurePolicy", &["NoOpinion", "Deny"], path);
        let remote = self.connection(webhook.get("connectionInfo").unwrap_or(&Value::Null), path);
        let match_conditions = self.match_conditions(webhook.list_at(&["matchConditions"]), path);
        Some(Mode::Webhook(Box::new(WebhookMode {
            name: name.to_owned(),
            remote: remote?,
            timeout,
            version: webhook.str_at(&["subjectAccessReviewVersion"]).to_owned(),
            authorized_ttl: cached("cacheAuthorizedRequests", authorized),
            unauthorized_ttl: cached("cacheUnauthorizedRequests", unauthorized),
            deny_on_error: webhook.str_at(&["failurePolicy"]) == "Deny",
            match_conditions,
        })))
    }

    /// A duration above zero; unset and zero stand for `usual`.
    fn time(&mut self, webhook: &Value, field: &str, usual: Option<Duration>, path: &Path) -> Duration {
        let nanos = parse_duration(webhook.str_at(&[field])).unwrap_or_default();
        let most = if field == "timeout" { " and <= 30s" } else { "" };
        match (u64::try_from(nanos), usual) {
            (Ok(0), Some(usual)) => usual,
            (Ok(0), None) => {
                self.faults.push(Fault::required(path.child(field), ""));
                Duration::ZERO
            }
            (Ok(nanos), _) => Duration::from_nanos(nanos),
            (Err(_), _) => {
                let detail = format!("must be > 0s{most}");
                self.faults.push(Fault::invalid(path.child(field), format_duration(nanos), detail));
                Duration::ZERO
            }
        }
    }

    fn one_of(&mut self, webhook: &Value, field: &str, known: &[&str], path: &Path) {
        match webhook.str_at(&[field]) {
            "" => self.faults.push(Fault::required(path.child(field), "")),
            text if known.contains(&text) => {}
            text => self.faults.push(Fault::not_supported(path.child(field), text, known)),
        }
    }

    fn match_version(&mut self, webhook: &Value, path: &Path) {
        let field = "matchConditionSubjectAccessReviewVersion";
        match webhook.str_at(&[field]) {
            "" if webhook.list_at(&["matchConditions"]).is_empty() => {}
            "" => {
                let detail = "required if match conditions are specified";
                self.faults.push(Fault::required(path.child(field), detail));
            }
            "v1" => {}
            other => self.faults.push(Fault::not_supported(path.child(field), other, &["v1"])),
        }
    }

    fn connection(&mut self, info: &Value, path: &Path) -> Option<Remote> {
        let path = path.child("connectionInfo");
        let (kind, file) = (info.str_at(&["type"]), info.str_at(&["kubeConfigFile"]));
        let path_of_file = path.child("kubeConfigFile");
        let fault = match kind {
            "" => Fault::required(path.child("type"), ""),
            "KubeConfigFile" if file.is_empty() => Fault::required(path_of_file, ""),
            "KubeConfigFile" if !file.starts_with('/') => {
                Fault::invalid(path_of_file, file, "must be an absolute path")
            }
            "KubeConfigFile" => match self.remote(file) {
                Ok(remote) => return Some(remote),
                Err(why) => Fault::invalid(path_of_file, file, why),
            },
            // In a cluster's own API server there is no service account to go by.
            other => Fault::not_supported(path.child("type"), other, &["KubeConfigFile"]),
        };
        self.faults.push(fault);
        None
    }

    fn remote(&self, file: &str) -> Result<Remote, String> {
        let text = (self.read_file)(file).map_err(|why| format!("error loading file: {why}"))?;
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        Remote::from_kubeconfig(&text, &|name| {
            if name.starts_with('/') {
                (self.read_file)(name)
            } else {
                (self.read_file)(&format!("{folder}/{name}"))
            }
        })
    }

    fn match_conditions(&mut self, conditions: &[Value], path: &Path) -> Vec<MatchCondition> {
        let path = path.child("matchConditions");
        if conditions.len() > MATCH_CONDITIONS {
            self.faults.push(Fault::too_many(&path, conditions.len(), MATCH_CONDITIONS));
            return Vec::new();
        }
        let mut compiled: Vec<MatchCondition> = Vec::new();
        for (at, condition) in conditions.iter().enumerate() {
            let (path, expression) = (path.index(at).child("expression"), condition.str_at(&["expression"]));
            if expression.trim().is_empty() {
                self.faults.push(Fault::required(path, ""));
            } else if compiled.iter().any(|before| before.expression == expression) {
                self.faults.push(Fault::duplicate(path, expression));
            } else {
                match compile(expression) {
                    Ok(condition) => compiled.push(condition),
                    Err(why) => self.faults.push(Fault::invalid(path, expression, why)),
                }
            }
        }
        compiled
    }
}

fn compile(expression: &str) -> Result<MatchCondition, String> {
    let program =
        Program::compile(expression, &["request"]).map_err(|why| format!("compilation failed: {why}"))?;
    match program.known_type() {
        None | Some("bool") => {
            Ok(MatchCondition { expression: expression.to_owned(), program: Arc::new(program) })
        }
        Some(other) => Err(format!("must evaluate to bool but got {other}")),
    }
}

#[cfg(test)]
mod tests;
