//! Who control loops are: each acts as a service account of its own, watches as the user of the controller manager,
//! and may do what the default policy grants to these.

use crate::Parts;
use crate::list::Controller;

/// The identity under which the API server acts.
pub const API_SERVER: &str = "system:apiserver";
/// The identity that watches for all controllers.
pub const WATCHER: &str = "system:kube-controller-manager";
/// The controller that makes tokens acts as the controller manager itself: no account may make tokens of all others.
pub const TOKENS: &str = "serviceaccount-token-controller";
/// How the names of service accounts begin; namespace and name follow.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// The group of all service accounts; with a namespace behind, that of its.
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// Where the accounts of controllers are.
const NAMESPACE: &str = "kube-system";

/// The user name of a controller.
pub fn of(controller: &Controller) -> String {
    match controller.part {
        Parts::ApiServer => API_SERVER.to_owned(),
        Parts::All if controller.name == TOKENS => WATCHER.to_owned(),
        Parts::All => format!("{SERVICE_ACCOUNT}{NAMESPACE}:{}", controller.name),
    }
}

/// The groups of an identity: those of a service account, as its tokens would have them; none for other users.
pub fn groups(identity: &str) -> Vec<String> {
    let account = identity.strip_prefix(SERVICE_ACCOUNT).and_then(|account| account.split_once(':'));
    let groups =
        |(namespace, _)| vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")];
    account.map_or_else(Vec::new, groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::policy;
    use crate::list::CONTROLLERS;

    /// Kind, namespace and name of everybody to whom the default policy grants something in all of the cluster.
    fn known() -> Vec<[String; 3]> {
        let bindings = policy::wanted().into_iter().filter(|wanted| wanted.plural.ends_with("rolebindings"));
        let subjects = bindings.flat_map(|binding| binding.object.list_at(&["subjects"]).to_vec());
        subjects
            .map(|subject| ["kind", "namespace", "name"].map(|f| subject.str_at(&[f]).to_owned()))
            .collect()
    }

    #[test]
    fn every_controller_is_known_to_the_default_policy() {
        let known = known();
        assert!(known.contains(&["User", "", WATCHER].map(str::to_owned)));
        let of_their_own = |c: &&Controller| c.part == Parts::All && c.name != TOKENS;
        for controller in CONTROLLERS.iter().filter(of_their_own) {
            let subject = ["ServiceAccount", NAMESPACE, controller.name].map(str::to_owned);
            assert!(known.contains(&subject), "{}", controller.name);
            assert_eq!(of(controller), format!("system:serviceaccount:kube-system:{}", controller.name));
        }
    }

    #[test]
    fn no_controller_is_a_master() {
        for controller in CONTROLLERS {
            let identity = of(controller);
            let groups = groups(&identity);
            assert!(groups.iter().all(|group| group.starts_with("system:serviceaccounts")), "{identity}");
            assert_eq!(groups.is_empty(), !identity.starts_with(SERVICE_ACCOUNT), "{identity}");
        }
        assert!(groups(WATCHER).is_empty());
        assert_eq!(
            groups("system:serviceaccount:a:b"),
            ["system:serviceaccounts", "system:serviceaccounts:a"]
        );
    }
}
