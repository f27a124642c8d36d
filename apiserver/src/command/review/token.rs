//! TokenReview: whose token is this? The methods are asked as they are for a request that comes with the token and
//! nothing else. Source: upstream's `pkg/registry/authentication/tokenreview`.

use super::user_info;
use crate::call::Call;
use api::{Status, Value, tree};
use authn::{Credentials, Headers, Peer};

pub async fn review(call: &Call, mut object: Value) -> Result<Value, Status> {
    let token = object.str_at(&["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let authenticator = &call.server.authenticator;
    let asked = object.list_at(&["spec", "audiences"]).iter().filter_map(Value::as_str).map(str::to_owned);
    let asked: Vec<String> = asked.collect();
    let audiences = if asked.is_empty() { authenticator.api_audiences() } else { &asked };
    let header = Authorization(format!("Bearer {token}"));
    let credentials = Credentials { peer: &Peer::default(), headers: &header, path: "", audiences };
    let status = match authenticator.recognize(&credentials).await {
        Ok(found) => {
            if !audiences.is_empty() && !audiences.iter().any(|audience| found.audiences.contains(audience)) {
                return Err(Status::internal("error validating audiences"));
            }
            tree!({
                "authenticated": true, "user": user_info(&found.caller), "audiences": found.audiences.clone()
            })
        }
        Err(refusal) if refusal.reasons.is_empty() => tree!({"user": {}}),
        Err(refusal) => tree!({"error": refusal.to_string(), "user": {}}),
    };
    object.set(&["status"], status);
    Ok(object)
}

/// The one header of a request that has nothing but a token.
struct Authorization(String);

impl Headers for Authorization {
    fn first(&self, name: &str) -> Option<&[u8]> {
        name.eq_ignore_ascii_case("authorization").then_some(self.0.as_bytes())
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.first(name).into_iter().collect()
    }
}
