//! The query of a request: `?watch=true&limit=5`, decoded once, and the option structs that verbs read from it.
//! Bad options are answered as upstream does: unparsable numbers are 400, contradictions 422.

pub use api::uri::unescape;

use api::uri::pairs;
use api::{Fault, Status, Value, names};

/// Decoded pairs in the order given; a name may occur more than once.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `a=b&c=d` with `+` and `%XX`; bad escapes are kept as they came.
    pub fn parse(text: &str) -> Self {
        Query(pairs(text))
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// The first value, "" when the name is missing.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, _)| k == name).map(|(_, v)| v.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// True unless missing, "", "0" or "false": how upstream reads booleans in queries.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_true)
    }

    /// An integer; unparsable text is 400 in Go's words. Empty counts as missing.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => parse_int(text).map(Some),
        }
    }
}

fn is_true(text: &str) -> bool {
    !matches!(text.to_ascii_lowercase().as_str(), "false" | "0")
}

fn parse_int(text: &str) -> Result<i64, Status> {
    let why = match text.parse::<i64>() {
        Ok(n) => return Ok(n),
        Err(e)
            if matches!(
                e.kind(),
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow
            ) =>
        {
            "value out of range"
        }
        Err(_) => "invalid syntax",
    };
    Err(Status::bad_request(format!("strconv.ParseInt: parsing {}: {why}", api::quote(text))))
}

/// Options of every write (`CreateOptions`, `UpdateOptions`, `PatchOptions`, and the dry run of `DeleteOptions`).
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_manager: String,
    pub field_validation: FieldValidation,
    /// Only for apply.
    pub force: bool,
}

/// What becomes of unknown and duplicate fields of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Which options struct a write has; names it in refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsKind {
    Create,
    Update,
    /// `apply`: true for server-side apply, which needs a manager and may force.
    Patch {
        apply: bool,
    },
}

impl OptionsKind {
    fn name(self) -> &'static str {
        match self {
            OptionsKind::Create => "CreateOptions",
            OptionsKind::Update => "UpdateOptions",
            OptionsKind::Patch { .. } => "PatchOptions",
        }
    }
}

impl WriteOptions {
    pub fn read(query: &Query, kind: OptionsKind) -> Result<Self, Status> {
        let mut faults = Vec::new();
        let manager = query.text("fieldManager");
        if let OptionsKind::Patch { apply } = kind {
            if !apply && query.has("force") {
                faults.push(Fault::forbidden("force", "may not be specified for non-apply patch"));
            }
            if apply && manager.is_empty() {
                faults.push(Fault::required("fieldManager", "is required for apply patch"));
            }
        }
        faults.extend(names::field_manager_faults(manager, "fieldManager"));
        let dry_run = dry_run(query, &mut faults);
        let text = query.text("fieldValidation");
        let field_validation = match text {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            _ => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                faults.push(Fault::not_supported("fieldValidation", text, &supported));
                FieldValidation::Ignore
            }
        };
        if !faults.is_empty() {
            return Err(Status::invalid("meta.k8s.io", kind.name(), "", &faults));
        }
        Ok(WriteOptions {
            dry_run,
            field_manager: manager.to_owned(),
            field_validation,
            force: query.flag("force"),
        })
    }
}

/// `dryRun=All`, once or more; anything else is a fault.
pub fn dry_run(query: &Query, faults: &mut Vec<Fault>) -> bool {
    let values = query.all("dryRun");
    if values.iter().any(|v| *v != "All") {
        faults.push(dry_run_fault(&values));
        return false;
    }
    !values.is_empty()
}

/// The fault of unsupported dry-run values.
pub fn dry_run_fault(values: &[&str]) -> Fault {
    let list = Value::List(values.iter().map(|v| Value::from(*v)).collect());
    Fault::not_supported("dryRun", list, &["All"])
}

