//! CEL: expressions in configurations, compiled once and evaluated over object trees.
//!
//! The grammar is the `cel` crate's (its refusals are the original's, word for word); what an expression means is
//! here: it borrows the trees it reads, counts what it costs, and fails in Go's words. An expression is checked for
//! undeclared names when it is compiled; operators and fields meet their types when it is evaluated.

mod authorizer;
mod check;
mod cost;
mod eval;
mod expr;
mod fold;
mod functions;
mod operators;
mod syntax;
mod value;

pub use authorizer::{Authorizer, Check, Decision};
pub use syntax::report_all;
pub use value::Cel;

use crate::Value;
use expr::Expr;
use std::fmt;

/// What one evaluation may cost, as upstream counts: about one for each name, field and call.
pub const COST_LIMIT: u64 = 1_000_000;

/// Words that cannot be names.
pub const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A compiled expression.
pub struct Program {
    root: Expr,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Program")
    }
}

/// Why an evaluation has no value, in upstream's words: `no such key: labels`.
#[derive(Clone, Debug, PartialEq)]
pub enum CelError {
    Failed(String),
    /// More than the limit.
    Cost,
    /// It hangs on an answer of the authorizer that is not there yet.
    Unanswered(Box<Check>),
}

impl CelError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        CelError::Failed(text.into())
    }

    /// An operator or function that is not defined for these types.
    fn overload() -> Self {
        CelError::new("no such overload")
    }
}

impl fmt::Display for CelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CelError::Failed(text) => f.write_str(text),
            CelError::Cost => f.write_str("operation cancelled: actual cost limit exceeded"),
            CelError::Unanswered(_) => f.write_str("the authorizer was not asked"),
        }
    }
}

impl std::error::Error for CelError {}

/// What an expression sees: its variables and the answers of the authorizer so far.
pub struct Env<'a> {
    variables: Vec<(&'a str, Cel<'a>)>,
    answers: Vec<(Check, Decision)>,
    limit: u64,
}

impl Default for Env<'_> {
    fn default() -> Self {
        Env { variables: Vec::new(), answers: Vec::new(), limit: COST_LIMIT }
    }
}

impl<'a> Env<'a> {
    pub fn new() -> Self {
        Self::default()
    }

    /// With a variable that is a tree.
    pub fn with(self, name: &'a str, tree: &'a Value) -> Self {
        self.with_value(name, Cel::from(tree))
    }

    pub fn with_value(mut self, name: &'a str, value: Cel<'a>) -> Self {
        self.variables.push((name, value));
        self
    }

    /// With the variable `authorizer`; and `authorizer.requestResource` when a request is for a resource.
    pub fn with_authorizer(self, request: Option<Check>) -> Self {
        self.with_value("authorizer", Cel::authorizer(request))
    }

    /// Another bound than `COST_LIMIT`.
    pub fn limit(mut self, cost: u64) -> Self {
        self.limit = cost;
        self
    }
}

impl Program {
    /// Compiles an expression that may use `variables`. The error is upstream's, without what it puts before
    /// (`compilation failed: `): `ERROR: <input>:1:4: Syntax error: …` and a line that points at the place.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Program, String> {
        let root = syntax::parse(text)?;
        check::check(&root, text, variables)?;
        Ok(Program { root })
    }

    /// What the expression is here, and what that cost.
    pub fn eval_cel<'a>(&'a self, env: &Env<'a>) -> (Result<Cel<'a>, CelError>, u64) {
        eval::eval(&self.root, env)
    }

    /// What the expression is here, as a tree.
    pub fn eval(&self, env: &Env<'_>) -> Result<Value, CelError> {
        eval::eval(&self.root, env).0?.into_tree()
    }

    pub fn eval_bool(&self, env: &Env<'_>) -> Result<bool, CelError> {
        self.eval_bool_costing(env).0
    }

    fn eval_bool_costing(&self, env: &Env<'_>) -> (Result<bool, CelError>, u64) {
        let (outcome, cost) = eval::eval(&self.root, env);
        let outcome = match outcome {
            Ok(Cel::Bool(value)) => Ok(value),
            Ok(_) => Err(CelError::new("cel evaluation failed: expression must evaluate to bool")),
            Err(error) => Err(error),
        };
        (outcome, cost)
    }

    /// True, false, or why not, and what it cost; asks the authorizer where the expression does.
    pub async fn eval_bool_asking<'a>(
        &'a self,
        env: &mut Env<'a>,
        authorizer: &dyn Authorizer,
    ) -> (Result<bool, CelError>, u64) {
        loop {
            match self.eval_bool_costing(env) {
                (Err(CelError::Unanswered(check)), _) => {
                    let decision = authorizer.check(&check).await;
                    env.answers.push((*check, decision));
                }
                done => return done,
            }
        }
    }

    /// The names of variables and their fields as far as they are written out: `claims.email`, `user`; for rules about
    /// what an expression must use.
    pub fn uses(&self, path: &[&str]) -> bool {
        check::uses(&self.root, path)
    }

    /// The fields that are read of a variable, each with its place in the text: of `self.spec.x` `["spec"]` and
    /// `["spec", "x"]`.
    pub fn fields_of(&self, variable: &str) -> Vec<(usize, Vec<&str>)> {
        let mut found = Vec::new();
        check::fields_of(&self.root, variable, &mut found);
        found
    }

    /// The names of an expression that is only a variable or a field of one: `["object", "metadata"]`.
    pub fn path(&self) -> Option<Vec<&str>> {
        check::path(&self.root).filter(|_| check::is_read(&self.root))
    }

    /// What the expression's value surely is, when that shows without its variables: `bool`, `string`, `list`, ….
    pub fn known_type(&self) -> Option<&'static str> {
        check::known_type(&self.root)
    }
}

#[cfg(test)]
mod tests;
