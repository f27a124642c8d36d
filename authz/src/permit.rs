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
/// let permit = authz::Permit { caller, attributes: asked, reason: authz::Reason::NONE };
/// ```
///
/// ```compile_fail
/// let caller = authn::in_process("system:kube-scheduler", &[]);
/// let asked = authz::Attributes::resource("list", "", "v1", "pods");
/// let permit = authz::Permit::new(caller, asked, authz::Reason::NONE);
/// ```
///
/// ```compile_fail
/// fn twice(permit: authz::Permit) -> (authz::Permit, authz::Permit) {
///     (permit.clone(), permit)
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
