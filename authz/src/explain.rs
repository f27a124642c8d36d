//! Explanations: what was looked at for one decision. Made only for those who ask about their own requests.

use api::{Value, tree};

/// What one authority looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// How often the rules have changed since the server started.
    pub generation: Option<u64>,
    pub tried: Vec<Trial>,
    /// How many more bindings there are.
    pub omitted: usize,
    /// What would have allowed it but for one point.
    pub near: Vec<NearMiss>,
}

/// A binding of the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// `ClusterRoleBinding "a"`.
    pub binding: String,
    /// `ClusterRole "b"`.
    pub role: String,
    /// `Group "c"`.
    pub subject: String,
    /// How many rules the role has.
    pub rules: usize,
    /// There is no such role.
    pub missing: bool,
    /// The rule that allows what was asked, in upstream's short form.
    pub granted: Option<String>,
}

/// A rule that nearly allowed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NearMiss {
    pub binding: String,
    pub role: String,
    pub rule: String,
    /// The one point: `has not the verb "list"`.
    pub lack: String,
}

/// What one authority made of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub authority: &'static str,
    /// `allow`, `deny`, `no opinion`.
    pub decision: &'static str,
    pub reason: String,
    pub explained: Explained,
}

impl Step {
    /// As the caller reads it, without what is empty.
    pub fn to_value(&self) -> Value {
        let mut value = tree!({"authority": self.authority, "decision": self.decision});
        if !self.reason.is_empty() {
            value.set(&["reason"], self.reason.as_str());
        }
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        if let Some(generation) = self.explained.generation {
            value.set(&["generation"], i64::try_from(generation).unwrap_or(i64::MAX));
        }
        if self.explained.omitted > 0 {
            value.set(&["omitted"], count(self.explained.omitted));
        }
        let lists = [
            ("tried", self.explained.tried.iter().map(Trial::to_value).collect::<Vec<_>>()),
            ("nearMisses", self.explained.near.iter().map(NearMiss::to_value).collect()),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            value.set(&[name], Value::List(list));
        }
        value
    }
}

impl Trial {
    fn to_value(&self) -> Value {
        let outcome = match &self.granted {
            Some(_) => "granted",
            None if self.missing => "the role does not exist",
            None => "no rule allows it",
        };
        let mut value = tree!({
            "binding": self.binding.as_str(), "role": self.role.as_str(), "subject": self.subject.as_str(),
            "outcome": outcome
        });
        match &self.granted {
            Some(rule) => value.set(&["rule"], rule.as_str()),
            None => value.set(&["rules"], i64::try_from(self.rules).unwrap_or(i64::MAX)),
        }
        value
    }
}

impl NearMiss {
    fn to_value(&self) -> Value {
        tree!({
            "binding": self.binding.as_str(), "role": self.role.as_str(), "rule": self.rule.as_str(),
            "lack": self.lack.as_str()
        })
    }
}
