//! The authentication.k8s.io group: reviews, which are commands. The server carries them out; here is what their
//! bodies must be like. (TokenRequest is a subresource of service accounts.)

use crate::{Info, Kind, NameRule, Verbs};
use std::sync::Arc;

/// A review whose body needs no checks beyond its schema.
struct Review(Info);

impl Kind for Review {
    fn info(&self) -> &Info {
        &self.0
    }
}

/// Kinds of the group, in the order of discovery.
pub fn kinds() -> Vec<Arc<dyn Kind>> {
    let review = |kind: &str, plural: &str| -> Arc<dyn Kind> {
        let info = Info::new("authentication.k8s.io", "v1", kind, plural);
        Arc::new(Review(info.cluster_scoped().verbs(Verbs::CREATE).names(NameRule::Own)))
    };
    vec![review("SelfSubjectReview", "selfsubjectreviews"), review("TokenReview", "tokenreviews")]
}
