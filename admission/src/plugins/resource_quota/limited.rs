//! `ResourceQuotaConfiguration`: what may only be used where a quota bounds it.
//!
//! With `limitedResources: [{resource: persistentvolumeclaims, matchContains: [gold.storageclass]}]` claims of the
//! class `gold` need a quota for them: else 403 `insufficient quota to consume: …`.

use crate::configuration;
use api::configuration::{Form, check};
use api::quota::{matches_scope, scopes_met};
use api::resources::Amounts;
use api::{Fault, Path, Value};

const TABLE: &str = "v1.Configuration\n\tkind\ts\n\tapiVersion\ts\n\tlimitedResources\t[v1.LimitedResource\n\
     v1.LimitedResource\n\tapiGroup\ts\n\tresource\ts\n\tmatchContains\t[s\n\tmatchScopes\t[v1.Scope\n\
     v1.Scope\n\tscopeName\ts\n\toperator\ts\n\tvalues\t[s\n";
const FORM: Form =
    Form { kind: "ResourceQuotaConfiguration", versions: &["apiserver.config.k8s.io/v1"], table: TABLE };
/// Under its name of old days.
const OLD_FORM: Form = Form {
    kind: "Configuration",
    versions: &["resourcequota.admission.k8s.io/v1beta1", "resourcequota.admission.k8s.io/v1alpha1"],
    table: TABLE,
};

/// The limited resources of the configuration.
#[derive(Default)]
pub struct Limited(Vec<Value>);

impl Limited {
    pub fn read(configuration: Option<&Value>) -> Result<Self, String> {
        let Some(value) = configuration else { return Ok(Limited::default()) };
        let is_old = value.str_at(&["kind"]) == OLD_FORM.kind;
        let value = configuration::read(value, if is_old { &OLD_FORM } else { &FORM })?;
        let limited = value.list_at(&["limitedResources"]).to_vec();
        let at = Path::new("limitedResources");
        let unnamed = limited.iter().enumerate().filter(|(_, one)| one.str_at(&["resource"]).is_empty());
        let faults: Vec<Fault> =
            unnamed.map(|(i, _)| Fault::required(at.index(i).child("resource"), "")).collect();
        check(&faults)?;
        Ok(Limited(limited))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes that an object is of and that need a quota.
    pub fn scopes(&self, group: &str, resource: &str, object: &Value) -> Vec<&Value> {
        let all = self.0.iter().flat_map(|limited| limited.list_at(&["matchScopes"]));
        all.filter(|scope| matches_scope(scope, group, resource, object)).collect()
    }

    /// Refuses what is used, is limited, and no quota bounds.
    pub fn check(
        &self,
        group: &str,
        resource: &str,
        used: &Amounts,
        covered: &[String],
    ) -> Result<(), String> {
        let here = |limited: &&Value| {
            limited.str_at(&["apiGroup"]) == group && limited.str_at(&["resource"]) == resource
        };
        let parts: Vec<&str> = self
            .0
            .iter()
            .filter(here)
            .flat_map(|limited| limited.list_at(&["matchContains"]))
            .filter_map(Value::as_str)
            .collect();
        let is_limited = |name: &str| parts.iter().any(|part| name.contains(part));
        let uncovered: Vec<&str> = used
            .iter()
            .filter(|(name, amount)| amount.sign() > 0 && is_limited(name) && !covered.contains(name))
            .map(|(name, _)| name.as_str())
            .collect();
        match uncovered.as_slice() {
            [] => Ok(()),
            names => Err(format!("insufficient quota to consume: {}", names.join(","))),
        }
    }
}

/// The text for scopes that no quota is about.
pub fn uncovered(
    scopes: Vec<&Value>,
    quotas: &[Value],
    group: &str,
    resource: &str,
    object: &Value,
) -> Option<String> {
    let met: Vec<&str> = quotas.iter().flat_map(|quota| scopes_met(quota, group, resource, object)).collect();
    let texts: Vec<String> = scopes
        .into_iter()
        .filter(|scope| !met.contains(&scope.str_at(&["scopeName"])))
        .map(|scope| {
            let values = scope.list_at(&["values"]).iter().filter_map(Value::as_str);
            let values = values.collect::<Vec<_>>().join(" ");
            format!("{{{} {} [{values}]}}", scope.str_at(&["scopeName"]), scope.str_at(&["operator"]))
        })
        .collect();
    let texts = (!texts.is_empty()).then(|| texts.join(" "))?;
    Some(format!("insufficient quota to match these scopes: [{texts}]"))
}
