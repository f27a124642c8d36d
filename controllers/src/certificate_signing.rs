//! certificate-controller, signing: what is approved for one of the built-in signers gets a certificate of the
//! cluster's CA, or a condition `Failed` that says why not.

use crate::certificate_rules::{self as rules, has_condition};
use crate::reconcile::{self, Outcome, unless_gone};
use crate::{Context, conditions, resources};
use api::{Value, tree};
use base64::Engine;
use certs::{Authority, Terms};
use client::{Client, Informer, WorkQueue};
use std::sync::Arc;
use std::time::Duration;
use stdx::{Clock, Ids, Time};

/// A certificate lives as long as is asked for, within these bounds.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
const SHORTEST: Duration = Duration::from_secs(600);
/// Certificates are valid from a little before they are made; long ones also end that much earlier.
const BACKDATE_SECS: i64 = 300;
const SHORT: Duration = Duration::from_secs(8 * 3600);

#[derive(Clone)]
struct Controller {
    client: Client,
    requests: Informer,
    authority: Arc<Authority>,
    clock: Clock,
    ids: Ids,
}

pub fn start(context: &Context<'_>) {
    let Some(authority) = context.settings.signer.clone() else { return };
    let queue = WorkQueue::new();
    let requests = context.informer(&resources::certificate_signing_requests());
    let controller = Controller {
        client: context.client.clone(),
        requests: requests.clone(),
        authority,
        clock: context.clock(),
        ids: Ids::system(),
    };
    requests.on_change(reconcile::enqueue(&queue));
    reconcile::run_on("certificate-signing", &queue, 1, &[&requests], move |key| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    });
}

/// What is to be done about a request.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Nothing,
    /// Nobody can sign this.
    Fail(String),
    /// The request, DER.
    Sign(Vec<u8>),
}

fn plan(object: &Value) -> Plan {
    let conditions = object.list_at(&["status", "conditions"]);
    let issued = !object.str_at(&["status", "certificate"]).is_empty();
    let approved = has_condition(object, "Approved") && !has_condition(object, "Denied");
    if issued || !approved || conditions::is_true(conditions, "Failed") {
        return Plan::Nothing;
    }
    let Ok(request) = rules::request_of(object) else { return Plan::Nothing };
    match rules::check(object.str_at(&["spec", "signerName"]), &request, &rules::usages_of(object)) {
        Ok(true) => Plan::Sign(request.der),
        Ok(false) => Plan::Nothing,
        Err(why) => Plan::Fail(why),
    }
}

/// From when until when, for a request of so many seconds. An error when the signer itself has ended.
fn validity(asked_secs: Option<i64>, now: Time, authority_end: Time) -> Result<(Time, Time), String> {
    let asked = asked_secs.map(|secs| Duration::from_secs(u64::try_from(secs).unwrap_or(0)));
    let lifetime = asked.map_or(LONGEST, |asked| asked.clamp(SHORTEST, LONGEST));
    let not_before = Time { secs: now.secs - BACKDATE_SECS, nanos: 0 };
    let end = if lifetime < SHORT { now.plus(lifetime) } else { not_before.plus(lifetime) };
    if now >= authority_end {
        let end = authority_end.rfc3339();
        return Err(format!("refusing to sign a certificate that expired in the past: NotAfter={end}"));
    }
    Ok((not_before, end.min(authority_end)))
}

impl Controller {
    async fn sync(&self, key: &str) -> Outcome {
        let Some(object) = self.requests.cache().get(key) else { return Ok(()) };
        let mut object = (*object).clone();
        match plan(&object) {
            Plan::Nothing => return Ok(()),
            Plan::Fail(why) => self.fail(&mut object, &why),
            Plan::Sign(request) => match self.sign(&object, &request) {
                Ok(certificate) => {
                    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
                    object.set(&["status", "certificate"], text);
                }
                Err(why) => {
                    tracing::error!(csr = key, "cannot sign: {why}");
                    return Ok(());
                }
            },
        }
        let requests = resources::certificate_signing_requests();
        unless_gone(self.client.update_lens(&requests, "", "status", &object).await)?;
        Ok(())
    }

