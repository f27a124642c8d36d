//! A profile: the pods that name it are placed by its plugins, each with its weight and what it was told.

use crate::DEFAULT_NAME;
use crate::plugins::{self, Args, Plugin};
use api::Str;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Plugins whose rules are the scheduler's own; all others are `plugins::all`.
const OWN: [&str; 6] = [
    "SchedulingGates",
    "PrioritySort",
    "DynamicResources",
    "DefaultPreemption",
    "NodeDeclaredFeatures",
    "DefaultBinder",
];

/// See the head of the file.
pub struct Profile {
    /// The `schedulerName` of its pods.
    pub name: Str,
    /// Those that judge nodes, in order.
    pub filters: Vec<Arc<dyn Plugin>>,
    /// Those that prefer nodes, with their weights.
    pub scores: Vec<(Arc<dyn Plugin>, i64)>,
    /// Whether gates hold its pods back.
    pub has_gates: bool,
    /// How many nodes are tried for preemption: as a percentage, and at least; `None`: pods displace nobody.
    pub preemption: Option<(usize, usize)>,
    /// Whether resource claims are looked at before pods are displaced.
    pub has_resource_claims: bool,
    /// How long volumes may take to be bound.
    pub bind_timeout: Duration,
    /// How many nodes that will do are looked for; `None`: as many as the size of the cluster suggests.
    pub percentage: Option<usize>,
}

/// What is switched on and off at one point, by name; `*` switches all off.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    pub on: Vec<(Str, Option<i64>)>,
    pub off: Vec<Str>,
}

/// The switches of a profile: `multiPoint` for all points, and those of single points by upstream's names.
#[derive(Clone, Debug, Default)]
pub struct Points {
    pub multi: Switches,
    pub single: HashMap<Str, Switches>,
}

impl Switches {
    fn is_off(&self, name: &str) -> bool {
        self.off.iter().any(|off| *off == *name || *off == *"*")
    }
}

impl Default for Profile {
    fn default() -> Self {
        // The plugins that there are contradict nobody.
        Profile::new(DEFAULT_NAME.into(), &Points::default(), Args::default())
            .unwrap_or_else(|_| Profile::empty())
    }
}

impl Profile {
    fn empty() -> Self {
        Profile {
            name: DEFAULT_NAME.into(),
            filters: Vec::new(),
            scores: Vec::new(),
            has_gates: false,
            preemption: None,
            has_resource_claims: false,
            bind_timeout: Duration::ZERO,
            percentage: None,
        }
    }

    /// # Errors
    /// When a plugin is switched on that there is none of, or one that must be on is off.
    pub fn new(name: Str, points: &Points, args: Args) -> Result<Self, String> {
        let (preemption, bind_timeout) = (args.preemption, args.bind_timeout);
        let all = plugins::all(args);
        let known = |name: &str| OWN.contains(&name) || all.iter().any(|plugin| plugin.name() == name);
        for switches in points.single.values().chain([&points.multi]) {
            if let Some((unknown, _)) = switches.on.iter().find(|(name, _)| !known(name)) {
                return Err(format!("plugin {} does not exist", api::quote(unknown)));
            }
        }
        let multi = defaults(&all, &points.multi);
        let at = |point: &str| expand(points.single.get(point), &multi);
        let is_off = |point: &str, name: &str| points.single.get(point).is_some_and(|s| s.is_off(name));
        let has = |point: &str, name: &str| at(point).iter().any(|(on, _)| *on == *name);
        for (point, plugin, role) in
            [("queueSort", "PrioritySort", "queue sort"), ("bind", "DefaultBinder", "bind")]
        {
            if !has(point, plugin) {
                let name = api::quote(&name);
                return Err(format!(
                    "at least one {role} plugin is needed for profile with scheduler name {name}"
                ));
            }
        }
        let find = |name: &Str| all.iter().find(|plugin| *name == *plugin.name()).cloned();
        let filters = at("filter").into_iter().filter(|(name, _)| !is_off("preFilter", name));
        let scores = at("score").into_iter().filter(|(name, _)| !is_off("preScore", name));
        let weighted = |(name, weight): (Str, Option<i64>)| {
            let plugin = find(&name).filter(|plugin| plugin.weight() > 0)?;
            Some((plugin, weight.filter(|weight| *weight != 0).unwrap_or(1)))
        };
        Ok(Profile {
            has_gates: has("preEnqueue", "SchedulingGates"),
            preemption: has("postFilter", "DefaultPreemption").then_some(preemption),
            has_resource_claims: has("postFilter", "DynamicResources"),
            filters: filters.filter_map(|(name, _)| find(&name)).collect(),
            scores: scores.filter_map(weighted).collect(),
            name,
            bind_timeout,
            percentage: None,
        })
    }

