//! Levels, versions and what the labels of a namespace (`pod-security.kubernetes.io/enforce: baseline`) ask for.
//! Source: pod-security-admission's `api/helpers.go`.

use api::{Fault, Path, Value};
use std::fmt;

/// What all labels and audit annotations begin with.
pub const PREFIX: &str = "pod-security.kubernetes.io/";
/// Why a text is no version.
const NO_VERSION: &str = "must be \"latest\" or \"v1.x\"";

/// How strict; in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "privileged" => Ok(Level::Privileged),
            "baseline" => Ok(Level::Baseline),
            "restricted" => Ok(Level::Restricted),
            _ => Err("must be one of privileged, baseline, restricted".to_owned()),
        }
    }
}

/// Of which release the checks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `v1.N`.
    Minor(u64),
    Latest,
}

impl Version {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "latest" {
            return Ok(Version::Latest);
        }
        let digits = text.strip_prefix("v1.").filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
        let plain = digits.filter(|digits| *digits == "0" || !digits.starts_with('0'));
        let minor = plain.and_then(|digits| digits.parse().ok()).filter(|n| i64::try_from(*n).is_ok());
        minor.map(Version::Minor).ok_or_else(|| NO_VERSION.to_owned())
    }
}

/// `restricted:latest`, `baseline:v1.20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelVersion {
    pub level: Level,
    pub version: Version,
}

impl LevelVersion {
    pub const PRIVILEGED: LevelVersion = LevelVersion { level: Level::Privileged, version: Version::Latest };

    pub fn is_privileged(&self) -> bool {
        self.level == Level::Privileged
    }

    fn is_equivalent(&self, other: &Self) -> bool {
        self == other || (self.is_privileged() && other.is_privileged())
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// What a namespace asks for, mode by mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub enforce: LevelVersion,
    pub audit: LevelVersion,
    pub warn: LevelVersion,
}

impl Policy {
    pub fn is_fully_privileged(&self) -> bool {
        self.enforce.is_privileged() && self.audit.is_privileged() && self.warn.is_privileged()
    }

    /// True when both ask for the same, in effect.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.enforce.is_equivalent(&other.enforce)
            && self.audit.is_equivalent(&other.audit)
            && self.warn.is_equivalent(&other.warn)
    }

    /// The policy of a namespace, and what is wrong with its labels: a wrong level enforces as `restricted`, warns and
    /// audits as `privileged`; a wrong version is `latest`.
    pub fn of_namespace(namespace: &Value, defaults: &Policy) -> (Policy, Vec<Fault>) {
        let mut policy = defaults.clone();
        let mut labels = Labels { namespace, faults: Vec::new() };
        let enforced = labels.level("enforce", &mut policy.enforce, Level::Restricted);
        labels.version("enforce-version", &mut policy.enforce);
        labels.level("audit", &mut policy.audit, Level::Privileged);
        labels.version("audit-version", &mut policy.audit);
        labels.level("warn", &mut policy.warn, Level::Privileged);
        labels.version("warn-version", &mut policy.warn);
        // Who enforces wants warnings, too.
        if labels.get("warn").is_none() && enforced && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if labels.get("warn-version").is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, labels.faults)
    }
}

struct Labels<'a> {
    namespace: &'a Value,
    faults: Vec<Fault>,
}

impl<'a> Labels<'a> {
    fn get(&self, mode: &str) -> Option<&'a str> {
        label(self.namespace, mode)
    }

    /// True when the label is there and right.
    fn level(&mut self, mode: &str, of: &mut LevelVersion, fallback: Level) -> bool {
        let Some(text) = self.get(mode) else { return false };
        let parsed = Level::parse(text);
        of.level = *parsed.as_ref().unwrap_or(&fallback);
        self.note(mode, text, parsed.err())
    }

    fn version(&mut self, mode: &str, of: &mut LevelVersion) {
        let Some(text) = self.get(mode) else { return };
        let parsed = Version::parse(text);
        of.version = *parsed.as_ref().unwrap_or(&Version::Latest);
        self.note(mode, text, parsed.err());
    }

    fn note(&mut self, mode: &str, text: &str, why: Option<String>) -> bool {
        let Some(why) = why else { return true };
        let at = Path::new("metadata").child("labels").key(&format!("{PREFIX}{mode}"));
        self.faults.push(Fault::invalid(at, text, why));
        false
    }
}

/// The value of one of the labels.
pub fn label<'a>(namespace: &'a Value, mode: &str) -> Option<&'a str> {
    namespace.at(&["metadata", "labels", &format!("{PREFIX}{mode}")]).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    const OPEN: Policy = Policy {
        enforce: LevelVersion::PRIVILEGED,
        audit: LevelVersion::PRIVILEGED,
        warn: LevelVersion::PRIVILEGED,
    };

    fn of(labels: Value) -> (Policy, Vec<Fault>) {
        Policy::of_namespace(&tree!({"metadata": {"labels": labels}}), &OPEN)
    }

    #[test]
    fn versions_are_latest_or_minors_of_one() {
        assert_eq!(Version::parse("v1.0"), Ok(Version::Minor(0)));
        assert_eq!(Version::parse("v1.27"), Ok(Version::Minor(27)));
        for wrong in ["v1.", "v1.01", "1.2", "v2.0", "vX", "", "v1.99999999999999999999", "v1.-1"] {
            assert!(Version::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Version::Minor(900) < Version::Latest);
    }

    #[test]
    fn who_enforces_is_warned_too() {
        let (policy, faults) = of(
            tree!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.20"}),
        );
        assert!(faults.is_empty());
        assert_eq!(
            (policy.enforce.to_string(), policy.warn.to_string()),
            ("baseline:v1.20".into(), "baseline:v1.20".into())
        );
        let (policy, _) = of(
            tree!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "privileged"}),
        );
        assert!(policy.warn.is_privileged());
    }

    #[test]
    fn wrong_labels_are_told_and_enforce_the_most() {
        let (policy, faults) = of(
            tree!({"pod-security.kubernetes.io/enforce": "nonsense", "pod-security.kubernetes.io/warn-version": "x"}),
        );
        assert_eq!(policy.enforce.to_string(), "restricted:latest");
        assert!(policy.warn.is_privileged());
        assert_eq!(
            faults[0].to_string(),
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"nonsense\": must be one of privileged, baseline, restricted"
        );
        assert_eq!(faults.len(), 2);
    }
}
