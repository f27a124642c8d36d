//! The corridor: the way of a request from the door to its answer. This is the file to open first.

use crate::address::{Address, Target, Verb, address};
use crate::answer::{self, Answer, gzip};
use crate::audit::{self, Trail};
use crate::call::Call;
use crate::door::{Connection, HeaderView, RequestBody};
use crate::edit::{self, collection, create, delete, patch, replace, scale};
use crate::explain::Explanation;
use crate::negotiate::{Form, Offer, negotiate, routed};
use crate::query::{ListOptions, Query};
use crate::selection::Selection;
use crate::server::Server;
use crate::{body, command, deadline, documents, flow, impersonate, read, route, stream, usage, watch};
use api::selector::{FieldSelector, LabelSelector};
use api::{Status, names};
use authn::{Caller, Impersonated, Peer};
use authz::Attributes;
use futures::FutureExt;
use http::{HeaderValue, Request, header, request::Parts};
use kinds::Form as SubresourceForm;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// One request, from the door to its answer.
pub async fn serve(server: Arc<Server>, request: Request<RequestBody>) -> Answer {
    let timer = server.metrics.start(request.method());
    let version = request.version();
    let (mut parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let place = address(parts.method.as_str(), parts.uri.path(), &query);
    let is_gzip = gzip::is_accepted(&parts.headers);
    let audit_id = audit::id(&parts.headers, &server.ids);
    let audited = server.audit.as_ref().map(|audit| Trail::begin(audit, &mut parts, &audit_id));
    let explanation = Explanation::begin(&mut parts);
    let mut marks = flow::Marks::default();
    let walked = walk(&server, &parts, body, &query, &place, &mut marks);
    let mut unfinished = audit::Unfinished::new(audited.clone());
    let patience = server.limits.patience(&place, &query).unwrap_or(Duration::MAX);
    let walked = match timeout(patience, AssertUnwindSafe(walked).catch_unwind()).await {
        Ok(Ok(walked)) => walked,
        Ok(Err(panic)) => unfinished.panicked(panic).await,
        Err(_) => Ok(deadline::timed_out_answer()),
    };
    unfinished.end();
    let mut answer = match walked {
        Ok(answer) => answer,
        Err(refused) => {
            let form = negotiate(&parts.headers, &query, Offer::PLAIN).ok();
            answer::with_warnings(answer::refusal(&refused.status, form), &refused.warnings)
        }
    };
    if let Some(trail) = audited {
        answer = trail.answered(answer).await;
    }
    let pace = || server.flow.turns().pace_of(marks.caller);
    if is_gzip {
        answer = gzip::compress(answer, pace()).await;
    }
    answer = answer::long::seated(answer::long::send(answer, pace));
    server.limits.spread(version, &parts, &server.ids, &mut answer);
    server.metrics.finish(timer, &place, parts.method.as_str(), answer.status().as_u16());
    let headers = answer.headers_mut();
    marks.write(headers);
    if let Some(explanation) = explanation {
        explanation.write(headers);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    if let Ok(id) = HeaderValue::from_str(&audit_id) {
        headers.insert("audit-id", id);
    }
    answer
}

/// A refusal, with what was warned of before.
pub struct Refused {
    pub status: Status,
    pub warnings: Vec<String>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Refused { status, warnings: Vec::new() }
    }
}

/// Who, may they, what: rooms 2 to 6, then the room that the address leads to.
async fn walk(
    server: &Arc<Server>,
    parts: &Parts,
    body: RequestBody,
    query: &Query,
    place: &Address,
    marks: &mut flow::Marks,
) -> Result<Answer, Refused> {
    server.limits.patience(place, query)?;
    let trail = Trail::of(parts);
    let caller = caller(server, parts).await;
    let attributes = attributes(place, parts, query);
    if let Some(trail) = trail {
        trail.received(caller.as_ref().ok(), &attributes).await?;
    }
    let caller = caller?;
    let warnings = caller.warnings().to_vec();
    let other = impersonate::act(server, &caller, &parts.headers, &attributes).await?;
    let caller = acting(trail, caller, other);
    let seat = match server.flow.enter(server, &caller, &attributes, place, query, marks).await {
        Ok(seat) => seat,
        Err(many) => return Ok(flow::too_many(many)),
    };
    if let Some(explanation) = Explanation::of(parts) {
        explanation.authenticated(server, parts).await;
        explanation.authorized(server, &caller, &attributes).await;
    }
    let permit = match trail {
        None => server.authorizer.authorize(caller, attributes).await,
        Some(trail) => trail.authorize(&server.authorizer, caller, attributes).await,
    };
    let permit = match permit {
        Ok(permit) => permit,
        Err(status) if status.code == 500 => return Ok(undecided(parts, &status)),
        Err(status) => return Err(Refused { status, warnings }),
    };
    let Address::Resource(target) = place else {
        return documents::serve(server, parts, query, &permit).await;
    };
    let kind = match route::find(server, target, &parts.method) {
        route::Found::Kind(kind) => kind,
        route::Found::Refused(status) => return Err(status.into()),
        route::Found::Nothing => return Ok(documents::not_found()),
    };
    let now = server.clock.now();
    let call = Call {
        server: server.clone(),
        kind,
        target: target.clone(),
        permit,
        seat,
        query: query.clone(),
        headers: impersonate::without_credentials(server, &parts.headers),
        now: now.rfc3339(),
        now_secs: now.secs,
        warnings: parking_lot::Mutex::new(warnings),
        trail: trail.cloned(),
        explanation: Explanation::of(parts).cloned(),
    };
    resource(call, body, parts).await
}

async fn caller(server: &Server, parts: &Parts) -> Result<Caller, Status> {
    let stranger = Peer::default();
    let connection = parts.extensions.get::<Arc<Connection>>();
    let peer = connection.map_or(&stranger, |c| c.peer());
    let headers = HeaderView(&parts.headers);
    server.authenticator.authenticate(peer, &headers, parts.uri.path()).await.map_err(Status::from)
}

/// The other that the caller acts as, if any; the audit log learns of both.
fn acting(trail: Option<&Arc<Trail>>, caller: Caller, other: Option<Impersonated>) -> Caller {
    if let Some(trail) = trail {
        caller.annotations().iter().for_each(|(key, value)| trail.annotate(key, value));
    }
    let Some(other) = other else { return caller };
    if let Some(trail) = trail {
        trail.impersonated(&other.caller, other.constraint);
    }
    other.caller
}

/// What authorization is asked.
fn attributes(place: &Address, parts: &Parts, query: &Query) -> Attributes {
    match place {
        Address::Other => Attributes::path(&parts.method.as_str().to_ascii_lowercase(), parts.uri.path()),
        Address::Resource(target) => {
            let verb = asked_verb(target, parts.method.as_str(), query);
            let mut attributes = Attributes::resource(verb, &target.group, &target.version, &target.resource);
            attributes.subresource = target.subresource.as_str().into();
            attributes.namespace = target.namespace.as_str().into();
            attributes.name = target.name.as_str().into();
            attributes.path = parts.uri.path().into();
            let selects = matches!(target.verb, Some(Verb::List | Verb::Watch | Verb::DeleteCollection));
            if selects && !target.watch_path {
                limit(&mut attributes, query);
            }
            attributes
        }
    }
}

/// The verb that authorization is asked about; deprecated watch paths are watches whatever the method.
fn asked_verb(target: &Target, method: &str, query: &Query) -> &'static str {
    match (target.verb, method) {
        _ if target.watch_path => "watch",
        (Some(verb), _) => verb.as_str(),
        (None, "HEAD") if !target.name.is_empty() => "get",
        (None, "HEAD") if query.flag("watch") => "watch",
        (None, "HEAD") => "list",
        (None, _) => "",
    }
}

