//! Create: a new object, by POST, or by PUT or apply to a name that does not exist yet.

use super::{
    Refused, Written, admission_check, admit, commit, escalation, refuse, settle_namespace, tidy, warn,
};
use crate::call::{Call, rest};
use crate::query::{OptionsKind, WriteOptions};
use crate::{body, claim, fields, metadata, stored};
use admission::{Charges, Operation};
use api::{Fault, Status, Value};
use bytes::Bytes;
use store::{Key, Txn};

/// How often a generated name is drawn again when it is taken.
const MAX_NAME_DRAWS: usize = 8;
/// How often what the object needs is claimed again when somebody else was faster.
const MAX_CLAIMS: usize = 512;
const MAX_GENERATE_NAME_LEN: usize = 58;

/// POST to a collection.
pub async fn create(call: &Call, body: &Bytes) -> Result<Written, Status> {
    let options = WriteOptions::read(&call.query, OptionsKind::Create)?;
    let mut obj = body::object(call, body, options.field_validation)?;
    if !call.target.name.is_empty() {
        check_url_name(&obj, &call.target.name)?;
    }
    if let Some(text) = metadata::dedup_owner_references(&mut obj) {
        call.warn(text);
    }
    settle_namespace(call, &mut obj)?;
    metadata::wipe_system_fields(&mut obj);
    let manager = call.manager(&options.field_manager);
    fields::created(call, &mut obj, &manager)?;
    new_object(call, obj, options.dry_run).await
}

fn check_url_name(obj: &Value, name: &str) -> Result<(), Status> {
    let given = Call::name_of(obj);
    if given.is_empty() || given == name {
        return Ok(());
    }
    let message = format!("the name of the object ({given}) does not match the name on the URL ({name})");
    Err(Status::bad_request(message))
}

/// Creates an object of the request's version, whose fields are owned already: admission, then the server's part,
/// then all faults at once, then the commit.
pub async fn new_object(call: &Call, mut obj: Value, dry_run: bool) -> Result<Written, Status> {
    let given_version = obj.str_at(&["metadata", "resourceVersion"]).parse::<u64>().unwrap_or(0);
    if let Some(why) = call.kind.creation_refusal() {
        return Err(Status::forbidden(call.group(), call.resource(), Call::name_of(&obj), why));
    }
    stored::convert(&*call.kind, &mut obj, call.version(), &call.info().storage_version.clone())?;
    let name = Call::name_of(&obj).to_owned();
    admit(call, Operation::Create, &name, Some(&mut obj), None, dry_run).await?;
    escalation::check(call, &obj, None).await?;
    metadata::fill_created(&mut obj, &call.server.ids.uuid(), &call.now);
    call.kind.prepare_create(&mut obj, &call.cx());
    if call.info().generation {
        obj.set(&["metadata", "generation"], 1);
    }
    tidy(call, &mut obj)?;
    let generated = name.is_empty() && !obj.str_at(&["metadata", "generateName"]).is_empty();
    let (mut draws, mut claims) = (1, 1);
    if generated {
        draw_name(call, &mut obj);
    }
    loop {
        match attempt(call, &mut obj, given_version, dry_run).await {
            Ok(written) => return Ok(written),
            Err(Refused::Failed(status)) => return Err(status),
            Err(Refused::Conflict) if generated && draws < MAX_NAME_DRAWS => {
                draws += 1;
                draw_name(call, &mut obj);
            }
            Err(Refused::Taken) if claims < MAX_CLAIMS => {
                claims += 1;
                super::pause(claims).await;
            }
            Err(Refused::Conflict) => break,
            Err(Refused::Taken) => {
                return Err(Status::internal("too many others claimed the same at the same time"));
            }
        }
    }
    Err(taken(call, &obj, generated).await)
}

