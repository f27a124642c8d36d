//! Label selectors as data: requirements, their rules, matching and printing; also `meta/v1 LabelSelector`.

use super::label_parse;
use crate::{Fault, Map, Path, Str, Value, names};
use std::fmt;

/// How a requirement relates its key to its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One requirement: `key in (a,b)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: Str,
    operator: Operator,
    values: Vec<Str>,
}

/// Requirements that must all hold, sorted by key; none selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Requirement {
    /// Checks key, operator and values against each other; the error is upstream's text.
    pub fn new(key: &str, operator: Operator, values: Vec<Str>) -> Result<Self, String> {
        let mut faults = Vec::new();
        faults.extend(key_fault(key, "key"));
        let all = || Value::List(values.iter().map(Value::from).collect());
        let mut refuse = |detail: &str| faults.push(Fault::invalid("values", all(), detail));
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                refuse("for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                refuse("exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                refuse("values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                refuse("for 'Gt', 'Lt' operators, exactly one value is required");
            }
            _ => {}
        }
        for (i, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err()
            {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                faults.push(Fault::invalid(format!("values[{i}]"), value, detail));
            }
        }
        for (i, value) in values.iter().enumerate() {
            let errs = names::is_label_value(value);
            if !errs.is_empty() {
                faults.push(Fault::invalid(format!("values[{i}][{key}]"), value, errs.join("; ")));
            }
        }
        match aggregate(&faults) {
            Some(text) => Err(text),
            None => Ok(Requirement { key: key.into(), operator, values }),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn operator(&self) -> Operator {
        self.operator
    }

    pub fn values(&self) -> &[Str] {
        &self.values
    }

    /// `value` is that of the label with the requirement's key.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|x| x == v);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compares(value, |a, b| a > b),
            Operator::LessThan => self.compares(value, |a, b| a < b),
        }
    }

    fn compares(&self, value: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let bound = self.values.first().and_then(|v| v.parse::<i64>().ok());
        match (value.and_then(|v| v.parse::<i64>().ok()), bound) {
            (Some(a), Some(b)) => holds(a, b),
            _ => false,
        }
    }
}

/// Upstream's text of several faults at once: alone, or `[A, B]` without repetitions.
fn aggregate(faults: &[Fault]) -> Option<String> {
    let mut texts: Vec<String> = Vec::new();
    for text in faults.iter().map(Fault::to_string) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.len() {
        0 => None,
        1 => texts.pop(),
        _ => Some(format!("[{}]", texts.join(", "))),
    }
}

pub(super) fn key_fault(key: &str, field: &str) -> Option<Fault> {
    let errs = names::is_qualified_name(key);
    (!errs.is_empty()).then(|| Fault::invalid(field, key, errs.join("; ")))
}

impl LabelSelector {
    /// Selects everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects nothing: what a missing `LabelSelector` means.
    pub fn nothing() -> Self {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    /// All of these requirements.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements, nothing: false }
    }

    /// Parses the text form of URLs and command lines. The error is the text that clients read.
    pub fn parse(text: &str) -> Result<Self, String> {
        label_parse::parse(text).map(Self::new)
    }

    /// Exactly these labels (`{"app": "web"}`), unchecked, as ReplicationControllers and Services select.
    pub fn from_labels(labels: &Map) -> Self {
        let equals = |(k, v): (&Str, &Value)| Requirement {
            key: k.clone(),
            operator: Operator::Equals,
            values: vec![v.as_str().unwrap_or_default().into()],
        };
        Self::new(labels.iter().map(equals).collect())
    }

    /// A `meta/v1 LabelSelector`: missing selects nothing, an empty one everything.
    pub fn from_value(selector: Option<&Value>) -> Result<Self, String> {
        let Some(selector) = selector.filter(|s| !s.is_null()) else { return Ok(Self::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in selector.map_at(&["matchLabels"]).into_iter().flat_map(Map::iter) {
            let value = Str::from(value.as_str().unwrap_or_default());
            requirements.push(Requirement::new(key, Operator::Equals, vec![value])?);
        }
        for expression in selector.list_at(&["matchExpressions"]) {
            let operator = match expression.str_at(&["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(format!("{} is not a valid label selector operator", crate::quote(other)));
                }
            };
            let values =
                expression.list_at(&["values"]).iter().filter_map(Value::as_str).map(Str::from).collect();
            requirements.push(Requirement::new(expression.str_at(&["key"]), operator, values)?);
        }
        Ok(Self::new(requirements))
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// True when it restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// True for the selector that selects nothing.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Against an object's `metadata.labels` (missing labels are like none).
    pub fn matches(&self, labels: Option<&Map>) -> bool {
        self.matches_with(|key| labels.and_then(|l| l.get(key)).and_then(Value::as_str))
    }

    /// Against labels of any form.
    pub fn matches_with<'v>(&self, mut value_of: impl FnMut(&str) -> Option<&'v str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(value_of(&r.key)))
    }

    /// The one value that a label must have, where the first requirement of its key says so.
    pub fn exact_value(&self, key: &str) -> Option<&str> {
        let first = self.requirements.iter().find(|r| r.key == key)?;
        match (first.operator, &first.values[..]) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [only]) => Some(only),
            _ => None,
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            f.write_str(if i > 0 { "," } else { "" })?;
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values: Vec<&str> = self.values.iter().map(Str::as_str).collect();
        values.sort_unstable();
        let (key, values) = (&self.key, values.join(","));
        match self.operator {
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
        }
    }
}

