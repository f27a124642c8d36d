//! One request on a resource, after the permit: everything the edits and reads need to know of it.

use crate::address::{Target, Verb};
use crate::audit::Trail;
use crate::explain::Explanation;
use crate::flow::{Pace, Seat};
use crate::negotiate::Offer;
use crate::query::Query;
use crate::server::Server;
use admission::Asks;
use api::{Later, Status, Value, merge};
use authz::{Attributes, Decision, Permit};
use http::HeaderMap;
use kinds::{Cx, Info, Kind, Verbs};
use parking_lot::Mutex;
use std::sync::Arc;
use store::{Key, Space};

pub struct Call {
    pub server: Arc<Server>,
    pub kind: Arc<dyn Kind>,
    pub target: Target,
    pub permit: Permit,
    /// Held as long as the request is at work.
    pub seat: Seat,
    pub query: Query,
    pub headers: HeaderMap,
    /// The time of the request, RFC 3339 in whole seconds, and as unix seconds.
    pub now: String,
    pub now_secs: i64,
    /// Each becomes a `Warning` header; in the order of their making, without repetitions.
    pub warnings: Mutex<Vec<String>>,
    /// What the audit log learns of this request, where it is audited.
    pub trail: Option<Arc<Trail>>,
    /// What the caller is told of the decisions, where it asked.
    pub explanation: Option<Explanation>,
}

impl Call {
    pub fn info(&self) -> &Info {
        self.kind.info()
    }

    pub fn group(&self) -> &str {
        &self.info().group
    }

    pub fn resource(&self) -> &str {
        &self.info().plural
    }

    pub fn verb(&self) -> Verb {
        self.target.verb.unwrap_or(Verb::Get)
    }

    /// The version that the request came by.
    pub fn version(&self) -> &str {
        &self.target.version
    }

    /// The namespace of the objects it is about, "" for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        if self.info().namespaced { &self.target.namespace } else { "" }
    }

    pub fn space(&self) -> Space {
        self.server.space(&*self.kind)
    }

    /// The key of a named object.
    pub fn key(&self, name: &str) -> Key {
        Key::new(&self.space(), rest(self.info(), self.namespace(), name))
    }

    /// Commands (reviews, bindings, evictions, tokens) are no rows of tables.
    pub fn offer(&self) -> Offer {
        let table = match self.target.subresource.as_str() {
            "" => self.info().verbs.has(Verbs::LIST),
            subresource => matches!(subresource, "status" | "scale"),
        };
        Offer { table, ..if self.kind.stored_as_json() { Offer::CUSTOM } else { Offer::BUILTIN } }
    }

    pub fn not_found(&self, name: &str) -> Status {
        Status::not_found(self.info().storage_group(), self.resource(), name)
    }

    pub fn conflict(&self, name: &str, why: &str) -> Status {
        Status::conflict(self.info().storage_group(), self.resource(), name, why)
    }

    /// What `Kind` may know of this request.
    pub fn cx(&self) -> Cx<'_> {
        let caller = self.permit.caller();
        Cx {
            user: caller.name(),
            uid: caller.uid(),
            groups: caller.groups(),
            extra: caller.extra(),
            now: &self.now,
            subresource: &self.target.subresource,
            version: &self.target.version,
        }
    }

    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock();
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Tells the audit log by keys such as `pod-security.kubernetes.io/enforce-policy`; what was said first stays.
    pub fn annotate(&self, annotations: Vec<(String, String)>) {
        if let Some(trail) = &self.trail {
            annotations.iter().for_each(|(key, value)| trail.annotate(key, value));
        }
    }

    /// Tells the audit log the body of the request.
    pub fn understood(&self, object: &Value) {
        if let Some(trail) = &self.trail {
            trail.request_object(object);
        }
    }

    /// Tells the audit log the body of a patch.
    pub fn tell_patch(&self, body: &[u8]) {
        if let Some(trail) = &self.trail {
            trail.request_patch(body);
        }
    }

    pub fn user_agent(&self) -> &str {
        self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The pace of long work for this request.
    pub fn pace(&self) -> Pace {
        self.server.flow.turns().pace(self.permit.caller().name())
    }

    /// Who owns the fields that this write sets: the manager named, or the first part of the user agent.
    pub fn manager(&self, named: &str) -> String {
        let manager = merge::manager_or_user_agent(named, self.user_agent());
        if manager.is_empty() { "unknown".to_owned() } else { manager }
    }

    /// The object's own name, or what will be generated from.
    pub fn name_of(obj: &Value) -> &str {
        obj.str_at(&["metadata", "name"])
    }
}

/// Plugins ask about who made the request.
impl Asks for Call {
    fn may<'a>(&'a self, asked: &'a Attributes) -> Later<'a, Decision> {
        Box::pin(self.server.authorizer.decide(self.permit.caller(), asked))
    }
}

/// The rest of a key: `NS/NAME` or `NAME`.
pub fn rest(info: &Info, namespace: &str, name: &str) -> String {
    if info.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
}
