//! A file that says how to schedule: a `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`. It is read
//! strictly, and checked as upstream checks it.
//!
//! `parallelism`, `leaderElection`, `clientConnection` and what is for finding faults are accepted: decisions are made
//! one after another here, and the others are flags of the whole process. Extenders are refused.

mod args;

use crate::plugins::Args;
use crate::profile::{Points, Profile, Switches};
use api::configuration::{Form, check, read};
use api::{Fault, Path, Str, Value};
use std::sync::Arc;
use std::time::Duration;

const FORM: Form = Form {
    kind: "KubeSchedulerConfiguration",
    versions: &["kubescheduler.config.k8s.io/v1"],
    table: "v1.KubeSchedulerConfiguration\n\tkind\ts\n\tapiVersion\ts\n\tparallelism\ti\n\tleaderElection\t*\n\
            \tclientConnection\t*\n\tenableProfiling\tb\n\tenableContentionProfiling\tb\n\
            \tpercentageOfNodesToScore\ti\n\tpodInitialBackoffSeconds\tl\n\tpodMaxBackoffSeconds\tl\n\
            \tprofiles\t[v1.KubeSchedulerProfile\n\textenders\t[*\n\tdelayCacheUntilActive\tb\n\
            v1.KubeSchedulerProfile\n\tschedulerName\ts\n\tpercentageOfNodesToScore\ti\n\tplugins\tv1.Plugins\n\
            \tpluginConfig\t[v1.PluginConfig\n\
            v1.Plugins\n\tpreEnqueue\tv1.PluginSet\n\tqueueSort\tv1.PluginSet\n\tpreFilter\tv1.PluginSet\n\
            \tfilter\tv1.PluginSet\n\tpostFilter\tv1.PluginSet\n\tpreScore\tv1.PluginSet\n\tscore\tv1.PluginSet\n\
            \treserve\tv1.PluginSet\n\tpermit\tv1.PluginSet\n\tpreBind\tv1.PluginSet\n\tbind\tv1.PluginSet\n\
            \tpostBind\tv1.PluginSet\n\tmultiPoint\tv1.PluginSet\n\
            v1.PluginSet\n\tenabled\t[v1.Plugin\n\tdisabled\t[v1.Plugin\n\
            v1.Plugin\n\tname\ts\n\tweight\ti\n\
            v1.PluginConfig\n\tname\ts\n\targs\t*\n",
};

/// How to schedule.
#[derive(Clone)]
pub struct Configuration {
    /// By name; there is at least one.
    pub profiles: Vec<Arc<Profile>>,
    /// How long a pod that fits nowhere waits at least after its first try, and at most after many.
    pub first_backoff: Duration,
    pub longest_backoff: Duration,
}

impl Default for Configuration {
    fn default() -> Self {
        Configuration {
            profiles: vec![Arc::default()],
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(10),
        }
    }
}

impl Configuration {
    /// Reads the text of a file, YAML or JSON.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value = read(&FORM, text)?;
        let mut faults = Vec::new();
        if value.i64_at(&["parallelism"]).is_some_and(|parallelism| parallelism <= 0) {
            let given = value.i64_at(&["parallelism"]).unwrap_or(0);
            faults.push(Fault::invalid("parallelism", given, "should be an integer value greater than zero"));
        }
        if !value.list_at(&["extenders"]).is_empty() {
            faults.push(Fault::forbidden("extenders", "this scheduler asks no other programs"));
        }
        let usual = Configuration::default();
        let (first_backoff, longest_backoff) = backoffs(&value, &usual, &mut faults);
        let percentage = percentage(&value, &Path::default(), &mut faults);
        let mut profiles = Vec::new();
        for (at, given) in given_profiles(&value).iter().enumerate() {
            let path = Path::new("profiles").index(at);
            let alone = value.list_at(&["profiles"]).len() <= 1;
            match profile(given, &path, alone, &mut faults) {
                Ok(mut profile) => {
                    let own = self::percentage(given, &path, &mut faults);
                    profile.percentage = own.or(percentage).filter(|percentage| *percentage > 0);
                    name_once(&profiles, &profile, &path, &mut faults);
                    profiles.push(Arc::new(profile));
                }
                Err(why) => return Err(format!("creating profile {path}: {why}")),
            }
        }
        check(&faults)?;
        Ok(Configuration { profiles, first_backoff, longest_backoff })
    }

    /// The profile that a pod names.
    pub fn profile(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.iter().find(|profile| profile.name == *name)
    }
}

