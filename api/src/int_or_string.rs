//! `intstr.IntOrString`: a number, or a string that is mostly a percentage (`25%`) or a port's name.

use crate::{Value, quote};

/// What a value of that type says of a total: plain numbers are themselves, `25%` is a share of `total`, rounded up
/// or down. Errors are upstream's texts.
pub fn scaled(value: &Value, total: i64, round_up: bool) -> Result<i64, String> {
    match value {
        Value::Int(int) => Ok(*int),
        Value::Str(text) => {
            let percent = percentage(text).map_err(|why| format!("invalid value for IntOrString: {why}"))?;
            let product = i128::from(percent) * i128::from(total);
            let share = if round_up { -(-product).div_euclid(100) } else { product.div_euclid(100) };
            Ok(i64::try_from(share).unwrap_or(i64::MAX))
        }
        _ => Err("nil value for IntOrString".to_owned()),
    }
}

/// The number before the `%`.
fn percentage(text: &str) -> Result<i64, String> {
    let Some(number) = text.strip_suffix('%') else {
        return Err("invalid type: string is not a percentage".to_owned());
    };
    let why = |kind: &str| {
        format!("invalid value {}: strconv.Atoi: parsing {}: {kind}", quote(text), quote(number))
    };
    let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(why("invalid syntax"));
    }
    number.parse().map_err(|_| why("value out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_as_asked() {
        assert_eq!(scaled(&Value::Int(3), 10, true), Ok(3));
        assert_eq!(scaled(&"25%".into(), 10, true), Ok(3));
        assert_eq!(scaled(&"25%".into(), 10, false), Ok(2));
        assert_eq!(
            scaled(&"x%".into(), 10, false).unwrap_err(),
            "invalid value for IntOrString: invalid value \"x%\": strconv.Atoi: parsing \"x\": invalid syntax"
        );
        assert!(scaled(&"http".into(), 10, false).is_err());
    }
}
