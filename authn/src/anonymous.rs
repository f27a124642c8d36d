//! Requests without credentials, as `system:anonymous` in `system:unauthenticated`. Asked last.

use crate::method::{Method, Settings, Verdict};
use crate::{ANONYMOUS, Caller, Credentials, UNAUTHENTICATED};
use api::Later;

pub(crate) const NAME: &str = "anonymous";

struct Anonymous {
    nobody: Caller,
    /// Where one may be nobody; empty for everywhere.
    paths: Vec<String>,
}

/// See `METHODS`.
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn Method>>, String> {
    let nobody = Caller::new(ANONYMOUS, vec![UNAUTHENTICATED.to_owned()]).by(NAME);
    let method = Anonymous { nobody, paths: settings.anonymous_paths.clone() };
    Ok(settings.anonymous.then(|| Box::new(method) as Box<dyn Method>))
}

impl Method for Anonymous {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judge<'a>(&'a self, credentials: &'a Credentials<'a>) -> Later<'a, Verdict> {
        let here = self.paths.is_empty() || self.paths.iter().any(|path| path == credentials.path);
        let known =
            || Verdict::Known { caller: self.nobody.clone(), audiences: credentials.audiences.to_vec() };
        Box::pin(std::future::ready(if here { known() } else { Verdict::NotMine }))
    }
}
