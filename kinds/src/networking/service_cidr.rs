//! ServiceCIDR: one or two networks that services get their addresses from.

use super::GROUP;
use crate::internal_form::internal_form;
use crate::{Column, Cx, Info, Kind, print, validation};
use api::{Fault, Path, Value};

const SPEC: &str = "io.k8s.api.networking.v1.ServiceCIDRSpec";
const CIDRS: [&str; 2] = ["spec", "cidrs"];

pub struct ServiceCIDR(Info);

impl ServiceCIDR {
    pub fn new() -> Self {
        let info = Info::new(GROUP, "v1", "ServiceCIDR", "servicecidrs");
        ServiceCIDR(info.cluster_scoped().with_status())
    }
}

fn faults(obj: &Value) -> Vec<Fault> {
    let at = Path::new("spec").child("cidrs");
    let cidrs = obj.list_at(&CIDRS);
    if cidrs.is_empty() {
        return vec![Fault::required(at, "at least one CIDR required")];
    }
    if cidrs.len() > 2 {
        return vec![Fault::invalid(
            at,
            internal_form(obj.get("spec"), SPEC),
            "may only hold up to 2 values",
        )];
    }
    let texts: Vec<&str> = cidrs.iter().filter_map(Value::as_str).collect();
    let mut faults: Vec<Fault> =
        texts.iter().enumerate().flat_map(|(i, text)| validation::cidr(text, &at.index(i))).collect();
    let families: Vec<Option<bool>> =
        texts.iter().map(|t| validation::parse_cidr_sloppy(t).map(|(ip, _)| ip.is_ipv6())).collect();
    if matches!(families[..], [Some(a), Some(b)] if a == b) {
        let text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        faults.push(Fault::invalid(at, cidrs.to_vec(), text));
    }
    faults
}

impl Kind for ServiceCIDR {
    fn info(&self) -> &Info {
        &self.0
    }

    fn validate(&self, obj: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        faults(obj)
    }

    /// Networks stay as they are; a second one may be added.
    fn validate_update(&self, new: &Value, old: &Value, _cx: &Cx<'_>) -> Vec<Fault> {
        let at = Path::new("spec").child("cidrs");
        let (now, before) = (new.list_at(&CIDRS), old.list_at(&CIDRS));
        let changed = now.iter().zip(before).enumerate().filter(|(_, (a, b))| a != b);
        let mut immutable: Vec<Fault> = changed
            .map(|(i, (a, _))| Fault::invalid(at.index(i), a.clone(), validation::IMMUTABLE))
            .collect();
        match (before.len(), now.len()) {
            (a, b) if a == b => immutable,
            (1, 2) => {
                immutable.extend(faults(new));
                immutable
            }
            _ => vec![Fault::invalid(at, new.at(&CIDRS).cloned().unwrap_or_default(), validation::IMMUTABLE)],
        }
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name(), Column::field("CIDRs", "string", SPEC, "cidrs"), Column::age()]
    }

    fn cells(&self, obj: &Value, now: i64) -> Vec<Value> {
        let cidrs: Vec<&str> = obj.list_at(&CIDRS).iter().filter_map(Value::as_str).collect();
        vec![print::name(obj), cidrs.join(",").into(), print::age(obj, now)]
    }
}
