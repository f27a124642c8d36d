//! Quantities: `quantity("1Gi").isLessThan(quantity("2G"))`.

use super::Library;
use crate::Quantity;
use crate::cel::eval::Outcome;
use crate::cel::{Cel, CelError};
use crate::quantity::Format;
use std::sync::Arc;

pub const LIBRARY: Library = Library {
    functions: &["quantity", "isQuantity"],
    methods: &[
        "sign",
        "isInteger",
        "asInteger",
        "asApproximateFloat",
        "add",
        "sub",
        "isLessThan",
        "isGreaterThan",
        "compareTo",
    ],
    call,
};

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    Some(Ok(match (name, args) {
        ("quantity", [Cel::Str(text)]) => match Quantity::parse(text) {
            Ok(quantity) => made(quantity),
            Err(why) => return Some(Err(CelError::new(why.to_string()))),
        },
        ("isQuantity", [Cel::Str(text)]) => Cel::Bool(Quantity::parse(text).is_ok()),
        ("sign", [Cel::Quantity(q)]) => Cel::Int(q.sign().into()),
        ("isInteger", [Cel::Quantity(q)]) => Cel::Bool(integer(q).is_some()),
        ("asInteger", [Cel::Quantity(q)]) => match integer(q) {
            Some(value) => Cel::Int(value),
            None => return Some(Err(CelError::new("cannot convert value to integer"))),
        },
        ("asApproximateFloat", [Cel::Quantity(q)]) => Cel::Double(q.as_f64()),
        ("add", [Cel::Quantity(q), other]) => {
            let mut sum = (**q).clone();
            sum.add(&operand(other)?);
            made(sum)
        }
        ("sub", [Cel::Quantity(q), other]) => {
            let mut rest = (**q).clone();
            rest.sub(&operand(other)?);
            made(rest)
        }
        ("isLessThan", [Cel::Quantity(a), Cel::Quantity(b)]) => Cel::Bool(a.cmp(b).is_lt()),
        ("isGreaterThan", [Cel::Quantity(a), Cel::Quantity(b)]) => Cel::Bool(a.cmp(b).is_gt()),
        ("compareTo", [Cel::Quantity(a), Cel::Quantity(b)]) => Cel::Int(a.cmp(b) as i64),
        _ => return None,
    }))
}

fn made<'a>(quantity: Quantity) -> Cel<'a> {
    Cel::Quantity(Arc::new(quantity))
}

fn operand(value: &Cel<'_>) -> Option<Quantity> {
    match value {
        Cel::Quantity(q) => Some((**q).clone()),
        Cel::Int(i) => Some(Quantity::new(*i, Format::DecimalSI)),
        _ => None,
    }
}

/// The value, when it is a whole number of 64 bits.
fn integer(quantity: &Quantity) -> Option<i64> {
    let value = quantity.value();
    (Quantity::new(value, Format::DecimalSI).cmp(quantity).is_eq()).then_some(value)
}
