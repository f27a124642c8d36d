//! `authorizer`: expressions that ask whether the caller may do something else.
//!
//! `authorizer.group('').resource('pods').namespace('a').check('create').allowed()` builds a question step by step.
//! An answer may have to be waited for, but evaluation does not wait: it stops at a question without an answer, and
//! begins again once the answer is there.

use super::eval::Outcome;
use super::{Cel, CelError};
use crate::{Later, names};
use std::sync::Arc;

pub const METHODS: &[&str] = &[
    "path",
    "group",
    "serviceAccount",
    "resource",
    "subresource",
    "namespace",
    "name",
    "fieldSelector",
    "labelSelector",
    "check",
    "allowed",
    "reason",
    "errored",
    "error",
];

/// A question: a path, or a resource when `path` is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Namespace and name of the service account that is asked about, instead of the caller.
    pub service_account: Option<(String, String)>,
    pub path: String,
    pub verb: String,
    pub group: String,
    /// Empty for any.
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: Option<String>,
    pub label_selector: Option<String>,
}

/// The answer to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

/// Answers questions about the caller of a request.
pub trait Authorizer: Send + Sync {
    fn check<'a>(&'a self, check: &'a Check) -> Later<'a, Decision>;
}

/// Allows nothing, for places where no expression asks.
impl Authorizer for () {
    fn check<'a>(&'a self, _: &'a Check) -> Later<'a, Decision> {
        Box::pin(std::future::ready(Decision::default()))
    }
}

/// A question on its way.
#[derive(Clone, Debug)]
pub enum Asking {
    /// The start; with what `requestResource` stands for.
    Start {
        check: Check,
        request: Option<Box<Check>>,
    },
    Path(Check),
    Group(Check),
    Resource(Check),
    Decided(Decision),
}

fn next<'a>(asking: Asking) -> Option<Outcome<'a>> {
    Some(Ok(Cel::Asking(Arc::new(asking))))
}

impl<'a> Cel<'a> {
    /// The variable `authorizer`.
    pub fn authorizer(request: Option<Check>) -> Self {
        Cel::Asking(Arc::new(Asking::Start { check: Check::default(), request: request.map(Box::new) }))
    }

    /// `authorizer.requestResource`.
    pub(super) fn request_resource(&self) -> Outcome<'a> {
        match self {
            Cel::Asking(asking) => match &**asking {
                Asking::Start { request: Some(check), .. } => {
                    Ok(Cel::Asking(Arc::new(Asking::Resource((**check).clone()))))
                }
                _ => Err(CelError::new("no such key: requestResource")),
            },
            _ => Err(CelError::overload()),
        }
    }
}

impl Asking {
    pub fn type_name(&self) -> &'static str {
        match self {
            Asking::Start { .. } => "kubernetes.authorization.Authorizer",
            Asking::Path(_) => "kubernetes.authorization.PathCheck",
            Asking::Group(_) => "kubernetes.authorization.GroupCheck",
            Asking::Resource(_) => "kubernetes.authorization.ResourceCheck",
            Asking::Decided(_) => "kubernetes.authorization.Decision",
        }
    }

    /// A method; `None` when this step has no such method.
    pub(super) fn call<'a>(
        &self,
        name: &str,
        args: &[Cel<'a>],
        answers: &[(Check, Decision)],
    ) -> Option<Outcome<'a>> {
        match self {
            Asking::Start { check, request } => start(check, request.as_deref(), name, args),
            Asking::Group(check) => match (name, args) {
                ("resource", [Cel::Str(resource)]) if resource.trim().is_empty() => {
                    Some(Err(CelError::new("resource must not be empty")))
                }
                ("resource", [Cel::Str(resource)]) => {
                    next(Asking::Resource(Check { resource: resource.to_string(), ..check.clone() }))
                }
                _ => None,
            },
            Asking::Path(check) => match (name, args) {
                ("check", [Cel::Str(verb)]) => Some(ask(check, verb, answers)),
                _ => None,
            },
            Asking::Resource(check) => {
                let [Cel::Str(text)] = args else { return None };
                let mut check = check.clone();
                let text = text.to_string();
                match name {
                    "check" => return Some(ask(&check, &text, answers)),
                    "subresource" => check.subresource = text,
                    "namespace" => check.namespace = text,
                    "name" => check.name = text,
                    "fieldSelector" => check.field_selector = Some(text),
                    "labelSelector" => check.label_selector = Some(text),
                    _ => return None,
                }
                next(Asking::Resource(check))
            }
            Asking::Decided(decision) => Some(Ok(match (name, args) {
                ("allowed", []) => Cel::Bool(decision.allowed),
                ("reason", []) => Cel::text(&decision.reason),
                ("errored", []) => Cel::Bool(decision.error.is_some()),
                ("error", []) => Cel::text(decision.error.clone().unwrap_or_default()),
                _ => return None,
            })),
        }
    }
}

fn start<'a>(check: &Check, request: Option<&Check>, name: &str, args: &[Cel<'a>]) -> Option<Outcome<'a>> {
    match (name, args) {
        ("path", [Cel::Str(path)]) if path.trim().is_empty() => {
            Some(Err(CelError::new("path must not be empty")))
        }
        ("path", [Cel::Str(path)]) => next(Asking::Path(Check { path: path.to_string(), ..check.clone() })),
        ("group", [Cel::Str(group)]) => {
            next(Asking::Group(Check { group: group.to_string(), ..check.clone() }))
        }
        ("serviceAccount", [Cel::Str(namespace), Cel::Str(name)]) => {
            if !names::name_is_dns_subdomain(name, false).is_empty() {
                return Some(Err(CelError::new("Invalid service account name")));
            }
            if !names::name_is_dns_label(namespace, false).is_empty() {
                return Some(Err(CelError::new("Invalid service account namespace")));
            }
            let service_account = Some((namespace.to_string(), name.to_string()));
            let request =
                request.map(|r| Box::new(Check { service_account: service_account.clone(), ..r.clone() }));
            next(Asking::Start { check: Check { service_account, ..check.clone() }, request })
        }
        _ => None,
    }
}

fn ask<'a>(check: &Check, verb: &str, answers: &[(Check, Decision)]) -> Outcome<'a> {
    let check = Check { verb: verb.to_owned(), ..check.clone() };
    match answers.iter().find(|(asked, _)| *asked == check) {
        Some((_, decision)) => Ok(Cel::Asking(Arc::new(Asking::Decided(decision.clone())))),
        None => Err(CelError::Unanswered(Box::new(check))),
    }
}
