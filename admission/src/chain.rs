//! The plugins in their order.

use crate::plugins::{Listed, PLUGINS, Plugin, Settings};
use crate::review::{Cluster, Review};
use api::Status;

/// The enabled plugins, in upstream's order.
pub struct Chain {
    plugins: Vec<Box<dyn Plugin>>,
}

impl Chain {
    /// The plugins that are on by default, with some added and some taken away by name. An unknown name is an error,
    /// and so is a bad configuration of a plugin that is on.
    pub fn new(settings: &Settings, enable: &[String], disable: &[String]) -> Result<Self, String> {
        check_names(enable, disable)?;
        let named = |list: &[String], name: &str| list.iter().any(|n| n == name);
        let is_on = |listed: &&Listed| {
            named(enable, listed.name) || (listed.on_by_default && !named(disable, listed.name))
        };
        let make = |listed: &Listed| {
            let why = |why| format!("couldn't init admission plugin {}: {why}", api::quote(listed.name));
            (listed.make)(settings).map_err(why)
        };
        Ok(Chain { plugins: PLUGINS.iter().filter(is_on).map(make).collect::<Result<_, _>>()? })
    }

    /// Lets every plugin read what it decides by, and follow it from then on.
    pub async fn begin(&self) {
        for plugin in &self.plugins {
            plugin.begin().await;
        }
    }

    /// Lets every plugin change what is wanted; the first refusal ends it. Once more where a webhook changed what
    /// others had seen.
    pub async fn admit(&self, review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
        self.admit_once(review, reader).await?;
        if review.reinvocation.wanted {
            review.reinvocation.again = true;
            self.admit_once(review, reader).await?;
        }
        Ok(())
    }

    async fn admit_once(&self, review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
        for plugin in &self.plugins {
            if plugin.handles(review) {
                plugin.admit(review, reader).await?;
            }
        }
        Ok(())
    }

    /// Lets every plugin refuse.
    pub async fn validate(&self, review: &mut Review<'_>, reader: &dyn Cluster) -> Result<(), Status> {
        for plugin in &self.plugins {
            if plugin.handles(review) {
                plugin.validate(review, reader).await?;
            }
        }
        Ok(())
    }
}

/// In upstream's words.
fn check_names(enable: &[String], disable: &[String]) -> Result<(), String> {
    let mut faults = Vec::new();
    for (flag, names) in [("enable", enable), ("disable", disable)] {
        let unknown = names.iter().filter(|name| PLUGINS.iter().all(|listed| listed.name != **name));
        faults.extend(
            unknown.map(|name| format!("{flag}-admission-plugins plugin {} is unknown", api::quote(name))),
        );
    }
    let mut both: Vec<&str> =
        enable.iter().filter(|name| disable.contains(name)).map(String::as_str).collect();
    if !both.is_empty() {
        both.sort_unstable();
        both.dedup();
        let names = both.join(" ");
        faults
            .push(format!("[{names}] in enable-admission-plugins and disable-admission-plugins overlapped"));
    }
    match faults.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        _ => Err(format!("[{}]", faults.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn plugins_come_in_upstreams_order() {
        let order = "AlwaysAdmit NamespaceAutoProvision NamespaceLifecycle+ NamespaceExists \
            LimitPodHardAntiAffinityTopology LimitRanger+ ServiceAccount+ NodeRestriction TaintNodesByCondition+ \
            AlwaysPullImages ImagePolicyWebhook PodSecurity+ PodNodeSelector Priority+ DefaultTolerationSeconds+ \
            PodTolerationRestriction EventRateLimit ExtendedResourceToleration DefaultStorageClass+ \
            StorageObjectInUseProtection+ PodGroupProtection+ OwnerReferencesPermissionEnforcement \
            PersistentVolumeClaimResize+ RuntimeClass+ CertificateApproval+ CertificateSigning+ \
            ClusterTrustBundleAttest+ CertificateSubjectRestriction+ DefaultIngressClass+ DenyServiceExternalIPs \
            PodTopologyLabels+ PodGroupWorkloadExists+ NodeDeclaredFeatureValidator+ JobValidation+ \
            PodResizeValidator+ MutatingAdmissionPolicy+ MutatingAdmissionWebhook+ ValidatingAdmissionPolicy+ \
            ValidatingAdmissionWebhook+ ResourceQuota+ AlwaysDeny";
        let mark = |on: bool| if on { "+" } else { "" };
        let listed: Vec<String> =
            PLUGINS.iter().map(|listed| format!("{}{}", listed.name, mark(listed.on_by_default))).collect();
        assert_eq!(listed, order.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn names_of_plugins_must_be_known_and_mean_one_thing() {
        let settings = Settings::new(stdx::Clock::system());
        let fault = |enable: &[&str], disable: &[&str]| {
            Chain::new(&settings, &names(enable), &names(disable)).err().unwrap_or_default()
        };
        assert_eq!(fault(&["Nonsense"], &[]), "enable-admission-plugins plugin \"Nonsense\" is unknown");
        assert_eq!(
            fault(&["X"], &["Y"]),
            "[enable-admission-plugins plugin \"X\" is unknown, disable-admission-plugins plugin \"Y\" is unknown]"
        );
        assert_eq!(
            fault(&["Priority"], &["Priority"]),
            "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped"
        );
        assert_eq!(fault(&["Priority"], &["LimitRanger"]), "");
    }
}
