//! Files that configure the server: objects in YAML or JSON, of a kind in `apiserver.config.k8s.io`. They are read
//! strictly, as upstream reads them: what is unknown, twice there or of the wrong type is refused.

use crate::schema::{self, of_table};
use crate::{Fault, Value, json, quote, yaml};

/// What a file is to hold.
pub struct Form {
    pub kind: &'static str,
    /// `group/version`s, all of the same shape.
    pub versions: &'static [&'static str],
    /// The types, in the form of the schema's table, without `io.k8s.`; the kind's own is the first.
    pub table: &'static str,
}

/// The object of a file, with the fields that the form knows, of the types that it says.
///
/// # Errors
/// One line in upstream's words.
pub fn read(form: &Form, text: &[u8]) -> Result<Value, String> {
    let (value, twice) = yaml::parse_tracking_duplicates(text).map_err(|why| {
        format!("couldn't get version/kind; json parse error: error converting YAML to JSON: {why}")
    })?;
    let (kind, version) = (value.str_at(&["kind"]), value.str_at(&["apiVersion"]));
    for (name, found) in [("Kind", kind), ("apiVersion", version)] {
        if found.is_empty() {
            return Err(format!("Object '{name}' is missing in '{}'", json::to_string(&value)));
        }
    }
    if kind != form.kind || !form.versions.contains(&version) {
        return Err(format!("no kind {} is registered for version {}", quote(kind), quote(version)));
    }
    let types = of_table(form.table);
    let name = format!("io.k8s.{}", form.table.split(['\t', '\n']).next().unwrap_or_default());
    let ty = types.find(&name).ok_or_else(|| format!("{kind} has no form"))?;
    let decoded = schema::decode(&types, ty, value, true).map_err(|why| why.to_string())?;
    let mut strict = twice;
    strict.extend(decoded.strict);
    if !strict.is_empty() {
        return Err(format!("strict decoding error: {}", strict.join(", ")));
    }
    Ok(decoded.value)
}

/// Nothing wrong, or all that is, in Go's form of several errors.
///
/// # Errors
/// When there is a fault.
pub fn check(faults: &[Fault]) -> Result<(), String> {
    let mut texts: Vec<String> = Vec::new();
    for text in faults.iter().map(ToString::to_string) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        kind: "Thing",
        versions: &["x/v1", "x/v1beta1"],
        table: "x.v1.Thing\n\tkind\ts\n\tapiVersion\ts\n\tparts\t[x.v1.Part\nx.v1.Part\n\tname\ts\n\ttime\tu\n",
    };

    fn refused(text: &str) -> String {
        read(&FORM, text.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_the_form_knows_is_read() {
        let text = "kind: Thing\napiVersion: x/v1beta1\nparts:\n- {name: a, time: 3s}\n";
        let value = read(&FORM, text.as_bytes()).unwrap();
        assert_eq!(value.list_at(&["parts"])[0].str_at(&["time"]), "3s");
        assert!(read(&FORM, br#"{"kind":"Thing","apiVersion":"x/v1"}"#).is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        assert_eq!(refused("{}"), "Object 'Kind' is missing in '{}'");
        assert!(refused("kind: Thing").starts_with("Object 'apiVersion' is missing in "));
        assert_eq!(
            refused("{kind: Other, apiVersion: x/v1}"),
            "no kind \"Other\" is registered for version \"x/v1\""
        );
        assert_eq!(
            refused("{kind: Thing, apiVersion: x/v1, parts: [{nam: a}], other: 1}"),
            "strict decoding error: unknown field \"other\", unknown field \"parts[0].nam\""
        );
        let mistyped = refused("{kind: Thing, apiVersion: x/v1, parts: [{name: [1]}]}");
        assert!(mistyped.contains("cannot unmarshal array into Go struct field"), "{mistyped}");
        assert!(refused("a: [").contains("yaml: "));
        assert!(
            refused("{kind: Thing, kind: Thing, apiVersion: x/v1}").starts_with("strict decoding error: ")
        );
    }

    #[test]
    fn faults_are_told_each_once() {
        let fault = Fault::required("a", "");
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[fault.clone(), fault.clone()]), Err("a: Required value".to_owned()));
        let both = check(&[fault, Fault::required("b", "say it")]).unwrap_err();
        assert_eq!(both, "[a: Required value, b: Required value: say it]");
    }
}