    fn fail(&self, object: &mut Value, why: &str) {
        let condition = tree!({
            "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
            "lastUpdateTime": self.clock.now().rfc3339()
        });
        let list = object.make_map(&["status"]).entry_or("conditions", || Value::List(Vec::new()));
        if let Some(list) = list.as_list_mut() {
            list.push(condition);
        }
    }

    fn sign(&self, object: &Value, request: &[u8]) -> Result<String, String> {
        let text = |error: certs::PkiError| error.to_string();
        let asked = object.i64_at(&["spec", "expirationSeconds"]);
        let end = self.authority.not_after().map_err(text)?;
        let (not_before, not_after) = validity(asked, self.clock.now(), end)?;
        let mut serial = [0; 16];
        self.ids.fill(&mut serial);
        let terms = Terms { usages: &rules::usages_of(object), not_before, not_after, serial };
        self.authority.sign_request(request, &terms).map_err(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Time {
        Time { secs, nanos: 0 }
    }

    #[test]
    fn certificates_live_as_long_as_is_asked_for_within_bounds() {
        let far = at(i64::MAX / 2);
        let life =
            |asked| validity(asked, at(1_000_000), far).map(|(from, to)| (from.secs, to.secs - 1_000_000));
        assert_eq!(life(Some(7200)), Ok((999_700, 7200)));
        assert_eq!(life(Some(1)), Ok((999_700, 600)));
        assert_eq!(life(Some(8 * 3600)), Ok((999_700, 8 * 3600 - 300)));
        assert_eq!(life(None), Ok((999_700, 365 * 24 * 3600 - 300)));
        assert_eq!(life(Some(i64::MAX)), life(None));
        assert_eq!(validity(Some(7200), at(0), at(3600)).unwrap().1, at(3600));
        assert!(validity(None, at(3600), at(3600)).unwrap_err().starts_with("refusing to sign"));
    }

    #[test]
    fn only_what_is_approved_and_not_denied_failed_or_issued_is_looked_at() {
        let object = |conditions: &[&str]| {
            let list: Vec<Value> =
                conditions.iter().map(|ty| tree!({"type": *ty, "status": "True"})).collect();
            tree!({"spec": {"signerName": "kubernetes.io/legacy-unknown", "request": REQUEST},
                   "status": {"conditions": list}})
        };
        assert!(matches!(plan(&object(&["Approved"])), Plan::Sign(_)));
        for conditions in [&[][..], &["Denied"], &["Approved", "Denied"], &["Approved", "Failed"]] {
            assert_eq!(plan(&object(conditions)), Plan::Nothing, "{conditions:?}");
        }
        let mut node = object(&["Approved"]);
        node.set(&["spec", "signerName"], "kubernetes.io/kubelet-serving");
        assert_eq!(plan(&node), Plan::Fail("DNS or IP subjectAltName is required".into()));
        node.set(&["spec", "signerName"], "example.com/x");
        assert_eq!(plan(&node), Plan::Nothing);
    }

    /// `O=system:nodes, CN=system:node:a`.
    const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIcU1JR1JBZ0VBTUM4eEZUQVRCZ05WQkFvTURITjVjM1JsYlRwdWIyUmxjekVXTUJRR0ExVUVBd3dOYzNsegpkR1Z0T201dlpHVTZZVEJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSEEwSUFCTWxNUk1ZOSs3YmxYcW0wClJQM2NMc0xkUk83b0k2eWhrUC9nd2h1MTFDMzdaNERrbkVkcFFOT1Jqcjl3Z21GU25Ic0FBOEJPUjd2ek50V3EKWG8xWjFvaWdBREFLQmdncWhrak9QUVFEQWdOSUFEQkZBaUJVbGJJbG03ZFU1MC90MUsvT1FTSHY4bFNjczVKNgpsa0NjTEYzcUJoMEpMZ0loQU9Wbk44ZUxHWUxRR0xJS0xubDhRRGZxd0hIWlRqMTBkNEswYmZnMHcrOVYKLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";
}
