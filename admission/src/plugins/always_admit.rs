//! AlwaysAdmit: nothing to say, deprecated upstream since it does nothing. It also stands for the plugins that are known
//! and silent while their features are off, as in a default v1.36 server: PodGroupProtection, PodGroupWorkloadExists
//! and JobValidation.

use super::Plugin;
use crate::review::Review;

pub struct AlwaysAdmit;

impl Plugin for AlwaysAdmit {
    fn handles(&self, _: &Review<'_>) -> bool {
        false
    }
}
