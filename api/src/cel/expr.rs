//! The tree of an expression: what the parser gave, with macros as folds and functions found.

use super::functions::{self, Function};
use super::syntax::MAX_DEPTH;
use crate::Str;
use cel::common::ast::{
    ComprehensionExpr, EntryExpr, Expr as Parsed, IdedExpr, ListExpr, LiteralValue, MapExpr, SourceInfo,
    StructExpr,
};
use std::sync::Arc;

/// A node and where it stands in the text, in bytes.
pub struct Expr {
    pub at: usize,
    pub node: Node,
}

pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Str),
    Bytes(Arc<[u8]>),
}

pub enum Node {
    Literal(Literal),
    Ident(Str),
    Select {
        operand: Box<Expr>,
        field: Str,
        form: Form,
    },
    Call {
        name: Str,
        functions: Vec<Function>,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// Items; those that are `?x` may be left out.
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    /// `Type{field: x}`.
    Struct {
        name: Str,
        fields: Vec<(Str, Expr, bool)>,
    },
    Fold(Box<Fold>),
}

/// How a field is asked for: `a.b`, `has(a.b)`, `a.?b`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Plain,
    Test,
    Optional,
}

/// A macro that goes through a list or a map, or names a value.
pub struct Fold {
    pub kind: FoldKind,
    pub range: Expr,
    pub var: Str,
    pub second: Option<Str>,
    /// A condition on the element; for `map` without one `None`.
    pub condition: Option<Expr>,
    /// What elements become, where they become something.
    pub step: Option<Expr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FoldKind {
    All,
    Exists,
    ExistsOne,
    /// `map` and `filter`, `transformList`.
    List,
    /// `transformMap`.
    Values,
    /// `transformMapEntry`.
    Entries,
    SortBy,
    /// `optMap`, and `optFlatMap`.
    Optional,
    OptionalFlat,
}

/// Where an expression cannot be what it says.
pub struct Fault {
    pub at: usize,
    pub text: String,
}

type Converted<T> = Result<T, Fault>;

/// Our tree of a parsed expression.
pub fn convert(parsed: IdedExpr, source: &SourceInfo) -> Converted<Expr> {
    Converter { source, depth: 0 }.expr(parsed)
}

struct Converter<'s> {
    source: &'s SourceInfo,
    depth: usize,
}

