//! The query of a request, decoded.

/// Decoded pairs in the order given; a name may occur more than once.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        Query(api::uri::pairs(text))
    }

    /// The first value of a name, "" when it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// True unless missing, "0" or "false", as upstream reads booleans.
    pub fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|(known, value)| {
            known == name && !matches!(value.to_ascii_lowercase().as_str(), "false" | "0")
        })
    }

    /// A number, if there is one.
    ///
    /// # Errors
    /// When there is something else.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, std::num::ParseIntError> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_texts_flags_and_numbers() {
        let query = Query::parse("a=b%20c+d&a=e&y&tty=0&n=-1");
        assert_eq!((query.text("a"), query.integer("n")), ("b c d", Ok(Some(-1))));
        assert!(query.flag("y") && !query.flag("tty") && !query.flag("none"));
        assert!(query.integer("a").is_err() && query.integer("none") == Ok(None));
    }
}
