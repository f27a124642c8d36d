//! Metrics as Prometheus reads them: a head that says what a metric is, and a line for each of its values.

pub mod process;

use std::fmt::Write as _;

/// What a metric is.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One value.
pub fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    out.push_str(name);
    for (i, (key, text)) in labels.iter().enumerate() {
        let _ = write!(out, "{}{key}=\"{}\"", if i == 0 { '{' } else { ',' }, escape(text));
    }
    let _ = writeln!(out, "{} {value}", if labels.is_empty() { "" } else { "}" });
}

/// A label's value within quotes.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_behind_their_labels() {
        let mut out = String::new();
        head(&mut out, "a", "gauge", "What.");
        line(&mut out, "a", &[("b", "c\"\\"), ("d", "")], 1.5);
        line(&mut out, "a", &[], 2);
        assert_eq!(out, "# HELP a What.\n# TYPE a gauge\na{b=\"c\\\"\\\\\",d=\"\"} 1.5\na 2\n");
    }
}
