//! Evaluation: a walk over the tree. `&&`, `||` and `?:` decide what they walk, and errors beside a deciding side of
//! `&&` and `||` do not count.

use super::expr::{Expr, Form, Literal, Node};
use super::{Cel, CelError, Env, check, cost, fold, operators};
use crate::Str;
use std::sync::Arc;

pub type Outcome<'a> = Result<Cel<'a>, CelError>;

/// The value of a whole expression, and its cost.
pub fn eval<'a>(root: &'a Expr, env: &Env<'a>) -> (Outcome<'a>, u64) {
    let mut run = Run { env, locals: Vec::new(), cost: 0 };
    let outcome = run.expr(root);
    (outcome, run.cost)
}

/// One evaluation.
pub struct Run<'r, 'a> {
    env: &'r Env<'a>,
    /// Variables of macros, the innermost last.
    pub locals: Vec<(&'a Str, Cel<'a>)>,
    cost: u64,
}

impl<'a> Run<'_, 'a> {
    pub fn charge(&mut self, cost: usize) -> Result<(), CelError> {
        self.cost = self.cost.saturating_add(u64::try_from(cost).unwrap_or(u64::MAX));
        if self.cost > self.env.limit { Err(CelError::Cost) } else { Ok(()) }
    }

    pub fn expr(&mut self, expr: &'a Expr) -> Outcome<'a> {
        match &expr.node {
            Node::Literal(value) => Ok(literal(value)),
            Node::Ident(name) => {
                self.charge(1)?;
                self.variable(name)
            }
            Node::Select { operand, field, form } => self.select(expr, operand, field, *form),
            Node::Call { name, functions, target, args } => {
                if target.is_none()
                    && let Some(outcome) = self.branch(name, args)
                {
                    return outcome;
                }
                let mut values = Vec::with_capacity(args.len() + 1);
                for part in target.as_deref().into_iter().chain(args) {
                    values.push(self.expr(part)?);
                }
                self.call(name, functions, &values)
            }
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Struct { name, .. } => Err(CelError::new(format!("unknown type '{name}'"))),
            Node::Fold(fold) => fold::fold(self, fold),
        }
    }

    fn variable(&self, name: &Str) -> Outcome<'a> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(n, _)| *n == name) {
            return Ok(value.clone());
        }
        if let Some((_, value)) = self.env.variables.iter().find(|(n, _)| *n == name.as_str()) {
            return Ok(value.clone());
        }
        if check::TYPES.contains(&name.as_str()) {
            return Ok(Cel::Type(name.clone()));
        }
        Err(CelError::new(format!("no such attribute(s): {name}")))
    }

    fn select(&mut self, expr: &'a Expr, operand: &'a Expr, field: &'a Str, form: Form) -> Outcome<'a> {
        self.charge(1)?;
        if let Node::Ident(name) = &operand.node
            && name.as_str() == "authorizer"
            && field.as_str() == "requestResource"
        {
            return self.variable(name)?.request_resource();
        }
        if check::is_type_name(expr) {
            return Ok(Cel::Type(check::path(expr).unwrap_or_default().join(".").into()));
        }
        let (operand, wrapped) = match self.expr(operand)? {
            Cel::Optional(None) if form == Form::Test => return Ok(Cel::Bool(false)),
            Cel::Optional(None) => return Ok(Cel::Optional(None)),
            Cel::Optional(Some(inner)) => ((*inner).clone(), true),
            plain => (plain, form == Form::Optional),
        };
        let found = operand.field(field);
        match form {
            Form::Test => Ok(Cel::Bool(found.is_some())),
            _ if wrapped => Ok(Cel::Optional(found.map(Arc::new))),
            _ => found.ok_or_else(|| CelError::new(format!("no such key: {field}"))),
        }
    }

    /// The operators that do not look at all of their sides.
    fn branch(&mut self, name: &str, args: &'a [Expr]) -> Option<Outcome<'a>> {
        match (name, args) {
            ("_&&_", [left, right]) => Some(self.decide(left, right, false)),
            ("_||_", [left, right]) => Some(self.decide(left, right, true)),
            ("_?_:_", [condition, yes, no]) => Some(match self.expr(condition) {
                Ok(Cel::Bool(true)) => self.expr(yes),
                Ok(Cel::Bool(false)) => self.expr(no),
                Ok(_) => Err(CelError::overload()),
                Err(error) => Err(error),
            }),
            _ => None,
        }
    }

    /// `&&` and `||`: a side that is `decisive` settles it, whatever becomes of the other.
    fn decide(&mut self, left: &'a Expr, right: &'a Expr, decisive: bool) -> Outcome<'a> {
        let left = self.expr(left);
        if matches!(&left, Ok(Cel::Bool(b)) if *b == decisive) || matches!(left, Err(CelError::Cost)) {
            return left;
        }
        let right = self.expr(right);
        if matches!(&right, Ok(Cel::Bool(b)) if *b == decisive) {
            return right;
        }
        match (left?, right?) {
            (Cel::Bool(_), Cel::Bool(_)) => Ok(Cel::Bool(!decisive)),
            _ => Err(CelError::overload()),
        }
    }

    fn call(
        &mut self,
        name: &str,
        functions: &[super::functions::Function],
        values: &[Cel<'a>],
    ) -> Outcome<'a> {
        if let [Cel::Asking(asking), rest @ ..] = values
            && let Some(outcome) = asking.call(name, rest, &self.env.answers)
        {
            self.charge(1)?;
            return outcome;
        }
        self.charge(cost::of_call(name, values))?;
        for function in functions {
            if let Some(outcome) = function(name, values) {
                return outcome;
            }
        }
        match operators::is_operator(name) {
            true => Err(CelError::overload()),
            false => Err(CelError::new(format!("no such overload: {name}"))),
        }
    }

    fn list(&mut self, items: &'a [(Expr, bool)]) -> Outcome<'a> {
        self.charge(1)?;
        let mut list = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.expr(item)?, optional) {
                (Cel::Optional(value), true) => list.extend(value.map(|v| (*v).clone())),
                (value, _) => list.push(value),
            }
        }
        Ok(Cel::list(list))
    }

    fn map(&mut self, entries: &'a [(Expr, Expr, bool)]) -> Outcome<'a> {
        self.charge(1)?;
        let mut map: Vec<(Cel<'a>, Cel<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.expr(key)?;
            match (self.expr(value)?, optional) {
                (Cel::Optional(value), true) => map.extend(value.map(|v| (key, (*v).clone()))),
                (value, _) => map.push((key, value)),
            }
        }
        Ok(Cel::Map(Arc::new(map)))
    }
}

fn literal<'a>(value: &Literal) -> Cel<'a> {
    match value {
        Literal::Null => Cel::Null,
        Literal::Bool(b) => Cel::Bool(*b),
        Literal::Int(i) => Cel::Int(*i),
        Literal::Uint(u) => Cel::Uint(*u),
        Literal::Double(d) => Cel::Double(*d),
        Literal::Str(s) => Cel::Str(s.clone()),
        Literal::Bytes(b) => Cel::Bytes(b.clone()),
    }
}
