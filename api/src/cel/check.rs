//! Checks of a compiled tree: every name is declared, every function is there.

use super::expr::{Expr, Fold, FoldKind, Form, Literal, Node};
use super::syntax;

/// Names that are types.
pub const TYPES: [&str; 10] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"];

/// Refuses undeclared names, all of them, in the order of the text.
pub fn check(root: &Expr, text: &str, variables: &[&str]) -> Result<(), String> {
    let mut checker =
        Checker { scope: variables.iter().map(|v| (*v).to_owned()).collect(), faults: Vec::new() };
    checker.expr(root);
    if checker.faults.is_empty() {
        return Ok(());
    }
    Err(syntax::report_all(text, checker.faults))
}

struct Checker {
    scope: Vec<String>,
    faults: Vec<(usize, String)>,
}

impl Checker {
    fn undeclared(&mut self, at: usize, name: &str) {
        self.faults.push((at, format!("undeclared reference to '{name}' (in container '')")));
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.node {
            Node::Literal(_) => {}
            Node::Ident(name) => {
                let known = self.scope.iter().any(|n| n == name.as_str()) || TYPES.contains(&name.as_str());
                if !known {
                    self.undeclared(expr.at, name);
                }
            }
            Node::Select { operand, .. } => {
                if !is_type_name(expr) {
                    self.expr(operand);
                }
            }
            Node::Call { name, functions, target, args } => {
                let children = target.as_deref().into_iter().chain(args);
                children.for_each(|child| self.expr(child));
                if functions.is_empty() {
                    self.undeclared(expr.at, name);
                }
            }
            Node::List(items) => items.iter().for_each(|(item, _)| self.expr(item)),
            Node::Map(entries) => entries.iter().for_each(|(key, value, _)| {
                self.expr(key);
                self.expr(value);
            }),
            Node::Struct { name, fields } => {
                self.undeclared(expr.at, name);
                fields.iter().for_each(|(_, value, _)| self.expr(value));
            }
            Node::Fold(fold) => self.fold(fold),
        }
    }

    fn fold(&mut self, fold: &Fold) {
        self.expr(&fold.range);
        let depth = self.scope.len();
        self.scope.push(fold.var.to_string());
        self.scope.extend(fold.second.as_ref().map(ToString::to_string));
        fold.condition.iter().chain(&fold.step).for_each(|part| self.expr(part));
        self.scope.truncate(depth);
    }
}

/// Types with qualified names: `google.protobuf.Timestamp`, `net.IP`, ….
pub fn is_type_name(expr: &Expr) -> bool {
    const QUALIFIED: [&str; 7] = [
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "net.IP",
        "net.CIDR",
        "kubernetes.URL",
        "kubernetes.Quantity",
        "kubernetes.Semver",
    ];
    path(expr).is_some_and(|path| QUALIFIED.contains(&path.join(".").as_str()))
}

/// The names of `a.b.c`; `None` for anything else.
pub fn path(expr: &Expr) -> Option<Vec<&str>> {
    match &expr.node {
        Node::Ident(name) => Some(vec![name.as_str()]),
        Node::Select { operand, field, .. } => {
            let mut names = path(operand)?;
            names.push(field.as_str());
            Some(names)
        }
        Node::Call { name, target: None, args, .. } if name.as_str() == "_[_]" => match args.as_slice() {
            [operand, Expr { node: Node::Literal(Literal::Str(key)), .. }] => {
                let mut names = path(operand)?;
                names.push(key.as_str());
                Some(names)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether all fields of a path are read: none is asked for only, or optional.
pub fn is_read(expr: &Expr) -> bool {
    match &expr.node {
        Node::Select { operand, form, .. } => matches!(form, Form::Plain) && is_read(operand),
        Node::Call { args, .. } => args.iter().all(is_read),
        _ => true,
    }
}

/// Whether a variable's field (`["claims", "email"]`) is named somewhere.
pub fn uses(expr: &Expr, wanted: &[&str]) -> bool {
    path(expr).is_some_and(|path| path.starts_with(wanted))
        || children(expr).into_iter().any(|child| uses(child, wanted))
}

/// The fields that are read of `variable`, each with its place: of `self.spec.x` `["spec"]` and `["spec", "x"]`.
pub fn fields_of<'e>(expr: &'e Expr, variable: &str, found: &mut Vec<(usize, Vec<&'e str>)>) {
    if let Some(names) = selected(expr, variable).filter(|names| !names.is_empty()) {
        found.push((expr.at, names));
    }
    if let Node::Fold(fold) = &expr.node
        && std::iter::once(&fold.var).chain(&fold.second).any(|name| name.as_str() == variable)
    {
        return fields_of(&fold.range, variable, found);
    }
    children(expr).into_iter().for_each(|child| fields_of(child, variable, found));
}

fn selected<'e>(expr: &'e Expr, variable: &str) -> Option<Vec<&'e str>> {
    match &expr.node {
        Node::Ident(name) if name.as_str() == variable => Some(Vec::new()),
        Node::Select { operand, field, .. } => {
            let mut names = selected(operand, variable)?;
            names.push(field.as_str());
            Some(names)
        }
        _ => None,
    }
}

fn children(expr: &Expr) -> Vec<&Expr> {
    match &expr.node {
        Node::Literal(_) | Node::Ident(_) => Vec::new(),
        Node::Select { operand, .. } => vec![operand],
        Node::Call { target, args, .. } => target.as_deref().into_iter().chain(args).collect(),
        Node::List(items) => items.iter().map(|(item, _)| item).collect(),
        Node::Map(entries) => entries.iter().flat_map(|(key, value, _)| [key, value]).collect(),
        Node::Struct { fields, .. } => fields.iter().map(|(_, value, _)| value).collect(),
        Node::Fold(fold) => std::iter::once(&fold.range).chain(&fold.condition).chain(&fold.step).collect(),
    }
}

/// The type of what an expression comes to, as far as its outermost part tells.
pub fn known_type(expr: &Expr) -> Option<&'static str> {
    Some(match &expr.node {
        Node::Literal(literal) => match literal {
            Literal::Null => "null_type",
            Literal::Bool(_) => "bool",
            Literal::Int(_) => "int",
            Literal::Uint(_) => "uint",
            Literal::Double(_) => "double",
            Literal::Str(_) => "string",
            Literal::Bytes(_) => "bytes",
        },
        Node::Select { form: Form::Test, .. } => "bool",
        Node::Ident(_) | Node::Select { .. } | Node::Struct { .. } => return None,
        Node::List(_) => "list",
        Node::Map(_) => "map",
        Node::Fold(fold) => match fold.kind {
            FoldKind::All | FoldKind::Exists | FoldKind::ExistsOne => "bool",
            FoldKind::List | FoldKind::SortBy => "list",
            FoldKind::Values | FoldKind::Entries => "map",
            FoldKind::Optional | FoldKind::OptionalFlat => return None,
        },
        Node::Call { name, args, .. } => match (name.as_str(), args.as_slice()) {
            ("_?_:_", [_, yes, no]) => {
                let (yes, no) = (known_type(yes)?, known_type(no)?);
                return (yes == no).then_some(yes);
            }
            ("_+_" | "_-_" | "_*_" | "_/_" | "_%_", [left, right]) => {
                return known_type(left).or_else(|| known_type(right));
            }
            ("-_", [of]) => return known_type(of),
            (name, _) => return super::functions::result_type(name),
        },
    })
}