    /// The plugin of a name that turned a pod down.
    pub fn plugin(&self, name: &str) -> Option<&dyn Plugin> {
        self.filters.iter().find(|plugin| plugin.name() == name).map(|plugin| &**plugin)
    }
}

/// What is on at all points: the usual plugins with their usual weights, but for what is switched.
fn defaults(all: &[Arc<dyn Plugin>], switches: &Switches) -> Vec<(Str, Option<i64>)> {
    let usual = all.iter().map(|plugin| (plugin.name(), Some(plugin.weight()).filter(|weight| *weight > 0)));
    let usual = usual.chain(OWN.map(|name| (name, None))).map(|(name, weight)| (Str::from(name), weight));
    let set = |name: &Str| switches.on.iter().find(|(on, _)| on == name).cloned();
    let mut on: Vec<_> = usual
        .filter(|(name, _)| !switches.is_off(name))
        .map(|(name, weight)| set(&name).unwrap_or((name, weight)))
        .collect();
    for new in &switches.on {
        if !on.iter().any(|(name, _)| *name == new.0) {
            on.push(new.clone());
        }
    }
    on
}

/// What is on at one point: first what it sets anew of those on everywhere, then the others of those, then its own.
fn expand(point: Option<&Switches>, multi: &[(Str, Option<i64>)]) -> Vec<(Str, Option<i64>)> {
    let Some(point) = point else { return multi.to_vec() };
    let everywhere = |name: &Str| multi.iter().any(|(on, _)| on == name);
    let here = |name: &Str| point.on.iter().any(|(on, _)| on == name);
    if point.off.iter().any(|off| *off == *"*") {
        return point.on.clone();
    }
    let anew = point.on.iter().filter(|(name, _)| everywhere(name) && !point.is_off(name));
    let others = multi.iter().filter(|(name, _)| !here(name) && !point.is_off(name));
    let own = point.on.iter().filter(|(name, _)| !everywhere(name) || point.is_off(name));
    anew.chain(others).chain(own).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switches(on: &[(&str, i64)], off: &[&str]) -> Switches {
        Switches {
            on: on.iter().map(|(name, weight)| ((*name).into(), Some(*weight))).collect(),
            off: off.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn profile(point: &str, set: Switches) -> Result<Profile, String> {
        let mut points = Points::default();
        match point {
            "multiPoint" => points.multi = set,
            point => drop(points.single.insert(point.into(), set)),
        }
        Profile::new("p".into(), &points, Args::default())
    }

    fn weight(profile: &Profile, name: &str) -> Option<i64> {
        profile.scores.iter().find(|(plugin, _)| plugin.name() == name).map(|(_, weight)| *weight)
    }

    #[test]
    fn the_usual_plugins_have_upstreams_weights_and_order() {
        let usual = Profile::default();
        let filters: Vec<&str> = usual.filters.iter().map(|plugin| plugin.name()).collect();
        assert_eq!(filters[..3], ["NodeUnschedulable", "NodeName", "TaintToleration"]);
        assert_eq!(weight(&usual, "TaintToleration"), Some(3));
        assert_eq!(weight(&usual, "NodeResourcesFit"), Some(1));
        assert!(usual.has_gates && usual.preemption == Some((10, 100)) && usual.has_resource_claims);
    }

    #[test]
    fn plugins_are_switched_everywhere_or_at_one_point() {
        let nowhere =
            profile("multiPoint", switches(&[], &["TaintToleration", "DefaultPreemption"])).unwrap();
        assert!(nowhere.plugin("TaintToleration").is_none() && weight(&nowhere, "TaintToleration").is_none());
        assert!(nowhere.preemption.is_none());
        let heavy = profile("score", switches(&[("NodeResourcesFit", 7)], &["ImageLocality"])).unwrap();
        assert_eq!((weight(&heavy, "NodeResourcesFit"), weight(&heavy, "ImageLocality")), (Some(7), None));
        let only = profile("score", switches(&[("ImageLocality", 0)], &["*"])).unwrap();
        assert_eq!((only.scores.len(), weight(&only, "ImageLocality")), (1, Some(1)));
        let first = profile("filter", switches(&[("NodePorts", 0)], &[])).unwrap();
        assert_eq!(first.filters[0].name(), "NodePorts");
        assert!(profile("filter", switches(&[], &["*"])).unwrap().filters.is_empty());
    }

    #[test]
    fn what_there_is_none_of_and_what_must_be_is_said() {
        let refused = |point: &str, set: Switches| profile(point, set).err().unwrap_or_default();
        assert_eq!(refused("score", switches(&[("Own", 1)], &[])), "plugin \"Own\" does not exist");
        assert_eq!(
            refused("bind", switches(&[], &["*"])),
            "at least one bind plugin is needed for profile with scheduler name \"p\""
        );
    }
}
