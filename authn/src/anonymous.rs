//! Requests without credentials, as `system:anonymous` in `system:unauthenticated`. Asked last.

use crate::method::{Method, Settings, Verdict};
use crate::{ANONYMOUS, Caller, Credentials, UNAUTHENTICATED};
use api::Later;

pub(crate) const NAME: &str = "anonymous";

struct Anonymous(Caller);

/// See `METHODS`.
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn Method>>, String> {
    let nobody = Caller::new(ANONYMOUS, vec![UNAUTHENTICATED.to_owned()]).by(NAME);
    Ok(settings.anonymous.then(|| Box::new(Anonymous(nobody)) as Box<dyn Method>))
}

impl Method for Anonymous {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge<'a>(&'a self, _: &'a Credentials<'a>) -> Later<'a, Verdict> {
        Box::pin(std::future::ready(Verdict::known(self.0.clone())))
    }
}