fn given_profiles(value: &Value) -> Vec<Value> {
    match value.list_at(&["profiles"]) {
        [] => vec![Value::map()],
        several => several.to_vec(),
    }
}

fn name_once(others: &[Arc<Profile>], profile: &Profile, path: &Path, faults: &mut Vec<Fault>) {
    if profile.name.is_empty() {
        faults.push(Fault::required(path.child("schedulerName"), ""));
    } else if let Some(at) = others.iter().position(|other| other.name == profile.name) {
        let before = Path::new("profiles").index(at).child("schedulerName");
        faults.push(Fault::duplicate(path.child("schedulerName"), before.as_str()));
    }
}

fn backoffs(value: &Value, usual: &Configuration, faults: &mut Vec<Fault>) -> (Duration, Duration) {
    let secs = |field: &str, usual: Duration| {
        value.i64_at(&[field]).unwrap_or_else(|| i64::try_from(usual.as_secs()).unwrap_or(i64::MAX))
    };
    let first = secs("podInitialBackoffSeconds", usual.first_backoff);
    let longest = secs("podMaxBackoffSeconds", usual.longest_backoff);
    if first <= 0 {
        faults.push(Fault::invalid("podInitialBackoffSeconds", first, "must be greater than 0"));
    }
    if longest < first {
        let why = "must be greater than or equal to PodInitialBackoffSeconds";
        faults.push(Fault::invalid("podMaxBackoffSeconds", longest, why));
    }
    let duration = |secs: i64| Duration::from_secs(u64::try_from(secs).unwrap_or(0));
    (duration(first), duration(longest))
}

fn percentage(value: &Value, path: &Path, faults: &mut Vec<Fault>) -> Option<usize> {
    let given = value.i64_at(&["percentageOfNodesToScore"])?;
    if !(0..=100).contains(&given) {
        let path = path.child("percentageOfNodesToScore");
        faults.push(Fault::invalid(path, given, "not in valid range [0-100]"));
    }
    usize::try_from(given).ok()
}

fn profile(given: &Value, path: &Path, alone: bool, faults: &mut Vec<Fault>) -> Result<Profile, String> {
    let name = match given.get("schedulerName").and_then(Value::as_str) {
        None if alone => crate::DEFAULT_NAME,
        name => name.unwrap_or_default(),
    };
    let mut points = Points::default();
    for (point, set) in given.map_at(&["plugins"]).into_iter().flat_map(api::Map::iter) {
        match point.as_str() {
            "multiPoint" => points.multi = switches(set),
            _ => drop(points.single.insert(point.clone(), switches(set))),
        }
    }
    let mut args = Args::default();
    let mut seen: Vec<&str> = Vec::new();
    for (at, config) in given.list_at(&["pluginConfig"]).iter().enumerate() {
        let path = path.child("pluginConfig").index(at);
        let name = config.str_at(&["name"]);
        if seen.contains(&name) {
            faults.push(Fault::duplicate(&path, name));
        }
        seen.push(name);
        args::read(&mut args, name, config.get("args").unwrap_or(&Value::Null), &path, faults)?;
    }
    Profile::new(name.into(), &points, args)
}

fn switches(set: &Value) -> Switches {
    let name = |plugin: &Value| -> Str { plugin.str_at(&["name"]).into() };
    let on = set.list_at(&["enabled"]).iter().map(|plugin| (name(plugin), plugin.i64_at(&["weight"])));
    Switches { on: on.collect(), off: set.list_at(&["disabled"]).iter().map(name).collect() }
}

#[cfg(test)]
mod tests;
