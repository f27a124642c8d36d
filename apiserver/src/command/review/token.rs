//! TokenReview: whose token is this? Tokens of service accounts are those that this server signed, for as long as all
//! they are bound to is there. Source: upstream's `pkg/serviceaccount`.

use crate::call::Call;
use crate::command::signer::ISSUER;
use api::{Map, Status, Value, quote, tree};

/// How far clocks may be apart, and how long what is deleted still counts; seconds.
const LEEWAY_SECS: i64 = 60;
const UNKNOWN: &str = "invalid bearer token";

pub async fn review(call: &Call, mut object: Value) -> Result<Value, Status> {
    let token = object.str_at(&["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = texts(object.list_at(&["spec", "audiences"]));
    let wanted = if audiences.is_empty() { vec![ISSUER.to_owned()] } else { audiences };
    let claims = call.server.signer.as_ref().and_then(|signer| signer.verify(token));
    let status = match claims {
        None => tree!({"error": UNKNOWN, "user": {}}),
        Some(claims) => match judge(call, &claims, &wanted).await {
            Ok(audiences) => {
                tree!({"authenticated": true, "user": user(&claims), "audiences": audiences})
            }
            Err(why) => tree!({"error": format!("[{UNKNOWN}, {why}]"), "user": {}}),
        },
    };
    object.set(&["status"], status);
    Ok(object)
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The audiences that both sides name, or what is wrong with the token.
async fn judge(call: &Call, claims: &Value, wanted: &[String]) -> Result<Vec<String>, String> {
    let named = texts(claims.list_at(&["aud"]));
    let both: Vec<String> = wanted.iter().filter(|audience| named.contains(audience)).cloned().collect();
    if both.is_empty() {
        let list = |texts: &[String]| texts.iter().map(|t| quote(t)).collect::<Vec<_>>().join(" ");
        return Err(format!(
            "token audiences [{}] is invalid for the target audiences [{}]",
            list(&named),
            list(wanted)
        ));
    }
    check_times(claims, call.now_secs)?;
    check_account(call, claims).await?;
    for (field, resource) in [("secret", "secrets"), ("pod", "pods")] {
        check_bound(call, claims, field, resource).await?;
    }
    if claims.at(&["kubernetes.io", "pod"]).is_none() {
        check_bound(call, claims, "node", "nodes").await?;
    }
    Ok(both)
}

fn check_times(claims: &Value, now: i64) -> Result<(), String> {
    let time = |field: &str| claims.i64_at(&[field]).unwrap_or(0);
    if now - LEEWAY_SECS > time("exp") {
        return Err("service account token has expired".to_owned());
    }
    if now + LEEWAY_SECS < time("nbf") {
        return Err("service account token is not valid yet".to_owned());
    }
    if now + LEEWAY_SECS < time("iat") {
        return Err("service account token is issued in the future".to_owned());
    }
    Ok(())
}

fn claim<'a>(claims: &'a Value, of: &str, field: &str) -> &'a str {
    claims.str_at(&["kubernetes.io", of, field])
}

/// Whether the object has been on its way out for longer than clocks differ.
fn is_gone(object: &Value, now: i64) -> bool {
    let deleted = object.str_at(&["metadata", "deletionTimestamp"]);
    api::time::parse(deleted).is_ok_and(|time| time.secs < now - LEEWAY_SECS)
}

async fn check_account(call: &Call, claims: &Value) -> Result<(), String> {
    let namespace = claims.str_at(&["kubernetes.io", "namespace"]);
    let (name, uid) = (claim(claims, "serviceaccount", "name"), claim(claims, "serviceaccount", "uid"));
    let Some(account) = call.server.find("", "serviceaccounts", namespace, name, true).await else {
        return Err(format!("serviceaccounts {} not found", quote(name)));
    };
    let found = account.str_at(&["metadata", "uid"]);
    if found != uid {
        return Err(format!("service account UID ({found}) does not match claim ({uid})"));
    }
    if is_gone(&account, call.now_secs) {
        return Err(format!("service account {namespace}/{name} has been deleted"));
    }
    Ok(())
}

/// A token is worth nothing without what it is bound to.
async fn check_bound(call: &Call, claims: &Value, field: &str, resource: &str) -> Result<(), String> {
    if claims.at(&["kubernetes.io", field]).is_none() {
        return Ok(());
    }
    let invalidated = || "service account token has been invalidated".to_owned();
    let namespace = if field == "node" { "" } else { claims.str_at(&["kubernetes.io", "namespace"]) };
    let (name, uid) = (claim(claims, field, "name"), claim(claims, field, "uid"));
    let object = call.server.find("", resource, namespace, name, true).await.ok_or_else(invalidated)?;
    let found = object.str_at(&["metadata", "uid"]);
    if found != uid {
        return Err(format!(
            "{field} UID ({found}) does not match service account {field} ref claim ({uid})"
        ));
    }
    if is_gone(&object, call.now_secs) { Err(invalidated()) } else { Ok(()) }
}

/// `UserInfo` of the account.
fn user(claims: &Value) -> Value {
    let namespace = claims.str_at(&["kubernetes.io", "namespace"]);
    let mut extra = Map::new();
    let jti = claims.str_at(&["jti"]);
    if !jti.is_empty() {
        extra.insert("authentication.kubernetes.io/credential-id", vec![format!("JTI={jti}")]);
    }
    for field in ["node", "pod"] {
        for part in ["name", "uid"] {
            let text = claim(claims, field, part);
            if !text.is_empty() {
                extra.insert(format!("authentication.kubernetes.io/{field}-{part}"), vec![text]);
            }
        }
    }
    tree!({
        "username": claims.str_at(&["sub"]),
        "uid": claim(claims, "serviceaccount", "uid"),
        "groups": [
            "system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"
        ],
        "extra": extra
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_be_a_minute_off() {
        let claims = tree!({"exp": 1000, "nbf": 500, "iat": 500});
        assert!(check_times(&claims, 1060).is_ok());
        assert_eq!(check_times(&claims, 1061).unwrap_err(), "service account token has expired");
        assert!(check_times(&claims, 440).is_ok());
        assert_eq!(check_times(&claims, 439).unwrap_err(), "service account token is not valid yet");
    }

    #[test]
    fn a_service_account_is_a_user_with_groups() {
        let claims = tree!({
            "sub": "system:serviceaccount:n:s", "jti": "j",
            "kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "s", "uid": "u"}, "pod": {"name": "p", "uid": "q"}}
        });
        assert_eq!(
            user(&claims),
            tree!({
                "username": "system:serviceaccount:n:s", "uid": "u",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"],
                "extra": {
                    "authentication.kubernetes.io/credential-id": ["JTI=j"],
                    "authentication.kubernetes.io/pod-name": ["p"],
                    "authentication.kubernetes.io/pod-uid": ["q"]
                }
            })
        );
    }
}
