//! Formats of names: `format.dns1123Label().validate(x)`, which is nothing or the list of what is wrong.

use super::Library;
use crate::cel::Cel;
use crate::cel::eval::Outcome;
use crate::names;

pub const LIBRARY: Library = Library {
    functions: &[
        "format.named",
        "format.dns1123Label",
        "format.dns1123Subdomain",
        "format.dns1035Label",
        "format.qualifiedName",
        "format.dns1123LabelPrefix",
        "format.dns1123SubdomainPrefix",
        "format.dns1035LabelPrefix",
        "format.labelValue",
        "format.uri",
        "format.uuid",
        "format.byte",
        "format.date",
        "format.datetime",
    ],
    methods: &["validate"],
    call,
};

fn named(name: &str) -> Option<&'static str> {
    LIBRARY.functions.iter().filter_map(|f| f.strip_prefix("format.")).find(|f| *f == name && *f != "named")
}

fn call<'a>(name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    Some(Ok(match (name, args) {
        ("format.named", [Cel::Str(name)]) => {
            named(name).map_or(Cel::Optional(None), |f| Cel::some(Cel::Format(f)))
        }
        (name, []) => Cel::Format(named(name.strip_prefix("format.")?)?),
        ("validate", [Cel::Format(format), Cel::Str(text)]) => {
            let wrong = faults(format, text);
            match wrong.is_empty() {
                true => Cel::Optional(None),
                false => Cel::some(Cel::list(wrong.into_iter().map(Cel::text).collect())),
            }
        }
        _ => return None,
    }))
}

fn faults(format: &str, text: &str) -> Vec<String> {
    let holds = |good: bool, fault: &str| if good { Vec::new() } else { vec![fault.to_owned()] };
    match format {
        "dns1123Label" => names::is_dns1123_label(text),
        "dns1123Subdomain" => names::is_dns1123_subdomain(text),
        "dns1035Label" => names::is_dns1035_label(text),
        "qualifiedName" => names::is_qualified_name(text),
        "dns1123LabelPrefix" => names::name_is_dns_label(text, true),
        "dns1123SubdomainPrefix" => names::name_is_dns_subdomain(text, true),
        "dns1035LabelPrefix" => names::name_is_dns1035_label(text, true),
        "labelValue" => names::is_label_value(text),
        "uri" => match (super::url::LIBRARY.call)("isURL", &[Cel::text(text)]) {
            Some(Ok(Cel::Bool(true))) => Vec::new(),
            _ => vec![format!("parse {}: invalid URI for request", crate::quote(text))],
        },
        "uuid" => holds(is_uuid(text), "does not match the UUID format"),
        "byte" => {
            use base64::Engine as _;
            holds(base64::engine::general_purpose::STANDARD.decode(text).is_ok(), "invalid base64")
        }
        "date" => holds(crate::time::parse(&format!("{text}T00:00:00Z")).is_ok(), "invalid date"),
        _ => holds(crate::time::parse(text).is_ok(), "invalid datetime"),
    }
}

fn is_uuid(text: &str) -> bool {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()) && matches!(text.len(), 32 | 36)
}
