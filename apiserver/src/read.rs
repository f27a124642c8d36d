//! Reads: one object, or a list at one revision, whole or in pages.

use crate::call::Call;
use crate::query::ListOptions;
use crate::selection::Selection;
use crate::{edit, stored};
use api::{Status, Value, json, tree};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use store::{Entry, Error, ListQuery};

/// How long a read waits for a revision that has not happened yet.
const FUTURE_WAIT: Duration = Duration::from_secs(3);
/// base64 of tokens, as lenient about its last bits as Go's.
const TOKEN: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
/// How many entries are looked at in one go when a limit and a selector are given.
const SELECT_BATCH: usize = 2_000;
/// How many of them between two looks at the time.
const LOOKS: usize = 64;

/// A list, or a page of one.
pub struct List {
    pub entries: Vec<Arc<Entry>>,
    pub revision: u64,
    /// The token for the next page, "" when this is the last.
    pub continue_token: String,
    /// How many objects follow, where that is known.
    pub remaining: Option<usize>,
}

/// GET of one object.
pub async fn get(call: &Call) -> Result<Arc<Entry>, Status> {
    let name = &call.target.name;
    let wanted = call.query.text("resourceVersion");
    let key = call.key(name);
    if !matches!(wanted, "" | "0") {
        let revision = parse_version(wanted).map_err(Status::unclassified)?;
        wait_for(call, revision).await?;
    }
    let found = call.server.store.get(&key).await.map_err(|e| edit::store_failure(&e))?;
    found.ok_or_else(|| call.not_found(name))
}

/// One object of a kind of which nothing is stored. Missing ones are named by the singular, as upstream does.
pub fn unstored(call: &Call) -> Result<Value, Status> {
    let (name, info) = (&call.target.name, call.info());
    let found = call.kind.unstored().into_iter().flatten().find(|obj| Call::name_of(obj) == name);
    found.ok_or_else(|| Status::not_found(&info.group, &info.singular, name))
}

/// `resourceVersion: Invalid value: "x": strconv.ParseUint: …`.
pub fn parse_version(text: &str) -> Result<u64, String> {
    text.parse::<u64>().map_err(|_| {
        let quoted = api::quote(text);
        format!(
            "resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax"
        )
    })
}

/// 504 when the revision does not come in time.
pub async fn wait_for(call: &Call, revision: u64) -> Result<(), Status> {
    match call.server.store.wait_for(&call.space(), revision, FUTURE_WAIT).await {
        Ok(()) => Ok(()),
        Err(Error::FutureRevision { current }) => Err(too_large_version(revision, current)),
        Err(other) => Err(edit::store_failure(&other)),
    }
}

fn too_large_version(wanted: u64, current: u64) -> Status {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    let mut status = Status::new(504, "Timeout", message);
    let cause = api::status::Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    };
    status.details = Some(Box::new(api::status::Details { causes: vec![cause], ..Default::default() }));
    status.retry_after_secs = Some(1);
    status
}

/// Where a list is read.
struct Place {
    at: Option<u64>,
    start: Bound<String>,
}

/// The list that the options and selectors ask for.
pub async fn select(call: &Call, options: &ListOptions) -> Result<List, Status> {
    let selection = Selection::read(call, options)?;
    let place = place(call, options).await?;
    let mut list = List { entries: Vec::new(), revision: 0, continue_token: String::new(), remaining: None };
    let mut pace = call.pace();
    let (mut at, mut start) = (place.at, place.start);
    loop {
        let batch = if options.limit == 0 { 0 } else { batch_size(&selection, options.limit) };
        let query = ListQuery { scope: selection.scope.clone(), start, limit: batch, at };
        let page = call.server.store.list(&call.space(), &query).await;
        let page = page.map_err(|e| list_failure(call, options, e))?;
        list.revision = page.revision;
        at = Some(page.revision);
        let mut last = None;
        for (i, entry) in page.entries.iter().enumerate() {
            if let Some(why) = entry.fault() {
                let key = api::quote(&entry.key.full());
                return Err(Status::internal(format!("unable to transform key {key}: {why}")));
            }
            if i % LOOKS == LOOKS - 1 {
                pace.step().await;
            }
            if !selection.is_everything() && !selection.matches(&*stored::facts(&*call.kind, entry)?) {
                continue;
            }
            list.entries.push(entry.clone());
            if options.limit != 0 && list.entries.len() == options.limit {
                last = Some(i);
                break;
            }
        }
        if let Some(i) = last {
            let left = page.entries.len() - i - 1;
            if left > 0 || page.more {
                finish_page(&mut list, selection.is_everything().then_some(left + page.remaining));
            }
            return Ok(list);
        }
        if !page.more {
            return Ok(list);
        }
        start = Bound::Excluded(page.entries.last().map(|e| e.key.rest.to_string()).unwrap_or_default());
    }
}