/// Options of lists and watches.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    pub watch: bool,
    pub allow_bookmarks: bool,
    pub resource_version: String,
    pub version_match: String,
    pub timeout_secs: Option<u64>,
    pub limit: usize,
    pub continue_token: String,
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads and checks; `watch` is what the path and the query together ask for.
    pub fn read(query: &Query, watch: bool) -> Result<Self, Status> {
        let timeout = query.integer("timeoutSeconds")?;
        let limit = query.integer("limit")?.unwrap_or(0);
        let options = ListOptions {
            label_selector: query.text("labelSelector").to_owned(),
            field_selector: query.text("fieldSelector").to_owned(),
            watch,
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            resource_version: query.text("resourceVersion").to_owned(),
            version_match: query.text("resourceVersionMatch").to_owned(),
            timeout_secs: timeout.and_then(|t| u64::try_from(t).ok()).filter(|t| *t > 0),
            limit: usize::try_from(limit).unwrap_or(0),
            continue_token: query.text("continue").to_owned(),
            send_initial_events: query.get("sendInitialEvents").map(is_true),
        };
        let faults = options.faults();
        if faults.is_empty() {
            Ok(options)
        } else {
            Err(Status::invalid("meta.k8s.io", "ListOptions", "", &faults))
        }
    }

    fn faults(&self) -> Vec<Fault> {
        if self.watch { self.watch_faults() } else { self.list_faults() }
    }

    fn watch_faults(&self) -> Vec<Fault> {
        const FIELD: &str = "resourceVersionMatch";
        let mut faults = Vec::new();
        let (given, is_set) = (self.version_match.as_str(), !self.version_match.is_empty());
        // Watches from no version in particular begin with the initial events, as if asked to.
        let implied = !is_set
            && self.send_initial_events.is_none()
            && matches!(self.resource_version.as_str(), "" | "0");
        if self.send_initial_events.is_some() && given != "NotOlderThan" {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            faults.push(Fault::forbidden(FIELD, detail));
        }
        if is_set && self.send_initial_events.is_none() {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            faults.push(Fault::forbidden(FIELD, detail));
        }
        if is_set && given != "NotOlderThan" {
            faults.push(Fault::not_supported(FIELD, given, &["NotOlderThan"]));
        }
        if (is_set || implied) && !self.continue_token.is_empty() {
            let detail = "resourceVersionMatch is forbidden when continue is provided";
            faults.push(Fault::forbidden(FIELD, detail));
        }
        faults
    }

    fn list_faults(&self) -> Vec<Fault> {
        const FIELD: &str = "resourceVersionMatch";
        let mut faults = Vec::new();
        if !self.version_match.is_empty() {
            if self.resource_version.is_empty() {
                let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                faults.push(Fault::forbidden(FIELD, detail));
            }
            if !self.continue_token.is_empty() {
                faults.push(Fault::forbidden(
                    FIELD,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if !matches!(self.version_match.as_str(), "Exact" | "NotOlderThan") {
                let supported = ["Exact", "NotOlderThan", ""];
                faults.push(Fault::not_supported(FIELD, self.version_match.as_str(), &supported));
            }
            if self.version_match == "Exact" && self.resource_version == "0" {
                let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                faults.push(Fault::forbidden(FIELD, detail));
            }
        }
        if self.send_initial_events.is_some() {
            faults.push(Fault::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        let query = Query::parse("labelSelector=a%3Db,c+in+(d)&x=%zz&dryRun=All&flag");
        assert_eq!(query.text("labelSelector"), "a=b,c in (d)");
        assert_eq!(query.text("x"), "%zz");
        assert!(query.flag("flag"));
    }

    #[test]
    fn watches_without_a_version_ask_for_initial_events() {
        let faults = |text: &str| ListOptions::read(&Query::parse(text), true).err().map(|s| s.message);
        assert_eq!(faults("continue=x&resourceVersion=5"), None);
        let refused = faults("continue=x").unwrap();
        assert!(
            refused.ends_with("resourceVersionMatch is forbidden when continue is provided"),
            "{refused}"
        );
        assert!(faults("sendInitialEvents=true").unwrap().contains("requires setting resourceVersionMatch"));
    }

    #[test]
    fn numbers_that_are_none_are_bad_requests() {
        let status = Query::parse("limit=x").integer("limit").unwrap_err();
        assert_eq!(status.message, "strconv.ParseInt: parsing \"x\": invalid syntax");
    }
}
