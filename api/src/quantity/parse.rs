//! Text to quantity.

use super::arithmetic::rescale_up;
use super::{Error, Format, Quantity};

/// Smaller parts are rounded up to this scale.
const NANO: i32 = -9;
/// Digits that any 64-bit integer has room for; longer numbers never keep their text.
const FAST_DIGITS: usize = 18;

/// A text taken apart.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point without leading zeros; "0" when there are none.
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn split(text: &str) -> Result<Parts<'_>, Error> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.trim_start_matches('0');
    let (whole, rest) = split_digits(digits);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let exponent = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    if !exponent.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::FormatWrong);
    }
    Ok(Parts { negative, whole: if whole.is_empty() { "0" } else { whole }, fraction, suffix })
}

/// Base, exponent and format of a suffix.
fn interpret(suffix: &str) -> Result<(i128, i32, Format), Error> {
    if let Some(at) = super::DECIMAL.iter().position(|s| *s == suffix) {
        return Ok((10, i32::try_from(at).unwrap_or(3) * 3 - 9, Format::DecimalSI));
    }
    if let Some(at) = super::BINARY.iter().position(|s| *s == suffix) {
        return Ok((2, i32::try_from(at).unwrap_or(0) * 10, Format::BinarySI));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|e| e.parse::<i32>().ok());
    exponent.map(|e| (10, e, Format::DecimalExponent)).ok_or(Error::Suffix)
}

pub(super) fn parse(text: &str) -> Result<Quantity, Error> {
    if text.is_empty() {
        return Err(Error::FormatWrong);
    }
    let parts = split(text)?;
    let (base, exponent, format) = interpret(parts.suffix)?;
    let (digits, dropped) = number(parts.whole, parts.fraction);
    let places = i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX);
    let mut quantity = Quantity { mantissa: digits, scale: 0, format, text: None };
    quantity.scale = dropped.saturating_sub(places);
    match base {
        10 => quantity.scale = quantity.scale.saturating_add(exponent),
        _ => quantity.mantissa = digits.saturating_mul(1 << exponent),
    }
    if stays_as_written(&parts, &quantity, digits, exponent) {
        quantity.text = Some(text.into());
    }
    bound(&mut quantity);
    if parts.negative {
        quantity.mantissa = -quantity.mantissa;
    }
    Ok(quantity)
}

/// The digits as a number, and how many of them did not fit (rounded up).
fn number(whole: &str, fraction: &str) -> (i128, i32) {
    let (mut value, mut dropped, mut lost) = (0_i128, 0, false);
    for digit in whole.bytes().chain(fraction.bytes()).map(|b| i128::from(b - b'0')) {
        match value.checked_mul(10).and_then(|v| v.checked_add(digit)).filter(|_| dropped == 0) {
            Some(next) => value = next,
            None => {
                dropped += 1;
                lost |= digit != 0;
            }
        }
    }
    (if lost { value.saturating_add(1) } else { value }, dropped)
}

/// Upstream keeps the text of numbers that it can tell to be canonical at a glance, and some that are not.
fn stays_as_written(parts: &Parts<'_>, quantity: &Quantity, digits: i128, exponent: i32) -> bool {
    let count = parts.whole.len() + parts.fraction.len();
    if quantity.format == Format::BinarySI {
        let room = 15 - i64::try_from(count).unwrap_or(15) - i64::from(exponent) * 3 / 10 - 1;
        return parts.fraction.is_empty() && room >= 0 && digits & 7 != 0;
    }
    let ends_in_zeros = if parts.fraction.len() >= 3 {
        parts.fraction.ends_with("000")
    } else {
        format!("{}{}", parts.whole, parts.fraction).ends_with("000")
    };
    count <= FAST_DIGITS
        && quantity.scale >= NANO
        && quantity.scale % 3 == 0
        && !ends_in_zeros
        && !parts.whole.starts_with('0')
}

/// Rounds what is too fine up, and caps binary quantities at 64 bits.
fn bound(quantity: &mut Quantity) {
    if quantity.scale < NANO {
        let (rounded, _) = rescale_up(quantity.mantissa, quantity.scale, NANO);
        quantity.mantissa = rounded;
        quantity.scale = NANO;
    }
    if quantity.format == Format::BinarySI && quantity.text.is_none() {
        let cap = Quantity::new(i64::MAX, Format::BinarySI);
        if *quantity > cap {
            *quantity = cap;
        } else if !quantity.is_zero() && *quantity < Quantity::new(1, Format::BinarySI) {
            quantity.format = Format::DecimalSI;
        }
    }
}
