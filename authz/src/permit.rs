//! `Permit`: the proof that a caller may do what is asked, and the only ticket to a write.

use crate::{Attributes, Reason};
use authn::Caller;

/// Who may do what. One is made for one request, by `Authorizer` alone; it cannot be copied.
///
/// ```
/// # async fn check() -> Result<(), api::Status> {
/// let caller = authn::in_process("system:kube-scheduler", &[]);
/// let asked = authz::Attributes::resource("list", "", "v1", "pods");
/// let settings = authz::Settings::new(stdx::Clock::system());
/// let authorizer = authz::Authorizer::new(&settings).expect("good settings");
/// let permit = authorizer.authorize(caller, asked).await?;
/// assert_eq!(permit.attributes().resource, "pods");
/// # Ok(()) }
/// ```
///
/// Putting one together elsewhere does not compile:
///
/// ```compile_fail
/// let caller = authn::in_process("system:kube-scheduler", &[]);
/// let asked = authz::Attributes::resource("list", "", "v1", "pods");
/// let permit = authz::Permit { caller, attributes: asked };
/// ```
///
/// ```compile_fail,E0624
/// let caller = authn::in_process("system:kube-scheduler", &[]);
/// let asked = authz::Attributes::resource("list", "", "v1", "pods");
/// let permit = authz::Permit::new(caller, asked);
/// ```
///
/// ```compile_fail,E0599
/// let permit = authz::Permit::default();
/// ```
///
/// One permit is not to become two,
///
/// ```compile_fail,E0599
/// fn twice(permit: authz::Permit) -> (authz::Permit, authz::Permit) {
///     (permit.clone(), permit)
/// }
/// ```
///
/// nor one for something else,
///
/// ```compile_fail,E0616
/// fn more(mut permit: authz::Permit) -> authz::Permit {
///     permit.attributes.verb = "delete".into();
///     permit
/// }
/// ```
///
/// ```compile_fail,E0594
/// fn more(permit: &mut authz::Permit) {
///     permit.attributes().verb = "delete".into();
/// }
/// ```
///
/// nor one for somebody else.
///
/// ```compile_fail,E0451
/// fn given_away(permit: authz::Permit, caller: authn::Caller) -> authz::Permit {
///     authz::Permit { caller, ..permit }
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    caller: Caller,
    attributes: Attributes,
    reason: Reason,
}

impl Permit {
    pub(crate) fn new(caller: Caller, attributes: Attributes, reason: Reason) -> Self {
        Permit { caller, attributes, reason }
    }

    /// Who.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Why it was given.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}