fn batch_size(selection: &Selection, limit: usize) -> usize {
    if selection.is_everything() { limit } else { limit.max(SELECT_BATCH) }
}

fn finish_page(list: &mut List, remaining: Option<usize>) {
    if let Some(last) = list.entries.last() {
        let revision = i64::try_from(list.revision).unwrap_or(i64::MAX);
        list.continue_token = encode_token(revision, &format!("{}\0", last.key.rest));
    }
    list.remaining = remaining;
}

async fn place(call: &Call, options: &ListOptions) -> Result<Place, Status> {
    if !options.continue_token.is_empty() {
        return continued(call, options).await;
    }
    let start = Bound::Unbounded;
    let version = options.resource_version.as_str();
    if matches!(version, "" | "0") {
        if version.is_empty() {
            call.server.store.sync(&call.space()).await.map_err(|e| edit::store_failure(&e))?;
        }
        return Ok(Place { at: None, start });
    }
    let revision = parse_version(version)
        .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
    let exact = match options.version_match.as_str() {
        "Exact" => true,
        "NotOlderThan" => false,
        // Without a match, a limit means the exact version.
        _ => options.limit > 0,
    };
    wait_for(call, revision).await?;
    Ok(Place { at: exact.then_some(revision), start })
}

async fn continued(call: &Call, options: &ListOptions) -> Result<Place, Status> {
    if !matches!(options.resource_version.as_str(), "" | "0") {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let token = decode_token(&options.continue_token).map_err(|why| {
        Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
    })?;
    let after = token.start.strip_suffix('\0').map(|key| Bound::Excluded(key.to_owned()));
    let start = after.unwrap_or(Bound::Included(token.start));
    let start = in_namespace(call, start);
    let at = u64::try_from(token.revision).ok();
    if at.is_none() {
        call.server.store.sync(&call.space()).await.map_err(|e| edit::store_failure(&e))?;
    }
    Ok(Place { at, start })
}

/// Tokens name keys below the namespace that is listed.
fn in_namespace(call: &Call, start: Bound<String>) -> Bound<String> {
    let namespace = call.namespace();
    if namespace.is_empty() {
        return start;
    }
    let prefix = format!("{namespace}/");
    let whole = |key: String| if key.starts_with(&prefix) { key } else { format!("{prefix}{key}") };
    match start {
        Bound::Excluded(key) => Bound::Excluded(whole(key)),
        Bound::Included(key) => Bound::Included(whole(key)),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn list_failure(call: &Call, options: &ListOptions, error: Error) -> Status {
    match error {
        Error::Compacted { .. } if !options.continue_token.is_empty() => expired_continue(call, options),
        Error::Compacted { .. } => Status::expired("The resourceVersion for the provided list is too old."),
        Error::FutureRevision { current } => too_large_version(current + 1, current),
        other => edit::store_failure(&other),
    }
}

/// 410 of a page whose revision is gone, with a token that goes on at no particular revision.
fn expired_continue(_call: &Call, options: &ListOptions) -> Status {
    const MESSAGE: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
    let mut status = Status::expired(MESSAGE);
    status.continue_token =
        decode_token(&options.continue_token).ok().map(|token| encode_token(-1, &token.start));
    status
}

struct Token {
    revision: i64,
    start: String,
}

/// `{"v":"meta.k8s.io/v1","rv":REVISION,"start":"KEY"}` in URL-safe base64; revision -1 is none in particular. A start
/// that ends in a zero byte means: after that key.
fn encode_token(revision: i64, start: &str) -> String {
    let token = tree!({"v": "meta.k8s.io/v1", "rv": revision, "start": start});
    TOKEN.encode(json::to_vec(&token))
}

fn decode_token(text: &str) -> Result<Token, String> {
    let bytes = TOKEN
        .decode(text)
        .map_err(|_| format!("illegal base64 data at input byte {}", bad_base64_at(text)))?;
    let token = json::parse(&bytes).map_err(|e| e.to_string())?;
    match token.str_at(&["v"]) {
        "meta.k8s.io/v1" => {}
        _ => return Err("server does not recognize this encoded version".to_owned()),
    }
    let revision = token.i64_at(&["rv"]).unwrap_or(0);
    if revision == 0 {
        return Err("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned());
    }
    let start = token.str_at(&["start"]).to_owned();
    if start.is_empty() {
        return Err("encoded start key empty (version meta.k8s.io/v1)".to_owned());
    }
    // A key may not climb out of its place.
    let rooted = format!("/{start}");
    if rooted.split('/').any(|part| part == "..") {
        return Err(format!("invalid key {}", api::quote(&start)));
    }
    Ok(Token { revision, start })
}

fn bad_base64_at(text: &str) -> usize {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.find(|c| !is_letter(c)).unwrap_or(text.len())
}