/// Faults of a map of labels (`metadata.labels`, `matchLabels`), each at the map's own path.
pub fn label_faults(labels: Option<&Map>, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, value) in labels.into_iter().flat_map(Map::iter) {
        faults.extend(names::is_qualified_name(key).into_iter().map(|e| Fault::invalid(path, key, e)));
        let value = value.as_str().unwrap_or_default();
        faults.extend(names::is_label_value(value).into_iter().map(|e| Fault::invalid(path, value, e)));
    }
    faults
}

/// Faults of a `meta/v1 LabelSelector`. Kinds that must go on accepting stored bad values skip checking them.
pub fn label_selector_faults(selector: &Value, allow_invalid_values: bool, path: &Path) -> Vec<Fault> {
    let mut faults = label_faults(selector.map_at(&["matchLabels"]), &path.child("matchLabels"));
    for (i, expression) in selector.list_at(&["matchExpressions"]).iter().enumerate() {
        let at = path.child("matchExpressions").index(i);
        faults.extend(expression_faults(expression, allow_invalid_values, &at));
    }
    faults
}

fn expression_faults(expression: &Value, allow_invalid_values: bool, path: &Path) -> Vec<Fault> {
    let mut faults = Vec::new();
    let values = expression.list_at(&["values"]);
    match expression.str_at(&["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            faults.push(Fault::required(path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            faults.push(Fault::forbidden(path.child("values"), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => faults.push(Fault::invalid(path.child("operator"), other, "not a valid selector operator")),
    }
    let key = expression.str_at(&["key"]);
    faults
        .extend(names::is_qualified_name(key).into_iter().map(|e| Fault::invalid(path.child("key"), key, e)));
    if !allow_invalid_values {
        for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let at = path.child("values").index(i);
            faults.extend(names::is_label_value(value).into_iter().map(|e| Fault::invalid(&at, value, e)));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn matches(selector: &str, labels: &Value) -> bool {
        LabelSelector::parse(selector).unwrap().matches(labels.as_map())
    }

    #[test]
    fn absent_labels_match_negations_only() {
        let labels = tree!({"app": "web", "n": "5"});
        for good in
            ["app", "app=web", "app!=x", "app in (web,y)", "app notin (x)", "!zone", "zone!=a", "n>4", "n<6"]
        {
            assert!(matches(good, &labels), "{good}");
        }
        for bad in ["!app", "app=x", "zone", "zone in (a)", "app>1", "n>5", "app=web,zone"] {
            assert!(!matches(bad, &labels), "{bad}");
        }
    }

    #[test]
    fn a_missing_selector_selects_nothing_and_an_empty_one_everything() {
        assert!(!LabelSelector::from_value(None).unwrap().matches(None));
        assert!(LabelSelector::from_value(Some(&tree!({}))).unwrap().matches(None));
    }

    #[test]
    fn label_selectors_of_objects_print_as_upstreams() {
        let value = tree!({
            "matchExpressions": [{"key": "b", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "Exists"}],
            "matchLabels": {"a": "1"}
        });
        let selector = LabelSelector::from_value(Some(&value)).unwrap();
        assert_eq!(selector.to_string(), "a=1,b in (x,y),c");
        assert_eq!(selector.exact_value("a"), Some("1"));
        let bad = tree!({"matchExpressions": [{"key": "b", "operator": "Like"}]});
        let err = LabelSelector::from_value(Some(&bad)).unwrap_err();
        assert_eq!(err, "\"Like\" is not a valid label selector operator");
    }

    #[test]
    fn selector_faults_carry_paths() {
        let bad = tree!({"matchExpressions": [{"key": "a", "operator": "In"}], "matchLabels": {"a b": "c"}});
        let faults = label_selector_faults(&bad, false, &Path::new("spec").child("selector"));
        assert_eq!(faults.len(), 2);
        assert_eq!(faults[0].field, "spec.selector.matchLabels");
        assert_eq!(
            faults[1].to_string(),
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        );
    }
}
