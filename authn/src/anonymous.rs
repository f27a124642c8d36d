//! Requests without credentials, as `system:anonymous` in `system:unauthenticated`. Asked last.

use crate::method::{Method, Settings, Verdict};
use crate::{ANONYMOUS, Caller, Credentials, UNAUTHENTICATED};

pub(crate) const NAME: &str = "anonymous";

struct Anonymous(Caller);

/// See `METHODS`.
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn Method>>, String> {
    let nobody = Caller::new(ANONYMOUS, vec![UNAUTHENTICATED.to_owned()]);
    Ok(settings.anonymous.then(|| Box::new(Anonymous(nobody)) as Box<dyn Method>))
}

impl Method for Anonymous {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&self, _: &Credentials<'_>) -> Verdict {
        Verdict::Known(self.0.clone())
    }
}
