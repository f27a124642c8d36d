//! Acting as another user: `Impersonate-User` and its like. Somebody becomes another only after every part of that
//! other was asked for, and it is asked here, so that nobody else can leave a question out. Source: upstream's
//! `pkg/endpoints/filters/impersonation`.
//!
//! | mode | whom | verbs that are asked for |
//! |---|---|---|
//! | associated-node | the node that the caller, a service account, runs on | `impersonate-on:associated-node:VERB` on the request, then `impersonate:associated-node` |
//! | arbitrary-node | any node | `impersonate-on:arbitrary-node:VERB`, `impersonate:arbitrary-node` |
//! | serviceaccount | a service account | `impersonate-on:serviceaccount:VERB`, `impersonate:serviceaccount` |
//! | user-info | anybody else, with groups, UID and the rest | `impersonate-on:user-info:VERB`, `impersonate:user-info` |
//! | legacy | anybody, for all requests | `impersonate` |

use crate::request_header::extra_key;
use crate::{ANONYMOUS, Caller, Headers, UNAUTHENTICATED, hypothetical};
use api::{Later, Status, names, quote};
use parking_lot::Mutex;
use std::collections::HashMap;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// What stands for the details of a service account that acts as its node.
const NODE_KEYS: &str = "authentication.kubernetes.io/associated-node-keys";
const INVALID_KEY: &str = "impersonating an invalid key in extra is not allowed: ";
/// What the path of a key may be made of.
const PATH: &str = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
/// From so many groups or values on, all are asked for at once before each is.
const MANY: usize = 4;
/// Users whose last mode is remembered.
const REMEMBERED: usize = 10_000;

/// Whether a header says as whom a request acts: such headers go no further than this.
pub fn is_impersonation(header: &str) -> bool {
    [USER, GROUP, UID].contains(&header) || header.starts_with(EXTRA)
}

/// What is asked before somebody acts as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The request itself, its verb after this prefix.
    Request { prefix: &'a str },
    /// A part of the other, as a resource.
    Part {
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        subresource: &'a str,
        namespace: &'a str,
        name: &'a str,
    },
}

/// Answers the questions that impersonation asks.
pub trait Judge: Sync {
    /// May `caller` do this? If not, the 403.
    fn may<'a>(&'a self, caller: &'a Caller, asked: Asked<'a>) -> Later<'a, Result<(), Status>>;
    /// The 403 for a reason of its own.
    fn refusal(&self, caller: &Caller, asked: Asked<'_>, why: &str) -> Status;
}

/// Somebody who acts as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonated {
    pub caller: Caller,
    /// The verb that allowed it; empty for the one that allows everything.
    pub constraint: &'static str,
}

/// The other, as the headers name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    Legacy,
}

const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

/// Lets callers act as others. Remembers in which mode each last could, to ask for that first.
#[derive(Debug, Default)]
pub struct Impersonation {
    last: Mutex<HashMap<String, Mode>>,
}

impl Impersonation {
    /// The user that `headers` ask to act as; `None` when they name none.
    ///
    /// # Errors
    /// 400 for parts of a user without a name, 403 when `judge` says no.
    pub async fn act(
        &self,
        caller: &Caller,
        headers: &dyn Headers,
        judge: &dyn Judge,
    ) -> Result<Option<Impersonated>, Status> {
        let Some(wanted) = Wanted::read(headers)? else { return Ok(None) };
        let last = self.last.lock().get(caller.name()).copied();
        let mut first_refusal = None;
        for mode in last.into_iter().chain(MODES.into_iter().filter(|mode| Some(*mode) != last)) {
            match mode.check(caller, &wanted, judge).await {
                Ok(None) => {}
                Ok(Some(caller_now)) => {
                    if last != Some(mode) {
                        self.remember(caller.name(), mode);
                    }
                    return Ok(Some(Impersonated { caller: caller_now, constraint: mode.constraint() }));
                }
                Err(refusal) => {
                    first_refusal.get_or_insert(refusal);
                }
            }
        }
        Err(first_refusal.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
    }

    fn remember(&self, name: &str, mode: Mode) {
        let mut last = self.last.lock();
        if last.len() >= REMEMBERED {
            last.clear();
        }
        last.insert(name.to_owned(), mode);
    }
}

impl Wanted {
    fn read(headers: &dyn Headers) -> Result<Option<Self>, Status> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let mut wanted = Wanted {
            name: headers.first(USER).map(text).unwrap_or_default(),
            uid: headers.first(UID).map(text).unwrap_or_default(),
            groups: headers.all(GROUP).into_iter().map(text).collect(),
            extra: Vec::new(),
        };
        for (header, value) in headers.starting_with(EXTRA) {
            let key = extra_key(header.get(EXTRA.len()..).unwrap_or_default());
            match wanted.extra.iter_mut().find(|(known, _)| *known == key) {
                Some((_, values)) => values.push(text(value)),
                None => wanted.extra.push((key, vec![text(value)])),
            }
        }
        if !wanted.name.is_empty() {
            return Ok(Some(wanted));
        }
        if wanted == Wanted::default() {
            return Ok(None);
        }
        let why = format!("requested {} without impersonating a user name", wanted.in_go());
        Err(Status::bad_request(&why))
    }

