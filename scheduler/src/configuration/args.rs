//! What single plugins are told: the `args` of `pluginConfig`, each with its own fields.

use crate::plugins::{Args, Strategy};
use crate::terms::SpreadConstraint;
use api::node_selection::NodeTerm;
use api::schema::{decode, of_table};
use api::{Fault, Path, Str, Value};
use std::time::Duration;

/// The fields of all of them, as the schema's table has it.
const TABLE: &str = "DefaultPreemptionArgs\n\tkind\ts\n\tapiVersion\ts\n\tminCandidateNodesPercentage\ti\n\
                     \tminCandidateNodesAbsolute\ti\n\
                     InterPodAffinityArgs\n\tkind\ts\n\tapiVersion\ts\n\thardPodAffinityWeight\ti\n\
                     \tignorePreferredTermsOfExistingPods\tb\n\
                     NodeResourcesFitArgs\n\tkind\ts\n\tapiVersion\ts\n\tignoredResources\t[s\n\
                     \tignoredResourceGroups\t[s\n\tscoringStrategy\tScoringStrategy\n\
                     ScoringStrategy\n\ttype\ts\n\tresources\t[ResourceSpec\n\
                     \trequestedToCapacityRatio\tRequestedToCapacityRatioParam\n\
                     ResourceSpec\n\tname\ts\n\tweight\tl\n\
                     RequestedToCapacityRatioParam\n\tshape\t[UtilizationShapePoint\n\
                     UtilizationShapePoint\n\tutilization\ti\n\tscore\ti\n\
                     PodTopologySpreadArgs\n\tkind\ts\n\tapiVersion\ts\n\tdefaultingType\ts\n\
                     \tdefaultConstraints\t[TopologySpreadConstraint\n\
                     TopologySpreadConstraint\n\tmaxSkew\ti\n\ttopologyKey\ts\n\twhenUnsatisfiable\ts\n\
                     \tlabelSelector\t*\n\tminDomains\ti\n\tnodeAffinityPolicy\ts\n\tnodeTaintsPolicy\ts\n\
                     \tmatchLabelKeys\t[s\n\
                     NodeResourcesBalancedAllocationArgs\n\tkind\ts\n\tapiVersion\ts\n\tresources\t[ResourceSpec\n\
                     VolumeBindingArgs\n\tkind\ts\n\tapiVersion\ts\n\tbindTimeoutSeconds\tl\n\
                     \tshape\t[UtilizationShapePoint\n\
                     DynamicResourcesArgs\n\tkind\ts\n\tapiVersion\ts\n\tfilterTimeout\tu\n\tbindingTimeout\tu\n\
                     NodeAffinityArgs\n\tkind\ts\n\tapiVersion\ts\n\taddedAffinity\tNodeAffinity\n\
                     NodeAffinity\n\trequiredDuringSchedulingIgnoredDuringExecution\tNodeSelector\n\
                     \tpreferredDuringSchedulingIgnoredDuringExecution\t[PreferredSchedulingTerm\n\
                     NodeSelector\n\tnodeSelectorTerms\t[NodeSelectorTerm\n\
                     PreferredSchedulingTerm\n\tweight\ti\n\tpreference\tNodeSelectorTerm\n\
                     NodeSelectorTerm\n\tmatchExpressions\t[NodeSelectorRequirement\n\
                     \tmatchFields\t[NodeSelectorRequirement\n\
                     NodeSelectorRequirement\n\tkey\ts\n\toperator\ts\n\tvalues\t[s\n";

/// Takes what one plugin is told.
///
/// # Errors
/// When it cannot be read; what is wrong with what was read goes to `faults`.
pub fn read(
    args: &mut Args,
    plugin: &str,
    given: &Value,
    path: &Path,
    faults: &mut Vec<Fault>,
) -> Result<(), String> {
    let types = of_table(TABLE);
    let Some(ty) = types.find(&format!("io.k8s.{plugin}Args")) else {
        faults.push(Fault::not_found(path.child("name"), plugin));
        return Ok(());
    };
    let given = if given.is_null() { Value::map() } else { given.clone() };
    let kind = given.str_at(&["kind"]).to_owned();
    if !kind.is_empty() && kind != format!("{plugin}Args") {
        return Err(format!("args for plugin {plugin} were not of type {plugin}Args, got {kind}"));
    }
    let told = |why: String| format!("decoding {path}: decoding args for plugin {plugin}: {why}");
    let decoded = decode(&types, ty, given, true).map_err(|why| told(why.to_string()))?;
    if !decoded.strict.is_empty() {
        return Err(told(format!("strict decoding error: {}", decoded.strict.join(", "))));
    }
    let mut reading = Reading { value: decoded.value, path: path.child("args"), faults };
    match plugin {
        "DefaultPreemption" => reading.preemption(args),
        "InterPodAffinity" => reading.affinity(args),
        "NodeResourcesFit" => reading.fit(args),
        "NodeResourcesBalancedAllocation" => reading.balanced(args),
        "PodTopologySpread" => reading.spread(args),
        "VolumeBinding" => reading.volumes(args),
        "NodeAffinity" => reading.nodes(args),
        _ => {}
    }
    Ok(())
}

