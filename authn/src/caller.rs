//! `Caller`: the proof that somebody was asked who they are.

use crate::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use std::sync::Arc;

/// Who is calling: upstream's `user.Info`. Cheap to clone. Only this crate makes one:
///
/// ```
/// let caller = authn::in_process("system:kube-scheduler", &[]);
/// assert_eq!(caller.name(), "system:kube-scheduler");
/// ```
///
/// Putting one together elsewhere does not compile, neither from its parts
///
/// ```compile_fail,E0423
/// let identity = authn::in_process("system:kube-scheduler", &[]);
/// let caller = authn::Caller(std::sync::Arc::new(identity));
/// ```
///
/// nor from nothing
///
/// ```compile_fail,E0599
/// let caller = authn::Caller::default();
/// ```
///
/// nor from a text, as a request would bring it,
///
/// ```compile_fail,E0277
/// let caller: authn::Caller = "system:admin".parse().unwrap();
/// ```
///
/// ```compile_fail,E0277
/// let caller: authn::Caller = "system:admin".into();
/// ```
///
/// nor through the constructor of this crate.
///
/// ```compile_fail,E0624
/// let caller = authn::Caller::new("admin", vec!["system:masters".to_owned()]);
/// ```
///
/// Nor can one that is there be changed: its parts are not to be seen,
///
/// ```compile_fail,E0616
/// let caller = authn::in_process("system:kube-scheduler", &[]);
/// let identity = caller.0;
/// ```
///
/// what is shown of them is not to be written,
///
/// ```compile_fail,E0596
/// let caller = authn::in_process("system:kube-scheduler", &["a"]);
/// caller.groups()[0].push_str("system:masters");
/// ```
///
/// and what changes one is for this crate alone.
///
/// ```compile_fail,E0624
/// let caller = authn::in_process("system:kube-scheduler", &[]);
/// let caller = caller.with_uid("1".to_owned());
/// ```
///
/// ```compile_fail,E0624
/// let caller = authn::in_process("system:kube-scheduler", &[]);
/// let caller = caller.with_extra("scopes", vec!["all".to_owned()]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(Arc<Identity>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Identity {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: Vec<(String, Vec<String>)>,
    /// What recognized it.
    by: &'static str,
    /// What it is to be warned of.
    warnings: Vec<String>,
    /// What the audit log learns of its credentials.
    annotations: Vec<(&'static str, String)>,
    in_process: bool,
    hypothetical: bool,
}

/// A component of this process, with its own name and groups (and `system:authenticated`). This is the one way
/// to a `Caller` without credentials: call it where components are wired, never with anything from a request.
pub fn in_process(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(ToString::to_string).collect();
    let mut caller = Caller::new(name, groups).by("in-process").authenticated();
    Arc::make_mut(&mut caller.0).in_process = true;
    caller
}

/// Somebody whom a review asks about: what would they be allowed? Authorization never makes a permit for one.
pub fn hypothetical(name: &str, uid: &str, groups: Vec<String>, extra: Vec<(String, Vec<String>)>) -> Caller {
    let (name, uid) = (name.to_owned(), uid.to_owned());
    Caller(Arc::new(Identity { name, uid, groups, extra, hypothetical: true, ..Identity::default() }))
}

impl Caller {
    pub(crate) fn new(name: &str, groups: Vec<String>) -> Self {
        Caller(Arc::new(Identity { name: name.to_owned(), groups, ..Identity::default() }))
    }

    /// Says which method or kind of tokens recognized it.
    pub(crate) fn by(mut self, method: &'static str) -> Self {
        if self.0.by != method {
            Arc::make_mut(&mut self.0).by = method;
        }
        self
    }

    pub(crate) fn with_uid(mut self, uid: String) -> Self {
        Arc::make_mut(&mut self.0).uid = uid;
        self
    }

    pub(crate) fn with_extra(mut self, key: &str, values: Vec<String>) -> Self {
        Arc::make_mut(&mut self.0).extra.push((key.to_owned(), values));
        self
    }

    pub(crate) fn with_group(mut self, group: &str) -> Self {
        Arc::make_mut(&mut self.0).groups.push(group.to_owned());
        self
    }

    pub(crate) fn with_warning(mut self, text: &str) -> Self {
        Arc::make_mut(&mut self.0).warnings.push(text.to_owned());
        self
    }

    pub(crate) fn with_annotation(mut self, key: &'static str, value: &str) -> Self {
        Arc::make_mut(&mut self.0).annotations.push((key, value.to_owned()));
        self
    }

    /// Adds the group of recognized callers, unless this is nobody or the group is there.
    pub(crate) fn authenticated(mut self) -> Self {
        let settled = self.in_group(AUTHENTICATED) || self.in_group(UNAUTHENTICATED);
        if self.name() != ANONYMOUS && !settled {
            Arc::make_mut(&mut self.0).groups.push(AUTHENTICATED.to_owned());
        }
        self
    }

    /// The user name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What tells two users of the same name apart; often empty.
    pub fn uid(&self) -> &str {
        &self.0.uid
    }

    /// Groups, as the method found them, then `system:authenticated`.
    pub fn groups(&self) -> &[String] {
        &self.0.groups
    }

    /// What else the method knows, by key.
    pub fn extra(&self) -> &[(String, Vec<String>)] {
        &self.0.extra
    }

    /// Which method, or kind of tokens, recognized the caller.
    pub fn recognized_by(&self) -> &'static str {
        self.0.by
    }

    /// What the caller is to be warned of, about its credentials.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// What the audit log learns of the caller's credentials: keys and values.
    pub fn annotations(&self) -> &[(&'static str, String)] {
        &self.0.annotations
    }

    /// Whether the caller is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.0.groups.iter().any(|g| g == group)
    }

    /// Whether this is nobody in particular.
    pub fn is_anonymous(&self) -> bool {
        self.name() == ANONYMOUS || self.in_group(UNAUTHENTICATED)
    }

    /// Whether this is nobody who calls, but somebody whom a review asks about.
    pub fn is_hypothetical(&self) -> bool {
        self.0.hypothetical
    }

    /// Whether this is a component of this process.
    pub fn is_in_process(&self) -> bool {
        self.0.in_process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_authenticated_under_their_own_name() {
        let caller = in_process("system:kube-scheduler", &["a"]);
        assert_eq!(caller.groups(), ["a", AUTHENTICATED]);
        assert!(caller.is_in_process() && !caller.is_anonymous());
        assert!(!Caller::new("system:kube-scheduler", Vec::new()).is_in_process());
    }

    #[test]
    fn the_group_of_the_recognized_is_added_once_and_never_to_nobody() {
        let groups = |name, groups: &[&str]| {
            let groups = groups.iter().map(ToString::to_string).collect();
            Caller::new(name, groups).authenticated().groups().to_vec()
        };
        assert_eq!(groups("jane", &[]), [AUTHENTICATED]);
        assert_eq!(groups("jane", &[AUTHENTICATED, "b"]), [AUTHENTICATED, "b"]);
        assert_eq!(groups("jane", &[UNAUTHENTICATED]), [UNAUTHENTICATED]);
        assert_eq!(groups(ANONYMOUS, &[]), [""; 0]);
    }
}
