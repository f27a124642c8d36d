//! Tokens from a file (`--token-auth-file`): CSV with a token, a user name, a UID and perhaps groups in each line.
//! Source: upstream's `pkg/authentication/token/tokenfile`; the form is that of Go's `encoding/csv`.

use crate::token::{TokenKind, TokenVerdict};
use crate::{Caller, Settings};
use api::Later;
use std::collections::HashMap;
use std::sync::Arc;

/// The users of a file, by token.
#[derive(Clone, Debug, Default)]
pub struct StaticTokens(Arc<HashMap<String, Caller>>);

impl StaticTokens {
    /// Reads the text of the file `path`, which is named in errors.
    pub fn parse(text: &str, path: &str) -> Result<Self, String> {
        let mut tokens = HashMap::new();
        for (at, record) in records(text)?.into_iter().enumerate() {
            let [token, name, uid, ..] = record.as_slice() else {
                return Err(format!(
                    "token file '{path}' must have at least 3 columns (token, user name, user uid), found {}",
                    record.len()
                ));
            };
            if token.is_empty() {
                tracing::warn!(path, record = at + 1, "an empty token in a token file");
                continue;
            }
            let groups = record.get(3).map(|text| text.split(',').map(str::to_owned).collect());
            let caller = Caller::new(name, groups.unwrap_or_default()).with_uid(uid.clone());
            if tokens.insert(token.clone(), caller).is_some() {
                tracing::warn!(path, record = at + 1, "a token that is twice in a token file");
            }
        }
        Ok(StaticTokens(Arc::new(tokens)))
    }
}

/// See `TOKENS`.
#[allow(clippy::unnecessary_wraps)] // the shape of every kind's maker
pub(crate) fn make(settings: &Settings) -> Result<Option<Box<dyn TokenKind>>, String> {
    Ok(settings.static_tokens.clone().map(|tokens| {
        let kind: Box<dyn TokenKind> = Box::new(tokens);
        kind
    }))
}

impl TokenKind for StaticTokens {
    fn name(&self) -> &'static str {
        "token-file"
    }

    fn judge<'a>(&'a self, token: &'a str, _: &'a [String]) -> Later<'a, TokenVerdict> {
        let found = self.0.get(token).cloned();
        Box::pin(std::future::ready(found.map_or(TokenVerdict::NotMine, TokenVerdict::known)))
    }
}

/// The records of a CSV text. Fields with a quote, comma or line end are quoted; empty lines do not count.
fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (mut records, mut rest, mut line) = (Vec::new(), text, 1);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('\n').or_else(|| rest.strip_prefix("\r\n")) {
            (rest, line) = (after, line + 1);
            continue;
        }
        let mut record = Vec::new();
        loop {
            let (field, end) = match rest.strip_prefix('"') {
                Some(quoted) => quoted_field(quoted, line)?,
                None => bare_field(rest, line)?,
            };
            line += field.matches('\n').count();
            record.push(field);
            match end.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = end.strip_prefix('\n').unwrap_or(end);
                    line += 1;
                    break;
                }
            }
        }
        records.push(record);
    }
    Ok(records)
}

/// A field up to a comma or the line's end, and what comes from there.
fn bare_field(text: &str, line: usize) -> Result<(String, &str), String> {
    let (field, rest) = text.split_at(text.find([',', '\n']).unwrap_or(text.len()));
    if field.contains('"') {
        return Err(format!("parse error on line {line}: bare \" in non-quoted field"));
    }
    let field = if rest.starts_with(',') { field } else { field.strip_suffix('\r').unwrap_or(field) };
    Ok((field.to_owned(), rest))
}

/// A field up to its closing quote; two quotes are one.
fn quoted_field(text: &str, line: usize) -> Result<(String, &str), String> {
    let (mut field, mut rest) = (String::new(), text);
    loop {
        let wrong = || format!("parse error on line {line}: extraneous or missing \" in quoted-field");
        let (before, after) = rest.split_once('"').ok_or_else(wrong)?;
        field.push_str(before);
        if let Some(more) = after.strip_prefix('"') {
            field.push('"');
            rest = more;
            continue;
        }
        let end =
            after.strip_prefix('\r').filter(|end| end.is_empty() || end.starts_with('\n')).unwrap_or(after);
        if !end.is_empty() && !end.starts_with([',', '\n']) {
            return Err(wrong());
        }
        return Ok((field.replace("\r\n", "\n"), end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Vec<String>> {
        records(text).unwrap()
    }

    #[test]
    fn users_have_names_uids_and_groups() {
        let text = "t1,jane,1,\"dev,ops\"\nt2,joe,2\r\n,nobody,3\n\nt3,jim,4,\n";
        let tokens = StaticTokens::parse(text, "f").unwrap();
        let jane = &tokens.0["t1"];
        assert_eq!((jane.name(), jane.uid()), ("jane", "1"));
        assert_eq!(jane.groups(), ["dev", "ops"]);
        assert_eq!((tokens.0["t2"].uid(), tokens.0["t2"].groups().len()), ("2", 0));
        assert_eq!(tokens.0["t3"].groups(), [""]);
        assert_eq!(tokens.0.len(), 3);
    }

    #[test]
    fn too_few_columns_are_an_error() {
        assert_eq!(
            StaticTokens::parse("a,b", "/f").unwrap_err(),
            "token file '/f' must have at least 3 columns (token, user name, user uid), found 2"
        );
        assert!(StaticTokens::parse("", "/f").unwrap().0.is_empty());
    }

    #[test]
    fn quotes_are_read_as_go_reads_them() {
        assert_eq!(read("\"a\"\"b\",\"c\nd\",e"), [["a\"b", "c\nd", "e"]]);
        assert_eq!(read("a,b\r\nc,"), [["a", "b"], ["c", ""]]);
        assert_eq!(read(" a , b"), [[" a ", " b"]]);
        for wrong in ["a\"b", "\"a", "\"a\"b", "\"a\" ,b"] {
            assert!(records(wrong).is_err(), "{wrong}");
        }
    }
}