struct Reading<'f> {
    value: Value,
    path: Path,
    faults: &'f mut Vec<Fault>,
}

impl Reading<'_> {
    fn refuse(&mut self, path: &Path, value: impl Into<Value>, why: &str) {
        self.faults.push(Fault::invalid(path, value, why));
    }

    fn preemption(&mut self, args: &mut Args) {
        let (percentage, least) = ("minCandidateNodesPercentage", "minCandidateNodesAbsolute");
        let of_all = self.value.i64_at(&[percentage]).unwrap_or(10);
        let at_least = self.value.i64_at(&[least]).unwrap_or(100);
        let (of_all_at, at_least_at) = (self.path.child(percentage), self.path.child(least));
        if !(0..=100).contains(&of_all) {
            self.refuse(&of_all_at, of_all, "not in valid range [0, 100]");
        }
        if at_least < 0 {
            self.refuse(&at_least_at, at_least, "not in valid range [0, inf)");
        }
        if of_all == 0 && at_least == 0 {
            self.refuse(&of_all_at, 0, "cannot be zero at the same time as minCandidateNodesAbsolute");
            self.refuse(&at_least_at, 0, "cannot be zero at the same time as minCandidateNodesPercentage");
        }
        let number = |number: i64| usize::try_from(number).unwrap_or(0);
        args.preemption = (number(of_all), number(at_least));
    }

    fn affinity(&mut self, args: &mut Args) {
        let weight = self.value.i64_at(&["hardPodAffinityWeight"]).unwrap_or(1);
        if !(0..=100).contains(&weight) {
            self.refuse(&self.path.child("hardPodAffinityWeight"), weight, "not in valid range [0, 100]");
        }
        args.affinity.hard_weight = weight;
        args.affinity.ignores_others = self.value.bool_at(&["ignorePreferredTermsOfExistingPods"]);
    }

    fn fit(&mut self, args: &mut Args) {
        let texts =
            |list: &[Value]| -> Vec<Str> { list.iter().filter_map(Value::as_str).map(Into::into).collect() };
        args.fit.ignored = texts(self.value.list_at(&["ignoredResources"]));
        args.fit.ignored_groups = texts(self.value.list_at(&["ignoredResourceGroups"]));
        for (at, group) in args.fit.ignored_groups.iter().enumerate().filter(|(_, g)| g.contains('/')) {
            let path = self.path.child("ignoredResourceGroups").index(at);
            self.refuse(&path, group.as_str(), "resource group name can't contain '/'");
        }
        let Some(strategy) = self.value.get("scoringStrategy").cloned() else { return };
        let path = self.path.child("scoringStrategy");
        let resources = self.resources(&strategy, &path.child("resources"), 100);
        if !resources.is_empty() {
            args.fit.resources = resources;
        }
        let curve = strategy.get("requestedToCapacityRatio");
        let curve_path = path.child("requestedToCapacityRatio");
        const CURVE: &str = "RequestedToCapacityRatio";
        args.fit.strategy = match (strategy.str_at(&["type"]), curve) {
            ("LeastAllocated", _) => Strategy::LeastAllocated,
            ("MostAllocated", _) => Strategy::MostAllocated,
            (CURVE, Some(curve)) => Strategy::RequestedToCapacityRatio(
                self.shape(curve.list_at(&["shape"]), &curve_path.child("shape")),
            ),
            (CURVE, None) => {
                let why = "must be specified when type is RequestedToCapacityRatio";
                return self.faults.push(Fault::required(&curve_path, why));
            }
            (other, _) => {
                let all = ["LeastAllocated", "MostAllocated", CURVE];
                return self.faults.push(Fault::not_supported(path.child("type"), other, &all));
            }
        };
        if curve.is_some() && strategy.str_at(&["type"]) != CURVE {
            let why = "must be nil when type is not RequestedToCapacityRatio";
            self.faults.push(Fault::forbidden(curve_path, why));
        }
    }

    fn resources(&mut self, of: &Value, path: &Path, most: i64) -> Vec<(Str, i64)> {
        let mut resources = Vec::new();
        for (at, resource) in of.list_at(&["resources"]).iter().enumerate() {
            let name = resource.str_at(&["name"]);
            let weight = resource.i64_at(&["weight"]).filter(|weight| *weight != 0).unwrap_or(1);
            if weight < 1 || weight > most {
                let why = match most {
                    1 => "must be 1".to_owned(),
                    _ => format!("resource weight of {name} not in valid range (0, {most}]"),
                };
                self.refuse(&path.index(at).child("weight"), weight, &why);
            }
            resources.push((name.into(), weight));
        }
        resources
    }

    /// Points of a curve, their scores brought from 10 to 100.
    fn shape(&mut self, points: &[Value], path: &Path) -> Vec<(i64, i64)> {
        if points.is_empty() {
            self.faults.push(Fault::required(path, "at least one point must be specified"));
        }
        let mut shape: Vec<(i64, i64)> = Vec::new();
        for (at, point) in points.iter().enumerate() {
            let number = |field: &str| point.i64_at(&[field]).unwrap_or(0);
            let (used, score) = (number("utilization"), number("score"));
            let path = path.index(at);
            if shape.last().is_some_and(|(before, _)| *before >= used) {
                self.refuse(&path.child("utilization"), used, "values must be sorted in increasing order");
            }
            if !(0..=100).contains(&used) {
                self.refuse(&path.child("utilization"), used, "not in valid range [0, 100]");
            }
            if !(0..=10).contains(&score) {
                self.refuse(&path.child("score"), score, "not in valid range [0, 10]");
            }
            shape.push((used, score.saturating_mul(10)));
        }
        shape
    }

    fn balanced(&mut self, args: &mut Args) {
        let (value, path) = (self.value.clone(), self.path.child("resources"));
        let resources = self.resources(&value, &path, 1);
        for (at, (name, _)) in resources.iter().enumerate() {
            if resources[..at].iter().any(|(before, _)| before == name) {
                self.faults.push(Fault::duplicate(path.index(at).child("name"), name.as_str()));
            }
        }
        if !resources.is_empty() {
            args.balanced.0 = resources.into_iter().map(|(name, _)| name).collect();
        }
    }

    fn spread(&mut self, args: &mut Args) {
        let constraints = self.value.list_at(&["defaultConstraints"]).to_vec();
        let path = self.path.child("defaultingType");
        match self.value.str_at(&["defaultingType"]) {
            "List" => {
                args.spread.defaults =
                    Some(constraints.iter().map(|c| SpreadConstraint::of(c, None)).collect())
            }
            "" | "System" if constraints.is_empty() => {}
            "" | "System" => self.refuse(&path, "System", "when .defaultConstraints are not empty"),
            other => self.faults.push(Fault::not_supported(path, other.to_owned(), &["List", "System"])),
        }
        for (at, constraint) in constraints.iter().enumerate() {
            let path = self.path.child("defaultConstraints").index(at);
            let skew = constraint.i64_at(&["maxSkew"]).unwrap_or(0);
            if skew <= 0 {
                self.refuse(&path.child("maxSkew"), skew, "not in valid range (0, inf)");
            }
            if constraint.str_at(&["topologyKey"]).is_empty() {
                self.faults.push(Fault::required(path.child("topologyKey"), "can not be empty"));
            }
            let when = path.child("whenUnsatisfiable");
            match constraint.str_at(&["whenUnsatisfiable"]) {
                "DoNotSchedule" | "ScheduleAnyway" => {}
                "" => self.faults.push(Fault::required(when, "can not be empty")),
                other => {
                    let all = ["DoNotSchedule", "ScheduleAnyway"];
                    self.faults.push(Fault::not_supported(when, other, &all));
                }
            }
            if constraint.get("labelSelector").is_some_and(|selector| !selector.is_null()) {
                let why = "constraint must not define a selector, as they deduced for each pod";
                self.faults.push(Fault::forbidden(path.child("labelSelector"), why));
            }
        }
    }

    fn volumes(&mut self, args: &mut Args) {
        let secs = self.value.i64_at(&["bindTimeoutSeconds"]).unwrap_or(600);
        match u64::try_from(secs) {
            Ok(secs) => args.bind_timeout = Duration::from_secs(secs),
            Err(_) => {
                let why = "invalid BindTimeoutSeconds, should not be a negative value";
                self.refuse(&self.path.child("bindTimeoutSeconds"), secs, why);
            }
        }
        if self.value.get("shape").is_some() {
            let why =
                "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring";
            let shape = self.value.get("shape").cloned().unwrap_or_default();
            self.refuse(&self.path.child("shape"), shape, why);
        }
    }

    fn nodes(&mut self, args: &mut Args) {
        let Some(affinity) = self.value.get("addedAffinity") else { return };
        let terms = ["requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
        let required = affinity.at(&terms).and_then(Value::as_list);
        args.nodes.required = required.map(|terms| terms.iter().map(NodeTerm::of).collect());
        let preferred = affinity.list_at(&["preferredDuringSchedulingIgnoredDuringExecution"]).iter();
        let read = |term: &Value| Some((term.i64_at(&["weight"])?, NodeTerm::of(term.get("preference")?)));
        args.nodes.preferred = preferred.filter_map(read).collect();
    }
}