/// The 500 of an authority that failed while no other allows: plain text, as upstream's filter answers it.
fn undecided(parts: &Parts, status: &Status) -> Answer {
    let why = status.message.strip_prefix("Internal error occurred: ").unwrap_or(&status.message);
    let text = format!("Internal Server Error: {}: {why}\n", api::quote(&parts.uri.to_string()));
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut answer = answer::bytes_of(500, "text/plain; charset=utf-8", text.into());
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Tells what the selectors limit a request to. Lists and watches of one name count as requests for it.
fn limit(attributes: &mut Attributes, query: &Query) {
    attributes.fields = FieldSelector::parse(query.text("fieldSelector")).unwrap_or_default();
    attributes.labels = LabelSelector::parse(query.text("labelSelector")).unwrap_or_default();
    let name = attributes
        .fields
        .exact_value("metadata.name")
        .filter(|name| names::is_path_segment_name(name).is_empty());
    if let Some(name) = name.filter(|_| attributes.name.is_empty() && attributes.verb != *"deletecollection")
    {
        attributes.name = name.into();
    }
}

/// A request for a resource, after the permit.
async fn resource(call: Call, incoming: RequestBody, parts: &Parts) -> Result<Answer, Refused> {
    let subresource = call.info().find_subresource(&call.target.subresource).map(|s| s.form.clone());
    let streams = subresource == Some(SubresourceForm::Stream);
    let lists = matches!(call.verb(), Verb::List | Verb::Watch);
    if !streams && !call.kind.stored_as_json() {
        routed(&call.headers, lists)?;
    }
    if let Some(text) = call.kind.deprecation(call.version()) {
        call.annotate(audit::deprecated(text));
        call.warn(text);
    }
    if streams {
        return stream::serve(call, incoming, parts).await;
    }
    let form = negotiate(&call.headers, &call.query, call.offer())
        .map_err(|status| Refused { status, warnings: call.warnings.lock().clone() })?;
    if lists {
        let warnings = call.warnings.lock().clone();
        return match list_or_watch(call, form).await {
            Ok(answer) => Ok(answer::with_warnings(answer, &warnings)),
            Err(status) => Err(Refused { status, warnings }),
        };
    }
    let outcome = match body::read(incoming).await {
        Ok(bytes) => match subresource {
            Some(SubresourceForm::Scale(paths)) => scaled(&call, form, &paths, &bytes).await,
            Some(SubresourceForm::Command) => command::subresource(&call, form, &bytes).await,
            _ if command::is_command(&call) => command::create(&call, form, &bytes).await,
            _ => object(&call, form, &bytes).await,
        },
        Err(status) => Err(status),
    };
    let warnings = std::mem::take(&mut *call.warnings.lock());
    match outcome {
        Ok(answer) => Ok(answer::with_warnings(answer, &warnings)),
        Err(status) => Err(Refused { status, warnings }),
    }
}

async fn list_or_watch(call: Call, form: Form) -> Result<Answer, Status> {
    let watching = call.verb() == Verb::Watch;
    let options = ListOptions::read(&call.query, watching)?;
    if watching {
        watch::check_media(form)?;
        return watch::watch(call, form, options).await;
    }
    if let Some(mut objects) = call.kind.unstored() {
        if call.group() == kinds::metrics::GROUP {
            objects = usage::objects(&call).await;
        }
        let objects = Selection::read(&call, &options)?.pick(&call, objects);
        return answer::list::unstored(&call, form, objects).await;
    }
    let list = read::select(&call, &options).await?;
    answer::list::list(call, form, list).await
}

async fn scaled(
    call: &Call,
    form: Form,
    paths: &kinds::ScalePaths,
    bytes: &bytes::Bytes,
) -> Result<Answer, Status> {
    let value = match call.verb() {
        Verb::Get => scale::get(call, paths).await?,
        _ => scale::write(call, paths, bytes).await?,
    };
    answer::tree(form, 200, &value)
}

/// The verbs on objects and their lenses.
async fn object(call: &Call, form: Form, bytes: &bytes::Bytes) -> Result<Answer, Status> {
    match call.verb() {
        Verb::Get if call.group() == kinds::metrics::GROUP && call.kind.unstored().is_some() => {
            answer::object(call, form, 200, usage::object(call).await?)
        }
        Verb::Get if call.kind.unstored().is_some() => answer::object(call, form, 200, read::unstored(call)?),
        Verb::Get => answer::entry(call, form, &*read::get(call).await?),
        Verb::Create => answer::written(call, form, 201, create::create(call, bytes).await?),
        Verb::Update => changed(call, form, replace::replace(call, bytes).await?),
        Verb::Patch => changed(call, form, patch::patch(call, bytes).await?),
        Verb::Delete => deleted(call, form, delete::delete(call, bytes).await?),
        Verb::DeleteCollection => {
            let deleted = collection::delete_collection(call, bytes).await?;
            answer::list::deleted(call, form, deleted.revision, deleted.objects).await
        }
        Verb::List | Verb::Watch => Err(Status::internal("a list went the way of objects")),
    }
}

/// 201 when the write made the object, else 200.
fn changed(call: &Call, form: Form, written: edit::Written) -> Result<Answer, Status> {
    let code = if written.created { 201 } else { 200 };
    answer::written(call, form, code, written)
}

/// Deletes answer with the object where the kind says so, and while it is still there.
fn deleted(call: &Call, form: Form, deleted: edit::delete::Deleted) -> Result<Answer, Status> {
    let details = edit::delete::details(call, &deleted.written.object);
    if deleted.gone && !call.info().delete_returns_object {
        return answer::tree(
            Form { shape: crate::negotiate::Shape::Whole, ..form },
            200,
            &api::status::success(Some(details)),
        );
    }
    let code = if !deleted.gone && deleted.options.orphan_dependents == Some(false) { 202 } else { 200 };
    answer::object(call, form, code, deleted.written.object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, uri: &str) -> Attributes {
        let (parts, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        attributes(&address(method, parts.uri.path(), &query), &parts, &query)
    }

    #[test]
    fn one_name_selected_is_asked_for_by_name_unless_all_are_deleted() {
        let pods = "/api/v1/namespaces/a/pods";
        let one = "fieldSelector=metadata.name=p";
        assert_eq!(asked("GET", &format!("{pods}?{one}")).name, *"p");
        assert_eq!(asked("GET", &format!("{pods}?watch=1&{one}")).name, *"p");
        let all = asked("DELETE", &format!("{pods}?{one}"));
        assert_eq!((all.verb.as_str(), all.name.as_str()), ("deletecollection", ""));
        assert_eq!(all.fields.exact_value("metadata.name"), Some("p"));
    }

    #[test]
    fn deprecated_watch_paths_are_watches_whatever_the_method() {
        for method in ["GET", "POST", "DELETE"] {
            let watch = asked(method, "/api/v1/watch/namespaces/a/pods?fieldSelector=metadata.name=p");
            assert_eq!((watch.verb.as_str(), watch.name.as_str()), ("watch", ""), "{method}");
            assert!(watch.fields.is_empty());
        }
    }

    #[test]
    fn other_methods_are_asked_as_upstream_asks() {
        assert_eq!(asked("HEAD", "/api/v1/namespaces/a/pods").verb, *"list");
        assert_eq!(asked("HEAD", "/api/v1/namespaces/a/pods/p").verb, *"get");
        assert_eq!(asked("OPTIONS", "/api/v1/namespaces/a/pods").verb, *"");
        assert_eq!(asked("OPTIONS", "/healthz").verb, *"options");
    }
}
