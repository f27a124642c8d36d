//! ValidatingAdmissionPolicy: rules in CEL that are kept in the cluster. They are stored and shown; nothing is decided by them
//! yet, so that this plugin has nothing to say.

use super::Plugin;
use crate::review::Review;

pub struct ValidatingAdmissionPolicy;

impl Plugin for ValidatingAdmissionPolicy {
    fn handles(&self, _review: &Review<'_>) -> bool {
        false
    }
}