impl Converter<'_> {
    fn at(&self, id: u64) -> usize {
        self.source.offset_for(id).and_then(|(start, _)| usize::try_from(start).ok()).unwrap_or(0)
    }

    fn expr(&mut self, parsed: IdedExpr) -> Converted<Expr> {
        let at = self.at(parsed.id);
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault { at: 0, text: format!("expression recursion limit exceeded: {MAX_DEPTH}") });
        }
        let node = self.node(parsed.expr, at)?;
        self.depth -= 1;
        Ok(Expr { at, node })
    }

    fn boxed(&mut self, parsed: IdedExpr) -> Converted<Box<Expr>> {
        self.expr(parsed).map(Box::new)
    }

    fn exprs(&mut self, parsed: Vec<IdedExpr>) -> Converted<Vec<Expr>> {
        parsed.into_iter().map(|e| self.expr(e)).collect()
    }

    fn node(&mut self, parsed: Parsed, at: usize) -> Converted<Node> {
        Ok(match parsed {
            Parsed::Unspecified => return Err(Fault { at, text: "the expression is empty".to_owned() }),
            Parsed::Literal(value) => Node::Literal(literal(value)),
            Parsed::Ident(name) => Node::Ident(name.trim_start_matches('.').into()),
            Parsed::Select(select) => {
                let form = if select.test { Form::Test } else { Form::Plain };
                Node::Select { operand: self.boxed(*select.operand)?, field: select.field.into(), form }
            }
            Parsed::Call(call) => return self.call(call.func_name, call.target.map(|t| *t), call.args, at),
            Parsed::List(ListExpr { elements, optional_indices }) => {
                let items = elements.into_iter().enumerate();
                let items = items.map(|(i, e)| Ok((self.expr(e)?, optional_indices.contains(&i))));
                Node::List(items.collect::<Converted<_>>()?)
            }
            Parsed::Map(MapExpr { entries }) => {
                let mut all = Vec::with_capacity(entries.len());
                for entry in entries {
                    if let EntryExpr::MapEntry(e) = entry.expr {
                        all.push((self.expr(e.key)?, self.expr(e.value)?, e.optional));
                    }
                }
                Node::Map(all)
            }
            Parsed::Struct(StructExpr { type_name, entries }) => {
                let mut fields = Vec::with_capacity(entries.len());
                for entry in entries {
                    if let EntryExpr::StructField(f) = entry.expr {
                        fields.push((f.field.into(), self.expr(f.value)?, f.optional));
                    }
                }
                Node::Struct { name: type_name.into(), fields }
            }
            Parsed::Comprehension(fold) => Node::Fold(Box::new(self.comprehension(*fold, at)?)),
        })
    }

    fn call(
        &mut self,
        name: String,
        target: Option<IdedExpr>,
        mut args: Vec<IdedExpr>,
        at: usize,
    ) -> Converted<Node> {
        if name == "_?._" && args.len() == 2 {
            let field = match args.pop().map(|a| a.expr) {
                Some(Parsed::Literal(LiteralValue::String(text))) => Str::from(text.inner()),
                _ => return Err(Fault { at, text: "unsupported optional field".to_owned() }),
            };
            let operand = self.exprs(args)?.pop().map(Box::new);
            let operand = operand.ok_or(Fault { at, text: "unsupported optional field".to_owned() })?;
            return Ok(Node::Select { operand, field, form: Form::Optional });
        }
        let Some(target) = target else {
            let functions = functions::find(&name, false);
            return Ok(Node::Call { name: name.into(), functions, target: None, args: self.exprs(args)? });
        };
        if let Some(fold) = self.macro_call(&name, &target, &args)? {
            return Ok(fold);
        }
        // `sets.contains(…)`: a function with a qualified name.
        if let Parsed::Ident(space) = &target.expr {
            let qualified = format!("{space}.{name}");
            let functions = functions::find(&qualified, false);
            if !functions.is_empty() {
                return Ok(Node::Call {
                    name: qualified.into(),
                    functions,
                    target: None,
                    args: self.exprs(args)?,
                });
            }
        }
        let functions = functions::find(&name, true);
        let target = Some(self.boxed(target)?);
        Ok(Node::Call { name: name.into(), functions, target, args: self.exprs(args)? })
    }

    /// The macros that the parser does not know: those of two variables, `sortBy`, `optMap`.
    fn macro_call(&mut self, name: &str, target: &IdedExpr, args: &[IdedExpr]) -> Converted<Option<Node>> {
        let kind = match (name, args.len()) {
            ("all", 3) => FoldKind::All,
            ("exists", 3) => FoldKind::Exists,
            ("existsOne" | "exists_one", 3) => FoldKind::ExistsOne,
            ("existsOne", 2) => FoldKind::ExistsOne,
            ("transformList", 3 | 4) => FoldKind::List,
            ("transformMap", 3 | 4) => FoldKind::Values,
            ("transformMapEntry", 3 | 4) => FoldKind::Entries,
            ("sortBy", 2) => FoldKind::SortBy,
            ("optMap", 2) => FoldKind::Optional,
            ("optFlatMap", 2) => FoldKind::OptionalFlat,
            _ => return Ok(None),
        };
        let two = args.len() > 2;
        let names = args.iter().take(if two { 2 } else { 1 });
        let mut vars = Vec::new();
        for var in names {
            match &var.expr {
                Parsed::Ident(name) => vars.push(Str::from(name)),
                _ => {
                    let text = "argument must be a simple name".to_owned();
                    return Err(Fault { at: self.at(var.id), text });
                }
            }
        }
        let mut rest = self.exprs(args.get(vars.len()..).unwrap_or_default().to_vec())?;
        let judges = matches!(kind, FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne);
        let step = if judges { None } else { rest.pop() };
        let mut vars = vars.into_iter();
        Ok(Some(Node::Fold(Box::new(Fold {
            kind,
            range: self.expr(target.clone())?,
            var: vars.next().unwrap_or_default(),
            second: vars.next(),
            condition: rest.pop(),
            step,
        }))))
    }

    /// What the parser made of a macro, read back: `@result` and what happens to it tell which it was.
    fn comprehension(&mut self, fold: ComprehensionExpr, at: usize) -> Converted<Fold> {
        let range = self.expr(fold.iter_range)?;
        let odd = || Fault { at, text: "unsupported comprehension".to_owned() };
        let (name, mut args) = call_of(fold.loop_step).ok_or_else(odd)?;
        let (kind, condition, step) = match (&fold.accu_init.expr, name.as_str()) {
            (Parsed::Literal(LiteralValue::Boolean(_)), "_&&_") => (FoldKind::All, args.pop(), None),
            (Parsed::Literal(LiteralValue::Boolean(_)), "_||_") => (FoldKind::Exists, args.pop(), None),
            (Parsed::Literal(LiteralValue::Int(_)), "_?_:_") => {
                (FoldKind::ExistsOne, args.into_iter().next(), None)
            }
            (Parsed::List(_), "_+_") => (FoldKind::List, None, args.pop().and_then(only_item)),
            (Parsed::List(_), "_?_:_") => {
                let mut args = args.into_iter();
                let condition = args.next();
                let step = args.next().and_then(call_of).and_then(|(_, mut a)| a.pop()).and_then(only_item);
                (FoldKind::List, condition, step)
            }
            _ => return Err(odd()),
        };
        let condition = condition.map(|c| self.expr(c)).transpose()?;
        let step = step.map(|s| self.expr(s)).transpose()?;
        Ok(Fold { kind, range, var: fold.iter_var.into(), second: None, condition, step })
    }
}

fn call_of(expr: IdedExpr) -> Option<(String, Vec<IdedExpr>)> {
    match expr.expr {
        Parsed::Call(call) => Some((call.func_name, call.args)),
        _ => None,
    }
}

fn only_item(expr: IdedExpr) -> Option<IdedExpr> {
    match expr.expr {
        Parsed::List(mut list) => list.elements.pop(),
        _ => None,
    }
}

fn literal(value: LiteralValue) -> Literal {
    match value {
        LiteralValue::Null => Literal::Null,
        LiteralValue::Boolean(b) => Literal::Bool(*b.inner()),
        LiteralValue::Int(i) => Literal::Int(*i.inner()),
        LiteralValue::UInt(u) => Literal::Uint(*u.inner()),
        LiteralValue::Double(d) => Literal::Double(*d.inner()),
        LiteralValue::String(s) => Literal::Str(s.inner().into()),
        LiteralValue::Bytes(b) => Literal::Bytes(b.inner().into()),
    }
}
