//! Scalars: what JSON value each takes and which form it is kept in.

use super::base64;
use super::fault::Stop;
use super::source::Source;
use super::typed::Decoder;
use super::zero::time_value;
use crate::json::Kind;
use crate::quantity::Quantity;
use crate::schema::{Scalar, Shape};
use crate::{Value, time};

/// How a kind of value is named in type errors.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Bool => "bool",
        Kind::Number => "number",
        Kind::Str => "string",
        Kind::List => "array",
        Kind::Map => "object",
    }
}

impl Decoder<'_> {
    /// A scalar that is not null. Nothing when its type is wrong and that was noted.
    pub fn scalar<S: Source>(
        &mut self,
        source: &mut S,
        scalar: Scalar,
        kind: Kind,
        go_type: &str,
    ) -> Result<Option<Value>, Stop> {
        match (scalar, kind) {
            (Scalar::Str, Kind::Str) => Ok(Some(Value::Str(source.str()?))),
            (Scalar::Bool, Kind::Bool) => Ok(Some(Value::Bool(source.bool()?))),
            (Scalar::Int32 | Scalar::Int64 | Scalar::Double, Kind::Number) => {
                self.number(source, scalar, go_type)
            }
            (Scalar::Bytes, Kind::Str) => self.bytes(source),
            (Scalar::Quantity, _) => quantity(source, kind).map(Some),
            (Scalar::IntOrString, _) => self.int_or_string(source, kind).map(Some),
            (Scalar::Time | Scalar::MicroTime | Scalar::Duration, Kind::Str) => {
                text_scalar(&source.str()?, scalar).map(Some)
            }
            (Scalar::Time | Scalar::MicroTime | Scalar::Duration, _) => {
                Err(self.stop(kind_name(kind).to_owned(), "string"))
            }
            _ => {
                self.mismatch(kind_name(kind).to_owned(), &Shape::Scalar(scalar), go_type);
                source.skip()?;
                Ok(None)
            }
        }
    }

    fn number<S: Source>(
        &mut self,
        source: &mut S,
        scalar: Scalar,
        go_type: &str,
    ) -> Result<Option<Value>, Stop> {
        use super::source::Number;
        let number = source.number()?;
        let value = match (scalar, &number) {
            (Scalar::Int32, Number::Int(int)) => i32::try_from(*int).ok().map(|_| Value::Int(*int)),
            (Scalar::Int64, Number::Int(int)) => Some(Value::Int(*int)),
            #[allow(clippy::cast_precision_loss)]
            (Scalar::Double, Number::Int(int)) => Some(Value::Float(*int as f64)),
            (Scalar::Double, Number::Other(text)) => {
                text.parse().ok().filter(|f: &f64| f.is_finite()).map(Value::Float)
            }
            _ => None,
        };
        if value.is_none() {
            self.mismatch(format!("number {}", number.text()), &Shape::Scalar(scalar), go_type);
        }
        Ok(value)
    }

    fn bytes<S: Source>(&mut self, source: &mut S) -> Result<Option<Value>, Stop> {
        match base64::canonical(source.str()?) {
            Ok(text) => Ok(Some(Value::Str(text))),
            Err(message) => {
                self.note(Stop::Text(message));
                Ok(None)
            }
        }
    }

    fn int_or_string<S: Source>(&mut self, source: &mut S, kind: Kind) -> Result<Value, Stop> {
        use super::source::Number;
        match kind {
            Kind::Str => Ok(Value::Str(source.str()?)),
            Kind::Number => match source.number()? {
                Number::Int(int) if i32::try_from(int).is_ok() => Ok(Value::Int(int)),
                number => Err(self.stop(format!("number {}", number.text()), "int32")),
            },
            other => Err(self.stop(kind_name(other).to_owned(), "int32")),
        }
    }
}

/// Numbers are taken as they are written; so is, as upstream does, anything else, to fail on its text.
fn quantity<S: Source>(source: &mut S, kind: Kind) -> Result<Value, Stop> {
    let text = match kind {
        Kind::Str => {
            let text = source.str()?;
            return match Quantity::parse(text.trim()) {
                Ok(quantity) => {
                    let canonical = quantity.to_string();
                    Ok(if canonical == text.as_str() { Value::Str(text) } else { canonical.into() })
                }
                Err(error) => Err(Stop::Text(error.to_string())),
            };
        }
        Kind::Number => source.number()?.text(),
        _ => crate::json::to_string(&source.any()?),
    };
    let quantity = Quantity::parse(text.trim()).map_err(|e| Stop::Text(e.to_string()))?;
    Ok(quantity.to_string().into())
}

fn text_scalar(text: &str, scalar: Scalar) -> Result<Value, Stop> {
    match scalar {
        Scalar::Duration => {
            time::parse_duration(text).map(|d| Value::from(time::format_duration(d))).map_err(Stop::Text)
        }
        Scalar::MicroTime => time::parse_micro(text).map(|t| time_value(t, true)).map_err(Stop::Text),
        _ => time::parse(text).map(|t| time_value(t, false)).map_err(Stop::Text),
    }
}
