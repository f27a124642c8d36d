//! From a target to its kind: what is not served, and which methods a path does not have.

use crate::address::{Target, Verb};
use crate::server::Server;
use api::Status;
use http::Method;
use kinds::{Form, Info, Kind, Verbs};
use std::sync::Arc;

pub enum Found {
    Kind(Arc<dyn Kind>),
    /// 404 or 405 as a Status.
    Refused(Status),
    /// Not even a group: the bare `404 page not found`.
    Nothing,
}

/// The kind of a target, when its path has the method.
pub fn find(server: &Server, target: &Target, method: &Method) -> Found {
    let registry = server.registry();
    let builtin_group =
        registry.kinds().any(|k| k.info().group == target.group.as_str() && !k.stored_as_json());
    let unknown = || if builtin_group { Found::Refused(Status::unknown_resource()) } else { Found::Nothing };
    let Some(kind) = registry.find(&target.group, &target.resource) else { return unknown() };
    let kind = kind.at(&target.version).unwrap_or_else(|| kind.clone());
    let info = kind.info();
    if !info.versions.iter().any(|v| v == target.version.as_str()) {
        return unknown();
    }
    if target.in_namespace && !info.namespaced {
        return unknown();
    }
    let across = info.namespaced && !target.in_namespace;
    if across && !target.name.is_empty() {
        return unknown();
    }
    let allowed = match target.subresource.as_str() {
        "" => allowed(info, target, across),
        name => match info.find_subresource(name) {
            None if kind.stored_as_json() => {
                return Found::Refused(Status::not_found(&info.group, &info.plural, &target.name));
            }
            None => return unknown(),
            Some(sub) => match target.verb {
                Some(verb) => sub.verbs.has(bit(verb)),
                None => name == "proxy" && matches!(*method, Method::HEAD | Method::OPTIONS),
            },
        },
    };
    let streams = info.find_subresource(&target.subresource).is_some_and(|s| s.form == Form::Stream);
    if !target.tail.is_empty() && !streams && !kind.stored_as_json() {
        return unknown();
    }
    if !target.subresource.is_empty() && target.watch_path {
        return unknown();
    }
    match allowed && (!target.watch_path || target.verb == Some(Verb::Watch)) {
        true => Found::Kind(kind.clone()),
        false if !target.name.is_empty() && info.verbs == Verbs::CREATE => unknown(),
        false => Found::Refused(Status::method_not_allowed()),
    }
}

fn allowed(info: &Info, target: &Target, across: bool) -> bool {
    let Some(verb) = target.verb else { return false };
    let named = !target.name.is_empty();
    let fits = match verb {
        Verb::Get | Verb::Update | Verb::Patch | Verb::Delete => named,
        Verb::Create | Verb::DeleteCollection => !named && !across,
        Verb::List => !named,
        Verb::Watch => true,
    };
    fits && info.verbs.has(bit(verb))
}

fn bit(verb: Verb) -> Verbs {
    match verb {
        Verb::Get => Verbs::GET,
        Verb::List => Verbs::LIST,
        Verb::Watch => Verbs::WATCH,
        Verb::Create => Verbs::CREATE,
        Verb::Update => Verbs::UPDATE,
        Verb::Patch => Verbs::PATCH,
        Verb::Delete => Verbs::DELETE,
        Verb::DeleteCollection => Verbs::DELETE_COLLECTION,
    }
}
