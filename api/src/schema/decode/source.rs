//! Where values come from: JSON text, read once and never built up as a tree, or a tree.

use super::fault::Stop;
use crate::json::{Cursor, Kind, parse_next};
use crate::{Str, Value};
use std::borrow::Cow;

/// A number as the source has it.
pub enum Number {
    Int(i64),
    /// No integer, or too big; as written.
    Other(String),
}

impl Number {
    pub fn text(self) -> String {
        match self {
            Number::Int(int) => int.to_string(),
            Number::Other(text) => text,
        }
    }
}

/// A place in the input. `kind` tells what is there; then one of the other methods takes it.
/// The visitors of maps and lists have to take or skip each value.
pub trait Source {
    fn kind(&mut self) -> Result<Kind, Stop>;
    fn bool(&mut self) -> Result<bool, Stop>;
    fn number(&mut self) -> Result<Number, Stop>;
    fn str(&mut self) -> Result<Str, Stop>;
    fn any(&mut self) -> Result<Value, Stop>;
    fn skip(&mut self) -> Result<(), Stop>;
    fn each_key(&mut self, visit: impl FnMut(&mut Self, &str) -> Result<(), Stop>) -> Result<(), Stop>;
    fn each_item(&mut self, visit: impl FnMut(&mut Self, usize) -> Result<(), Stop>) -> Result<(), Stop>;
}

impl Source for Cursor<'_> {
    fn kind(&mut self) -> Result<Kind, Stop> {
        Ok(self.peek()?)
    }

    fn bool(&mut self) -> Result<bool, Stop> {
        Ok(Cursor::bool(self)?)
    }

    fn number(&mut self) -> Result<Number, Stop> {
        let text = Cursor::number(self)?;
        Ok(text.parse().map_or_else(|_| Number::Other(text.to_owned()), Number::Int))
    }

    fn str(&mut self) -> Result<Str, Stop> {
        Ok(match self.string()? {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        })
    }

    fn any(&mut self) -> Result<Value, Stop> {
        Ok(parse_next(self)?)
    }

    fn skip(&mut self) -> Result<(), Stop> {
        Ok(Cursor::skip(self)?)
    }

    fn each_key(&mut self, mut visit: impl FnMut(&mut Self, &str) -> Result<(), Stop>) -> Result<(), Stop> {
        self.open()?;
        let mut first = true;
        while let Some(key) = self.next_key(first)? {
            visit(self, &key)?;
            first = false;
        }
        Ok(())
    }

    fn each_item(&mut self, mut visit: impl FnMut(&mut Self, usize) -> Result<(), Stop>) -> Result<(), Stop> {
        self.open()?;
        let mut at = 0;
        while self.next_item(at == 0)? {
            visit(self, at)?;
            at += 1;
        }
        Ok(())
    }
}

/// A tree that is taken apart.
pub struct Tree(pub Value);

impl Source for Tree {
    fn kind(&mut self) -> Result<Kind, Stop> {
        Ok(match self.0 {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) | Value::Float(_) => Kind::Number,
            Value::Str(_) => Kind::Str,
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
        })
    }

    fn bool(&mut self) -> Result<bool, Stop> {
        Ok(self.0.as_bool().unwrap_or_default())
    }

    fn number(&mut self) -> Result<Number, Stop> {
        Ok(match self.0 {
            Value::Int(int) => Number::Int(int),
            Value::Float(float) => Number::Other(crate::json::float_text(float)),
            _ => Number::Int(0),
        })
    }

    fn str(&mut self) -> Result<Str, Stop> {
        match self.0.take() {
            Value::Str(text) => Ok(text),
            _ => Ok(Str::default()),
        }
    }

    fn any(&mut self) -> Result<Value, Stop> {
        Ok(self.0.take())
    }

    fn skip(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn each_key(&mut self, mut visit: impl FnMut(&mut Self, &str) -> Result<(), Stop>) -> Result<(), Stop> {
        if let Value::Map(map) = self.0.take() {
            for (key, value) in map {
                self.0 = value;
                visit(self, &key)?;
            }
        }
        Ok(())
    }

    fn each_item(&mut self, mut visit: impl FnMut(&mut Self, usize) -> Result<(), Stop>) -> Result<(), Stop> {
        if let Value::List(items) = self.0.take() {
            for (at, item) in items.into_iter().enumerate() {
                self.0 = item;
                visit(self, at)?;
            }
        }
        Ok(())
    }
}
