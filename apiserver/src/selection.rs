//! Which objects a list or watch is about: label and field selectors, parsed once.

use crate::call::Call;
use crate::query::ListOptions;
use crate::stored::Facts;
use api::{Status, Str, Value, selector};
use store::{Scope, Topic};

/// Parsed selectors and the part of the keys they leave.
pub struct Selection {
    labels: selector::LabelSelector,
    fields: selector::FieldSelector,
    /// The keys to look at.
    pub scope: Scope,
    everything: bool,
}

impl Selection {
    pub fn read(call: &Call, options: &ListOptions) -> Result<Self, Status> {
        let labels = selector::LabelSelector::parse(&options.label_selector).map_err(Status::bad_request)?;
        let fields = selector::FieldSelector::parse(&options.field_selector).map_err(Status::bad_request)?;
        let stored =
            |label: &str, value: &str| stored_field(call, label).map(|stored| (stored, value.into()));
        let fields = fields.transform(stored)?;
        let scope = scope(call, &fields);
        let by_name = matches!(scope, Scope::Key(_));
        let everything = labels.is_empty() && (fields.is_empty() || by_name && fields.terms().len() == 1);
        Ok(Selection { labels, fields, scope, everything })
    }

    /// True when every object of the scope is wanted, so that nothing needs to be looked into.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// What a watch of these is about, where many watch the same kind, each for another.
    pub fn topic(&self, call: &Call) -> Option<Topic> {
        let (field, about) = call.kind.hot_field()?;
        let value = self.fields.exact_value(field).filter(|value| !value.is_empty())?;
        Some(Topic { name: value.into(), about })
    }

    /// Those of the objects that are asked for.
    pub fn pick(&self, call: &Call, objects: Vec<Value>) -> Vec<Value> {
        let is_wanted = |obj: &Value| self.matches(&Facts::of(&*call.kind, obj));
        objects.into_iter().filter(is_wanted).collect()
    }

    pub fn matches(&self, facts: &Facts) -> bool {
        self.labels.matches_with(|key| facts.label(key))
            && self.fields.matches(|field| facts.field(field).unwrap_or_default())
    }
}

/// What is remembered of objects calls a field by which the kind selects; a refusal where it does not.
fn stored_field(call: &Call, label: &str) -> Result<Str, Status> {
    if matches!(label, "metadata.name" | "metadata.namespace") {
        return Ok(label.into());
    }
    call.kind.stored_field(label).map(|stored| stored.as_ref().into()).ok_or_else(|| {
        Status::bad_request(if call.kind.words_fields_itself() || call.kind.stored_as_json() {
            call.kind.unsupported_field(label)
        } else {
            format!(
                "\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            )
        })
    })
}

/// One key when a name is given together with its namespace, else the namespace, else everything.
fn scope(call: &Call, fields: &selector::FieldSelector) -> Scope {
    let namespace = match call.namespace() {
        "" => fields.exact_value("metadata.namespace").unwrap_or_default(),
        namespace => namespace,
    };
    let name = match call.target.name.as_str() {
        "" => fields.exact_value("metadata.name").unwrap_or_default(),
        name => name,
    };
    match (call.info().namespaced, namespace, name) {
        (false, _, "") | (true, "", _) => Scope::All,
        (false, _, name) => Scope::key(name),
        (true, namespace, "") => Scope::prefix(&format!("{namespace}/")),
        (true, namespace, name) => Scope::key(&format!("{namespace}/{name}")),
    }
}