async fn taken(call: &Call, obj: &Value, generated: bool) -> Status {
    let name = Call::name_of(obj);
    let mut status = Status::already_exists(call.info().storage_group(), call.resource(), name);
    if let Ok(Some(entry)) = call.server.store.get(&call.key(name)).await
        && stored::decode(&*call.kind, &entry).is_ok_and(|obj| metadata::is_deleting(&obj))
    {
        status.message = format!("object is being deleted: {}", status.message);
    }
    if generated {
        status.message =
            format!("{}, the server was not able to generate a unique name for the object", status.message);
    }
    status
}

fn draw_name(call: &Call, obj: &mut Value) {
    let base = obj.str_at(&["metadata", "generateName"]);
    let mut end = base.len().min(MAX_GENERATE_NAME_LEN);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let name = format!("{}{}", &base[..end], call.server.ids.name_suffix());
    obj.set(&["metadata", "name"], name);
}

async fn attempt(
    call: &Call,
    obj: &mut Value,
    given_version: u64,
    dry_run: bool,
) -> Result<Written, Refused> {
    let name = Call::name_of(obj).to_owned();
    // What is filled in for a claim that fails must not be there the next time.
    let mut draft;
    let obj = if claim::is_needed(call, obj) {
        draft = obj.clone();
        &mut draft
    } else {
        obj
    };
    let mut claims = claim::make(call, obj, None, dry_run).await.map_err(Refused::Failed)?;
    let charges = check(call, obj, &name, dry_run).await.map_err(Refused::Failed)?;
    let _turn = claims.charge(call, charges).map_err(Refused::Failed)?;
    if given_version != 0 {
        return Err(Refused::Failed(Status::unclassified(
            "resourceVersion should not be set on objects to be created",
        )));
    }
    let key = Key::new(&call.space(), rest(call.info(), call.namespace(), &name));
    let value = stored::encode(&*call.kind, obj).map_err(Refused::Failed)?;
    if dry_run {
        return dry(call, obj, &key).await;
    }
    let mut txn = Txn::new().expect(key.clone(), 0);
    txn = match call.info().ttl_secs {
        Some(secs) => txn.put_ttl(key, value, std::time::Duration::from_secs(secs)),
        None => txn.put(key, value),
    };
    let committed = commit(call, claims.join(txn)).await?;
    obj.set(&["metadata", "resourceVersion"], committed.revision.to_string());
    tidy(call, obj).map_err(Refused::Failed)?;
    let entry = committed.entries.into_iter().next().flatten();
    Ok(Written { object: obj.take(), entry, created: true })
}

async fn dry(call: &Call, obj: &mut Value, key: &Key) -> Result<Written, Refused> {
    let found = call.server.store.get(key).await.map_err(|e| Refused::Failed(super::store_failure(&e)))?;
    match found {
        Some(_) => Err(Refused::Conflict),
        None => Ok(Written { object: obj.take(), entry: None, created: true }),
    }
}

/// False for an object that says that it is of another kind, which the rules of custom kinds find out.
pub fn is_of_kind(call: &Call, obj: &Value) -> bool {
    !call.kind.stored_as_json() || obj.str_at(&["kind"]) == call.info().kind.as_str()
}

/// 422 when there are faults, about an object of the kind that it says it is.
pub fn refuse_as(call: &Call, obj: &Value, name: &str, faults: &[Fault]) -> Result<(), Status> {
    if faults.is_empty() || is_of_kind(call, obj) {
        return refuse(call, name, faults);
    }
    Err(Status::invalid(call.group(), obj.str_at(&["kind"]), name, faults))
}

/// All faults of the new object, its warnings, and the plugins that may only refuse.
async fn check(call: &Call, obj: &mut Value, name: &str, dry_run: bool) -> Result<Charges, Status> {
    let (known, builtin) = (is_of_kind(call, obj), !call.kind.stored_as_json());
    let mut faults = if known { metadata::new_faults(obj, call.info(), builtin) } else { Vec::new() };
    faults.extend(call.kind.validate(obj, &call.cx()));
    if faults.is_empty() && known {
        faults = metadata::common_faults(obj, call.info());
    }
    refuse_as(call, obj, name, &faults)?;
    warn(call, obj, None);
    admission_check(call, Operation::Create, name, Some(obj), None, dry_run).await
}
