//! `resource.Quantity`: exact fixed-point numbers with decimal or binary suffixes (`100m`, `1.5Gi`, `2e3`).
//!
//! A value is `mantissa × 10^scale`; binary suffixes are multiplied in. Parsing and printing follow upstream's
//! rules to the letter, among them which spellings count as canonical already and stay as they are.

mod arithmetic;
mod parse;

use std::fmt;

/// The family of suffixes a quantity prints with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `m`, `k`, `M`, …
    #[default]
    DecimalSI,
    /// `Ki`, `Mi`, …
    BinarySI,
    /// `e3`, `e6`, …
    DecimalExponent,
}

/// A quantity. Compare with `cmp`/`==`, which look at the value only (`1000m == 1`).
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    mantissa: i128,
    /// Power of ten; never below -9 after parsing.
    scale: i32,
    format: Format,
    /// The text it was parsed from, where that is canonical.
    text: Option<Box<str>>,
}

/// Why a text is no quantity; prints as upstream's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    FormatWrong,
    Numeric,
    Suffix,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::FormatWrong => {
                "quantities must match the regular expression \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            }
            Error::Numeric => "unable to parse numeric part of quantity",
            Error::Suffix => "unable to parse quantity's suffix",
        })
    }
}

impl std::error::Error for Error {}

impl Quantity {
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse::parse(text)
    }

    /// A whole number.
    pub fn new(value: i64, format: Format) -> Self {
        Quantity { mantissa: value.into(), scale: 0, format, text: None }
    }

    /// Thousandths.
    pub fn from_milli(value: i64, format: Format) -> Self {
        Quantity { mantissa: value.into(), scale: -3, format, text: None }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match self.mantissa.signum() {
            0 => 0,
            1 => 1,
            _ => -1,
        }
    }

    /// The value rounded up (away from zero) to whole numbers, capped at 64 bits.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The value in thousandths, rounded up (away from zero), capped at 64 bits.
    pub fn milli(&self) -> i64 {
        self.scaled(-3)
    }

    /// The value in units of `10^scale`, rounded up (away from zero), capped at 64 bits.
    pub fn scaled(&self, scale: i32) -> i64 {
        let (rounded, _) = arithmetic::rescale_up(self.mantissa, self.scale, scale);
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    /// The nearest float.
    pub fn as_f64(&self) -> f64 {
        let text = format!("{}e{}", self.mantissa, self.scale);
        text.parse().unwrap_or(f64::NAN)
    }
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

impl fmt::Display for Quantity {
    /// The canonical text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySI
            && let Some(text) = self.binary_text()
        {
            return f.write_str(&text);
        }
        let (mantissa, exponent) = self.canonical();
        match self.format {
            Format::DecimalExponent if exponent == 0 => write!(f, "{mantissa}"),
            Format::DecimalExponent => write!(f, "{mantissa}e{exponent}"),
            _ => {
                let suffix = usize::try_from(exponent / 3 + 3).ok().and_then(|i| DECIMAL.get(i));
                write!(f, "{mantissa}{}", suffix.unwrap_or(&""))
            }
        }
    }
}

impl Quantity {
    /// With binary suffixes; nothing for small and fractional values, which print as decimals.
    fn binary_text(&self) -> Option<String> {
        let (mut whole, exact) = arithmetic::rescale_up(self.mantissa, self.scale, 0);
        if !exact || whole.abs() < 1024 {
            return None;
        }
        let mut power = 0;
        while whole % 1024 == 0 && power < BINARY.len() - 1 {
            whole /= 1024;
            power += 1;
        }
        Some(format!("{whole}{}", BINARY[power]))
    }

    /// Mantissa without trailing zeros but with an exponent that is a multiple of three.
    fn canonical(&self) -> (i128, i32) {
        let (mut mantissa, mut exponent) = (self.mantissa, self.scale);
        while mantissa != 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        let largest = if self.format == Format::DecimalExponent { i32::MAX } else { 18 };
        while exponent.rem_euclid(3) != 0 || exponent > largest {
            mantissa = mantissa.saturating_mul(10);
            exponent -= 1;
        }
        (mantissa, exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).map_or_else(|e| e.to_string(), |q| q.to_string())
    }

    #[test]
    fn texts_become_canonical_as_upstreams() {
        for (text, expected) in [
            ("0", "0"),
            ("00", "0"),
            ("0.0", "0"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1.500", "1.500"),
            ("+1", "+1"),
            ("-1", "-1"),
            ("2000", "2k"),
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("12e1", "120"),
            ("1e-3", "1e-3"),
            ("1Ki", "1Ki"),
            ("1024Ki", "1Mi"),
            ("128Mi", "128Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.3Gi", "322122547200m"),
            ("0.5Ki", "512"),
            ("1024", "1024"),
            (".5", "500m"),
            ("1.", "1."),
            ("0.1n", "1n"),
            ("1.00000000001", "1000000001n"),
            ("100000Ei", "9223372036854775807"),
            ("1000E", "1000E"),
            ("12345678901234567890", "12345678901234567890"),
            ("100Gi", "100Gi"),
            ("3M", "3M"),
            ("1000k", "1M"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn refusals_read_as_upstreams() {
        let format = Error::FormatWrong.to_string();
        for text in ["", "a", "1x", "1 ", "1.1.1", "1e3x", "1Ki1x"] {
            assert_eq!(canonical(text), format, "{text}");
        }
        assert_eq!(canonical("1ki"), Error::Suffix.to_string());
        assert_eq!(canonical("1ee"), Error::Suffix.to_string());
        assert_eq!(canonical("--1"), Error::Suffix.to_string());
    }

    #[test]
    fn sums_are_exact_and_take_the_format_of_what_is_there() {
        let q = |s| Quantity::parse(s).unwrap();
        let mut sum = Quantity::default();
        sum.add(&q("1Gi"));
        sum.add(&q("512Mi"));
        assert_eq!(sum.to_string(), "1536Mi");
        sum.sub(&q("1536Mi"));
        assert!(sum.is_zero());
        let mut cpu = q("1500m");
        cpu.add(&q("0.5"));
        assert_eq!((cpu.to_string().as_str(), cpu.milli(), cpu.value()), ("2", 2000, 2));
        assert_eq!(q("1.1").value(), 2);
        assert_eq!(q("-1.1").value(), -2);
        assert!(q("1000m") == q("1") && q("1Ki") > q("1k") && q("-1") < q("0") && q("1e30") > q("9E"));
    }
}
