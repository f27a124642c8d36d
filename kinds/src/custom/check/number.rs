//! Numbers: range of the format, `multipleOf`, `maximum`, `minimum`.

use super::Place;
use super::problem::{Problem, Verdict};
use crate::custom::Props;
use api::Value;

/// The largest integer that a float holds exactly, as far as JSON goes.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// Whether a float is a whole number that JSON could have as an integer.
pub fn is_integer(float: f64) -> bool {
    float.is_finite() && float.abs() <= MAX_SAFE && float.fract().abs() < f64::EPSILON
}

/// Equality of enums: numbers are equal whatever their type.
pub fn same(value: &Value, allowed: &Value) -> bool {
    match (value, allowed) {
        (Value::Int(i), Value::Float(f)) => float(*i).total_cmp(f).is_eq(),
        (Value::Float(f), Value::Int(i)) => truncated(*f) == *i,
        _ => value == allowed,
    }
}

#[expect(clippy::cast_precision_loss, reason = "as upstream compares")]
fn float(int: i64) -> f64 {
    int as f64
}

#[expect(clippy::cast_possible_truncation, reason = "as upstream converts bounds of integers")]
fn truncated(float: f64) -> i64 {
    float as i64
}

/// A float as Go's `%v` prints it: shortest digits, an exponent below -4 and from 21 on.
fn go_text(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{float}"),
    }
}

/// A bound as it is shown: integers are compared with whole bounds.
fn bound_text(value: &Value, bound: f64, fits: bool) -> String {
    match value {
        Value::Int(_) if fits => truncated(bound).to_string(),
        _ => go_text(bound),
    }
}

impl Place<'_> {
    pub(super) fn number(&self, value: &Value, props: &Props) -> Verdict {
        let mut verdict = Verdict::default();
        if !in_range(value, props) {
            verdict.add(self.out_of_range("Checked", props));
        }
        let mut multiple = Verdict::default();
        if let Some(factor) = props.multiple_of {
            self.multiple(value, factor, props, &mut multiple);
        }
        let mut low = Verdict::default();
        if let Some(min) = props.minimum {
            let fits = in_range(&Value::Float(min), props);
            if !fits {
                low.add(self.out_of_range("Minimum boundary", props));
            }
            if is_beyond(value, min, fits, props.exclusive_minimum, false) {
                let relation =
                    if props.exclusive_minimum { "greater than" } else { "greater than or equal to" };
                let text =
                    format!("{} in body should be {relation} {}", self.path, bound_text(value, min, fits));
                low.add(Problem::shown(&self.path, value.clone(), text));
            }
        }
        let mut high = Verdict::default();
        if let Some(max) = props.maximum {
            let fits = in_range(&Value::Float(max), props);
            if !fits {
                high.add(self.out_of_range("Maximum boundary", props));
            }
            if is_beyond(value, max, fits, props.exclusive_maximum, true) {
                let relation = if props.exclusive_maximum { "less than" } else { "less than or equal to" };
                let text =
                    format!("{} in body should be {relation} {}", self.path, bound_text(value, max, fits));
                high.add(Problem::shown(&self.path, value.clone(), text));
            }
        }
        for part in [multiple, low, high] {
            verdict.merge(part);
        }
        verdict.matches += 1;
        verdict
    }

    fn multiple(&self, value: &Value, factor: f64, props: &Props, verdict: &mut Verdict) {
        let fits = in_range(&Value::Float(factor), props);
        if !fits {
            verdict.add(self.out_of_range("MultipleOf", props));
        }
        let shown = bound_text(value, factor, fits);
        let whole = match value {
            Value::Int(i) if fits => match truncated(factor) {
                factor if factor <= 0 => None,
                factor => Some(i % factor == 0),
            },
            Value::Int(i) => is_multiple(float(*i), factor),
            Value::Float(f) => is_multiple(*f, factor),
            _ => Some(true),
        };
        match whole {
            Some(true) => {}
            Some(false) => {
                let text = format!("{} in body should be a multiple of {shown}", self.path);
                verdict.add(Problem::shown(&self.path, value.clone(), text));
            }
            None => {
                let text = format!("factor MultipleOf declared for {} must be positive: {shown}", self.path);
                verdict.add(Problem::shown(&self.path, Value::Float(factor), text));
            }
        }
    }

    fn out_of_range(&self, what: &str, props: &Props) -> Problem {
        let ty = props.types.first().map(|t| t.as_str()).unwrap_or_default();
        let format = match props.format.as_str() {
            "" => "(default format)".to_owned(),
            format => format!("with format {format}"),
        };
        Problem::composite(format!("{what} value must be of type {ty} {format} in {}", self.path))
    }
}

