//! The authorization.k8s.io group: reviews, which are commands. The server carries them out; here is what their
//! bodies must be like.

mod access_review;

use crate::Kind;
use access_review::{AccessReview, Form};
use std::sync::Arc;

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    vec![
        Arc::new(AccessReview::new("LocalSubjectAccessReview", Form::Local)),
        Arc::new(AccessReview::new("SelfSubjectAccessReview", Form::Own)),
        Arc::new(AccessReview::new("SelfSubjectRulesReview", Form::Rules)),
        Arc::new(AccessReview::new("SubjectAccessReview", Form::Any)),
    ]
}
