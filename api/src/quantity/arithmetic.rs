//! Sums and comparisons of quantities, exact as far as 128 bits reach and saturating beyond.

use super::Quantity;
use std::cmp::Ordering;

/// `10^exp` where it fits.
fn pow10(exp: i32) -> Option<i128> {
    u32::try_from(exp).ok().and_then(|e| 10_i128.checked_pow(e))
}

/// `mantissa × 10^from` in units of `10^to`, rounded away from zero, and whether nothing was lost.
pub(super) fn rescale_up(mantissa: i128, from: i32, to: i32) -> (i128, bool) {
    if mantissa == 0 {
        return (0, true);
    }
    if from >= to {
        let scaled = pow10(from.saturating_sub(to)).and_then(|p| mantissa.checked_mul(p));
        return scaled.map_or((if mantissa < 0 { i128::MIN } else { i128::MAX }, false), |m| (m, true));
    }
    match pow10(to.saturating_sub(from)) {
        Some(power) if mantissa % power == 0 => (mantissa / power, true),
        Some(power) => (mantissa / power + mantissa.signum(), false),
        None => (mantissa.signum(), false),
    }
}

impl Quantity {
    /// Adds; a zero takes the other's format first.
    pub fn add(&mut self, other: &Quantity) {
        self.sum_with(other, other.mantissa);
    }

    /// Subtracts; a zero takes the other's format first.
    pub fn sub(&mut self, other: &Quantity) {
        self.sum_with(other, other.mantissa.saturating_neg());
    }

    fn sum_with(&mut self, other: &Quantity, mantissa: i128) {
        self.text = None;
        if self.is_zero() {
            self.format = other.format;
        }
        let scale = if self.is_zero() { other.scale } else { self.scale.min(other.scale) };
        let (a, _) = rescale_up(self.mantissa, self.scale, scale);
        let (b, _) = rescale_up(mantissa, other.scale, scale);
        self.mantissa = a.saturating_add(b);
        self.scale = scale;
    }

    /// Multiplies by a whole number.
    pub fn mul(&mut self, by: i64) {
        self.text = None;
        self.mantissa = self.mantissa.saturating_mul(by.into());
    }

    /// Turns the sign.
    pub fn neg(&mut self) {
        self.text = None;
        self.mantissa = self.mantissa.saturating_neg();
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_sign = self.sign().cmp(&other.sign());
        if by_sign != Ordering::Equal || self.is_zero() {
            return by_sign;
        }
        let scale = self.scale.min(other.scale);
        let size = |q: &Quantity| pow10(q.scale - scale).and_then(|p| q.mantissa.checked_mul(p));
        match (size(self), size(other)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // Only the one with the greater scale can leave 128 bits, and is then the one of greater size.
            (None, _) => self.sign().cmp(&0),
            (_, None) => 0.cmp(&self.sign()),
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}
