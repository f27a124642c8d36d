//! Files of variables that a container of the pod wrote for another (`fileKeyRef`): `NAME='value'` a line, values in
//! single quotes, which may span lines; comments begin with `#`.

/// The value of a variable; empty when it is not there.
///
/// # Errors
/// When the file is not of this form up to the variable.
pub fn find(text: &str, key: &str) -> Result<String, String> {
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let fault = |what: &str| format!("invalid environment variable format at line {}: {what}", index + 1);
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| fault("missing '='"))?;
        match name.trim_end_matches([' ', '\t']) {
            "" => return Err(fault("empty variable name")),
            trimmed if trimmed != name => return Err(fault("whitespace before '=' is not allowed")),
            _ => {}
        }
        if value.starts_with([' ', '\t']) {
            if name == key {
                return Ok(String::new());
            }
            continue;
        }
        let mut rest =
            value.strip_prefix('\'').ok_or_else(|| fault("value must be enclosed in single quotes"))?;
        let mut found = String::new();
        let after = loop {
            if let Some((last, after)) = rest.split_once('\'') {
                found.push_str(last);
                break after.trim_start_matches([' ', '\t']);
            }
            found.push_str(rest);
            found.push('\n');
            rest = lines.next().ok_or_else(|| fault("unclosed single quote"))?.1;
        };
        if !after.is_empty() && !after.starts_with('#') {
            return Err(fault("unexpected content after closing quote"));
        }
        if name == key {
            return Ok(found);
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_single_quotes_and_may_span_lines() {
        let text = "# c\n\n  A='1' # x\nB='two\nlines'\nC= 'x'\nD='a$b\"'\n";
        for (key, wanted) in [("A", "1"), ("B", "two\nlines"), ("C", ""), ("D", "a$b\""), ("E", "")] {
            assert_eq!(find(text, key).unwrap(), wanted, "{key}");
        }
    }

    #[test]
    fn other_forms_are_refused_with_their_line() {
        for (text, wanted) in [
            ("A", "line 1: missing '='"),
            ("\nA=1", "line 2: value must be enclosed in single quotes"),
            ("A ='1'", "whitespace before '=' is not allowed"),
            ("='1'", "empty variable name"),
            ("A='1' x", "unexpected content after closing quote"),
            ("A='1", "unclosed single quote"),
        ] {
            assert!(find(text, "Z").unwrap_err().ends_with(wanted), "{text}");
        }
    }
}