    /// As Go prints it.
    fn in_go(&self) -> String {
        let list = |texts: &[String]| match texts {
            [] => "[]string(nil)".to_owned(),
            texts => {
                format!("[]string{{{}}}", texts.iter().map(|t| quote(t)).collect::<Vec<_>>().join(", "))
            }
        };
        let mut extra: Vec<String> =
            self.extra.iter().map(|(key, values)| format!("{}:{}", quote(key), list(values))).collect();
        extra.sort();
        let extra = if extra.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", extra.join(", ")) };
        format!(
            "&user.DefaultInfo{{Name:{}, UID:{}, Groups:{}, Extra:map[string][]string{extra}}}",
            quote(&self.name),
            quote(&self.uid),
            list(&self.groups)
        )
    }

    fn is_only_a_name(&self) -> bool {
        self.uid.is_empty() && self.groups.is_empty() && self.extra.is_empty()
    }
}

/// The node whose user name this is.
fn node(name: &str) -> Option<&str> {
    name.strip_prefix("system:node:").filter(|node| names::name_is_dns_subdomain(node, false).is_empty())
}

/// Namespace and name of the service account whose user name this is.
pub(crate) fn service_account(name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let well = names::name_is_dns_label(namespace, false).is_empty()
        && names::name_is_dns_subdomain(name, false).is_empty();
    well.then_some((namespace, name))
}

impl Mode {
    fn constraint(self) -> &'static str {
        match self {
            Mode::AssociatedNode => "impersonate:associated-node",
            Mode::ArbitraryNode => "impersonate:arbitrary-node",
            Mode::ServiceAccount => "impersonate:serviceaccount",
            Mode::UserInfo => "impersonate:user-info",
            Mode::Legacy => "",
        }
    }

    fn is_legacy(self) -> bool {
        self == Mode::Legacy
    }

    /// Whether the mode is for such a user at all.
    fn fits(self, caller: &Caller, wanted: &Wanted) -> bool {
        let (node, account) = (node(&wanted.name), service_account(&wanted.name));
        match self {
            Mode::AssociatedNode => {
                let at = caller.extra().iter().find(|(key, _)| key == NODE_NAME).map(|(_, v)| v.as_slice());
                wanted.is_only_a_name()
                    && service_account(caller.name()).is_some()
                    && node.is_some_and(|node| matches!(at, Some([at]) if at == node))
            }
            Mode::ArbitraryNode => wanted.is_only_a_name() && node.is_some(),
            Mode::ServiceAccount => wanted.is_only_a_name() && account.is_some(),
            Mode::UserInfo => node.is_none() && account.is_none(),
            Mode::Legacy => true,
        }
    }

    /// The other, when all that the mode asks for is allowed; `None` when the mode is not for such a user.
    async fn check(
        self,
        caller: &Caller,
        wanted: &Wanted,
        judge: &dyn Judge,
    ) -> Result<Option<Caller>, Status> {
        if !self.fits(caller, wanted) {
            return Ok(None);
        }
        let stripped = (self == Mode::AssociatedNode).then(|| without_details(caller));
        let check = Check { mode: self, caller: stripped.as_ref().unwrap_or(caller), judge };
        if !self.is_legacy() {
            let prefix = format!("{}:", self.constraint().replacen("impersonate:", "impersonate-on:", 1));
            check.judge.may(check.caller, Asked::Request { prefix: &prefix }).await?;
        }
        let groups = check.name(wanted).await?;
        if !wanted.uid.is_empty() {
            check.part("authentication.k8s.io", "uids", "", "", &wanted.uid).await?;
        }
        check.groups(&wanted.groups).await?;
        check.extra(&wanted.extra).await?;
        let mut other = Caller::new(&wanted.name, groups).with_uid(wanted.uid.clone());
        for (key, values) in &wanted.extra {
            other = other.with_extra(key, values.clone());
        }
        Ok(Some(other.by(caller.recognized_by()).counted()))
    }
}

/// A service account on its node, whatever pod and token it comes with.
fn without_details(caller: &Caller) -> Caller {
    let mut keys: Vec<String> = caller.extra().iter().map(|(key, _)| key.clone()).collect();
    keys.sort();
    let extra = vec![(NODE_KEYS.to_owned(), keys)];
    hypothetical(caller.name(), caller.uid(), caller.groups().to_vec(), extra)
}

