//! Why: what an authority says of its decision. Almost nobody reads it, so it is put into words only then.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Why a decision is as it is. Making one costs nothing; its text is made when it is asked for.
#[derive(Clone, Default)]
pub struct Reason {
    text: Text,
    error: Option<Arc<str>>,
}

#[derive(Clone, Default)]
enum Text {
    #[default]
    Nothing,
    Fixed(Arc<str>),
    Lazy(Arc<dyn fmt::Display + Send + Sync>),
}

impl Reason {
    /// No reason is given.
    pub const NONE: Reason = Reason { text: Text::Nothing, error: None };

    /// A text that is made when somebody reads it.
    pub fn lazy(text: Arc<dyn fmt::Display + Send + Sync>) -> Self {
        Reason { text: Text::Lazy(text), error: None }
    }

    /// The authority could not do its work: reviews show it as `evaluationError`, a request that nobody else
    /// allows is answered with 500.
    #[must_use]
    pub fn with_error(mut self, error: &str) -> Self {
        self.error = Some(error.into());
        self
    }

    /// Of several without an opinion: their texts in lines, their errors in upstream's list form.
    pub(crate) fn joined(reasons: &[Reason]) -> Self {
        match reasons {
            [] => Reason::NONE,
            [one] => one.clone(),
            _ => {
                let texts = reasons.iter().filter(|r| !r.is_empty()).map(ToString::to_string);
                Reason { error: errors(reasons), ..Reason::from(texts.collect::<Vec<_>>().join("\n")) }
            }
        }
    }

    /// What kept the authority from deciding as it should.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Whether there is neither text nor error.
    pub(crate) fn says_nothing(&self) -> bool {
        self.is_empty() && self.error.is_none()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        match &self.text {
            Text::Nothing => true,
            Text::Fixed(text) => text.is_empty(),
            Text::Lazy(_) => false,
        }
    }
}

/// The errors of several reasons as one.
fn errors(reasons: &[Reason]) -> Option<Arc<str>> {
    let all: Vec<String> = reasons.iter().filter_map(|r| r.error.as_deref()).map(str::to_owned).collect();
    (!all.is_empty()).then(|| aggregate(all).into())
}

/// Errors as upstream joins them: each once; one stands alone, several in brackets.
pub(crate) fn aggregate(errors: Vec<String>) -> String {
    let mut known = HashSet::new();
    let mut distinct: Vec<String> = errors.into_iter().filter(|error| known.insert(error.clone())).collect();
    if distinct.len() == 1 { distinct.remove(0) } else { format!("[{}]", distinct.join(", ")) }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Text::Nothing => Ok(()),
            Text::Fixed(text) => f.write_str(text),
            Text::Lazy(text) => text.fmt(f),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())?;
        self.error.as_ref().map_or(Ok(()), |error| write!(f, " (error {error:?})"))
    }
}

/// By what is read.
impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.error == other.error && self.to_string() == other.to_string()
    }
}

impl Eq for Reason {}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason::from(text.as_str())
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        let text = if text.is_empty() { Text::Nothing } else { Text::Fixed(text.into()) };
        Reason { text, error: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_the_same_when_they_read_the_same() {
        let lazy = Reason::lazy(Arc::new("because"));
        assert_eq!(lazy, Reason::from("because"));
        assert_eq!(lazy.to_string(), "because");
        assert_ne!(lazy.with_error("broken"), Reason::from("because"));
        assert!(Reason::NONE.is_empty() && Reason::from(String::new()).is_empty());
    }
}