/// Whether a number is one of the schema's type and format; only a single type counts.
fn in_range(value: &Value, props: &Props) -> bool {
    let [ty] = props.types.as_slice() else { return true };
    let limits = |min: f64, max: f64| match value {
        Value::Int(i) => (min..=max).contains(&float(*i)),
        Value::Float(f) => f.fract().abs() < f64::EPSILON && (min..=max).contains(f),
        _ => true,
    };
    match (ty.as_str(), props.format.as_str()) {
        ("integer", "int32") => limits(f64::from(i32::MIN), f64::from(i32::MAX)),
        ("integer", _) => {
            matches!(value, Value::Int(_)) || limits(-9.223_372_036_854_775e18, 9.223_372_036_854_775e18)
        }
        ("number", "float") => match value {
            Value::Float(f) => f.abs() <= f64::from(f32::MAX),
            _ => true,
        },
        _ => true,
    }
}

/// Whether a value is beyond a bound, above or below. Integers are compared with whole bounds where those fit.
fn is_beyond(value: &Value, bound: f64, fits: bool, exclusive: bool, above: bool) -> bool {
    let order = match value {
        Value::Int(i) if fits => i.cmp(&truncated(bound)),
        Value::Int(i) => float(*i).total_cmp(&bound),
        Value::Float(f) => f.partial_cmp(&bound).unwrap_or(std::cmp::Ordering::Equal),
        _ => return false,
    };
    let beyond = if above { order.is_gt() } else { order.is_lt() };
    beyond || exclusive && order.is_eq()
}

/// Nothing when the factor is not positive.
fn is_multiple(value: f64, factor: f64) -> Option<bool> {
    if factor <= 0.0 {
        return None;
    }
    let times = if factor < 1.0 { 1.0 / factor * value } else { value / factor };
    Some(is_integer(times))
}

#[cfg(test)]
mod tests {
    use super::go_text;
    use crate::custom::{Props, check::validate};
    use crate::testing::texts;
    use api::{Value, tree};

    fn faults(schema: Value, value: Value) -> Vec<String> {
        let props = Props::read(&tree!({"type": "object", "properties": {"n": (schema)}}));
        texts(&validate(&tree!({"n": (value)}), None, &props, ""))
    }

    #[test]
    fn bounds_are_shown_with_the_value() {
        let schema = || tree!({"type": "integer", "minimum": 1, "maximum": 5});
        assert_eq!(
            faults(schema(), tree!(0)),
            ["n: Invalid value: 0: n in body should be greater than or equal to 1"]
        );
        assert_eq!(
            faults(schema(), tree!(6)),
            ["n: Invalid value: 6: n in body should be less than or equal to 5"]
        );
        let schema = || tree!({"type": "number", "minimum": 0, "exclusiveMinimum": true, "maximum": 1, "exclusiveMaximum": true});
        assert_eq!(faults(schema(), tree!(0)), ["n: Invalid value: 0: n in body should be greater than 0"]);
        assert_eq!(faults(schema(), tree!(1)), ["n: Invalid value: 1: n in body should be less than 1"]);
        assert_eq!(faults(schema(), tree!(0.5)), Vec::<String>::new());
    }

    #[test]
    fn multiples_and_formats_are_checked() {
        assert_eq!(
            faults(tree!({"type": "integer", "multipleOf": 3}), tree!(4)),
            ["n: Invalid value: 4: n in body should be a multiple of 3"]
        );
        assert_eq!(faults(tree!({"type": "number", "multipleOf": 0.5}), tree!(1.5)), Vec::<String>::new());
        assert_eq!(
            faults(tree!({"type": "integer", "format": "int32"}), tree!(3_000_000_000_i64)),
            [r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in n"#]
        );
    }

    #[test]
    fn enums_of_numbers_go_by_value() {
        let schema = || tree!({"type": "integer", "enum": [1, 2]});
        assert_eq!(faults(schema(), tree!(3)), [r#"n: Unsupported value: 3: supported values: "1", "2""#]);
        assert_eq!(faults(schema(), tree!(2.0)), Vec::<String>::new());
    }

    #[test]
    fn floats_print_as_go_prints_them() {
        assert_eq!([0.5, 3.0, 1e21, 1e-7].map(go_text), ["0.5", "3", "1e+21", "1e-07"]);
    }
}
