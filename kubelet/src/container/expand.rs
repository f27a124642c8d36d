//! `$(NAME)` in commands, arguments and values: replaced by a variable where it is known, left as it is where not;
//! `$$` is a dollar sign.

/// The text with its references replaced by what `value` knows.
pub fn expand(text: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = match (after.chars().next(), after.find(')')) {
            (Some('$'), _) => {
                out.push('$');
                &after[1..]
            }
            (Some('('), Some(end)) => {
                let name = &after[1..end];
                out.push_str(&value(name).unwrap_or_else(|| format!("$({name})")));
                &after[end + 1..]
            }
            _ => {
                out.push('$');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_upstream_replaces_them() {
        let value = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "B" => Some("$(A)".to_owned()),
            "E" => Some(String::new()),
            _ => None,
        };
        for (text, wanted) in [
            ("$(A)", "1"),
            ("x$(A)y$(B)", "x1y$(A)"),
            ("$(E)$(MISSING)", "$(MISSING)"),
            ("$$(A) $$$(A) $$", "$(A) $1 $"),
            ("$A $ $(A", "$A $ $(A"),
            ("$()$", "$()$"),
            ("é$é", "é$é"),
        ] {
            assert_eq!(expand(text, value), wanted, "{text}");
        }
    }
}