impl Caller {
    /// In the group of the recognized, or of nobody in particular.
    fn counted(self) -> Self {
        if self.name() == ANONYMOUS && !self.in_group(UNAUTHENTICATED) {
            return self.with_group(UNAUTHENTICATED);
        }
        self.authenticated()
    }
}

/// The questions of one mode.
struct Check<'a> {
    mode: Mode,
    caller: &'a Caller,
    judge: &'a dyn Judge,
}

impl Check<'_> {
    fn verb(&self) -> &'static str {
        if self.mode.is_legacy() { "impersonate" } else { self.mode.constraint() }
    }

    /// The group of resources that users and groups are in.
    fn core(&self) -> &'static str {
        if self.mode.is_legacy() { "" } else { "authentication.k8s.io" }
    }

    async fn part(
        &self,
        group: &str,
        resource: &str,
        subresource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<(), Status> {
        let asked = Asked::Part { verb: self.verb(), group, resource, subresource, namespace, name };
        self.judge.may(self.caller, asked).await
    }

    fn refusal(&self, group: &str, resource: &str, name: &str, why: &str) -> Status {
        let asked = Asked::Part { verb: self.verb(), group, resource, subresource: "", namespace: "", name };
        self.judge.refusal(self.caller, asked, why)
    }

    /// Asks for the name; gives the groups that the other is in.
    async fn name(&self, wanted: &Wanted) -> Result<Vec<String>, Status> {
        let (group, name, legacy) = (self.core(), wanted.name.as_str(), self.mode.is_legacy());
        if let Some((namespace, account)) = service_account(name) {
            self.part(group, "serviceaccounts", "", namespace, account).await?;
            let usual =
                || ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
            let groups = wanted.groups.clone();
            return Ok(if groups.is_empty() { usual().to_vec() } else { groups });
        }
        match node(name).filter(|_| !legacy) {
            Some(node) => {
                // On whichever node the caller is, the answer is to be the same.
                let node = if self.mode == Mode::AssociatedNode { "*" } else { node };
                self.part(group, "nodes", "", "", node).await?;
                Ok(vec!["system:nodes".to_owned()])
            }
            None => {
                self.part(group, "users", "", "", name).await?;
                Ok(wanted.groups.clone())
            }
        }
    }

    async fn groups(&self, groups: &[String]) -> Result<(), Status> {
        let group = self.core();
        if !self.mode.is_legacy() {
            for (never, why) in [
                ("", "impersonating the empty string group is not allowed"),
                ("system:masters", "impersonating the system:masters group is not allowed"),
            ] {
                if groups.iter().any(|group| group == never) {
                    return Err(self.refusal(group, "groups", never, why));
                }
            }
            if groups.len() >= MANY && self.part(group, "groups", "", "", "*").await.is_ok() {
                return Ok(());
            }
        }
        for name in groups {
            self.part(group, "groups", "", "", name).await?;
        }
        Ok(())
    }

    async fn extra(&self, extra: &[(String, Vec<String>)]) -> Result<(), Status> {
        const GROUP: &str = "authentication.k8s.io";
        if !self.mode.is_legacy() && !extra.is_empty() {
            if let Some(why) = extra.iter().find_map(|(key, values)| extra_fault(key, values)) {
                return Err(self.refusal(GROUP, "userextras", "", &why));
            }
            let many = extra.iter().map(|(_, values)| values.len()).sum::<usize>() >= MANY;
            if many && self.part(GROUP, "userextras", "*", "", "*").await.is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            for value in values {
                self.part(GROUP, "userextras", key, "", value).await?;
            }
        }
        Ok(())
    }
}

/// What is wrong with a key and its values, where keys have a form.
fn extra_fault(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".to_owned());
    }
    match path_faults(key).as_slice() {
        [] => {}
        [one] => return Some(format!("{INVALID_KEY}{one}")),
        many => return Some(format!("{INVALID_KEY}[{}]", many.join(", "))),
    }
    if key.chars().any(char::is_uppercase) {
        return Some(format!("impersonating a non-lowercase key in extra is not allowed: {}", quote(key)));
    }
    values
        .iter()
        .any(String::is_empty)
        .then(|| "impersonating the empty string value in extra is not allowed".to_owned())
}

/// What keeps a key from being `DOMAIN/PATH`.
fn path_faults(key: &str) -> Vec<String> {
    let invalid = |what: &str, why: &str| format!("extra.key: Invalid value: {}: {why}", quote(what));
    let Some((host, path)) = key.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty())
    else {
        return vec![invalid(key, r#"must be a domain-prefixed path (such as "acme.io/foo")"#)];
    };
    let mut faults: Vec<String> =
        names::is_dns1123_subdomain(host).iter().map(|why| invalid(host, why)).collect();
    if !path.chars().all(|c| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c)) {
        faults.push(invalid(path, &names::regex_error("Invalid path", PATH, &[])));
    }
    faults
}

#[cfg(test)]
mod tests;
