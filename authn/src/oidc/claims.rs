//! From the claims of a verified token to its user.

use crate::Caller;
use crate::configuration::{Expression, JwtAuthenticator, Mapping, Rule};
use api::cel::Env;
use api::{Value, tree};

const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The user of claims, if the configuration lets them in.
pub fn caller(config: &JwtAuthenticator, claims: &Value) -> Result<Caller, String> {
    let username = username(&config.username, claims)?;
    let groups = groups(config.groups.as_ref(), claims)?;
    let uid = uid(config.uid.as_ref(), claims)?;
    let extra = extra(&config.extra, claims)?;
    for (claim, value) in &config.required_claims {
        required(claims, claim, value)?;
    }
    check(&config.claim_rules, "claims", claims)
        .map_err(|why| format!("oidc: error evaluating claim validation expression: {why}"))?;
    if !config.user_rules.is_empty() {
        let user = user_info(&username, &uid, &groups, &extra);
        check(&config.user_rules, "user", &user)
            .map_err(|why| format!("oidc: error evaluating user info validation rule: {why}"))?;
    }
    let mut caller = Caller::new(&username, groups).with_uid(uid);
    for (key, values) in extra {
        caller = caller.with_extra(&key, values);
    }
    Ok(caller.authenticated())
}

fn username(mapping: &Mapping, claims: &Value) -> Result<String, String> {
    let (claim, prefix) = match mapping {
        Mapping::Claim { claim, prefix } => (claim, prefix),
        Mapping::Expression(expression) => {
            let failed = |why: String| format!("oidc: error evaluating username claim expression: {why}");
            return match evaluate(expression, "claims", claims).map_err(failed)? {
                Value::Str(text) if text.is_empty() => {
                    Err("oidc: empty username via CEL expression is not allowed".to_owned())
                }
                Value::Str(text) => Ok(text.to_string()),
                _ => Err(failed("username claim expression must return a string".to_owned())),
            };
        }
    };
    let name = text(claims, claim)
        .map_err(|why| format!("oidc: parse username claims {}: {why}", api::quote(claim)))?;
    if let Some(verified) = claims.get("email_verified").filter(|_| claim == "email") {
        match verified {
            Value::Bool(true) => {}
            Value::Bool(false) | Value::Null => return Err("oidc: email not verified".to_owned()),
            other => {
                return Err(format!("oidc: parse 'email_verified' claim: {}", mistyped(other, "bool")));
            }
        }
    }
    Ok(format!("{prefix}{name}"))
}

fn groups(mapping: Option<&Mapping>, claims: &Value) -> Result<Vec<String>, String> {
    match mapping {
        None => Ok(Vec::new()),
        Some(Mapping::Claim { claim, prefix }) => {
            let groups = match claims.get(claim) {
                None | Some(Value::Null) => return Ok(Vec::new()),
                Some(Value::Str(one)) => vec![one.to_string()],
                Some(other) => strings(other).ok_or_else(|| {
                    format!("oidc: parse groups claim {}: {}", api::quote(claim), mistyped(other, "string"))
                })?,
            };
            Ok(groups.into_iter().map(|group| format!("{prefix}{group}")).collect())
        }
        Some(Mapping::Expression(expression)) => evaluate(expression, "claims", claims)
            .and_then(|value| string_list(&value))
            .map_err(|why| format!("oidc: error evaluating group claim expression: {why}")),
    }
}

fn uid(mapping: Option<&Mapping>, claims: &Value) -> Result<String, String> {
    match mapping {
        None => Ok(String::new()),
        Some(Mapping::Claim { claim, .. }) => {
            text(claims, claim).map_err(|why| format!("oidc: parse uid claim {}: {why}", api::quote(claim)))
        }
        Some(Mapping::Expression(expression)) => {
            let failed = |why: String| format!("oidc: error evaluating uid claim expression: {why}");
            match evaluate(expression, "claims", claims).map_err(failed)? {
                Value::Str(text) => Ok(text.to_string()),
                _ => Err(failed("uid claim expression must return a string".to_owned())),
            }
        }
    }
}

fn extra(mappings: &[(String, Expression)], claims: &Value) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut extra = Vec::new();
    if let id @ [_, ..] = claims.str_at(&["jti"]).as_bytes() {
        extra.push((CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", String::from_utf8_lossy(id))]));
    }
    for (key, expression) in mappings {
        let value = evaluate(expression, "claims", claims)?;
        let values = string_list(&value).map_err(|why| {
            format!("oidc: error evaluating extra claim expression: {}: {why}", expression.text)
        })?;
        if !values.is_empty() {
            extra.push((key.clone(), values));
        }
    }
    Ok(extra)
}

fn required(claims: &Value, claim: &str, value: &str) -> Result<(), String> {
    if claims.get(claim).is_none() {
        return Err(format!("oidc: required claim {claim} not present in ID token"));
    }
    let found = text(claims, claim).map_err(|why| format!("oidc: parse claim {claim}: {why}"))?;
    if found == value {
        return Ok(());
    }
    Err(format!("oidc: required claim {claim} value does not match. Got = {found}, want = {value}"))
}

/// All rules are evaluated before the first that is not true is told.
fn check(rules: &[Rule], name: &str, value: &Value) -> Result<(), String> {
    let values: Vec<Value> =
        rules.iter().map(|rule| evaluate(&rule.expression, name, value)).collect::<Result<_, _>>()?;
    for (rule, value) in rules.iter().zip(values) {
        match value {
            Value::Bool(true) => {}
            Value::Bool(false) => {
                let (text, message) = (&rule.expression.text, &rule.message);
                return Err(format!("validation expression '{text}' failed: {message}"));
            }
            _ => return Err("validation expression must return a boolean".to_owned()),
        }
    }
    Ok(())
}

fn evaluate(expression: &Expression, name: &str, value: &Value) -> Result<Value, String> {
    let failed = |why| format!("expression '{}' resulted in error: {why}", expression.text);
    expression.program.eval(&Env::new().with(name, value)).map_err(failed)
}

/// The user as rules see it.
fn user_info(username: &str, uid: &str, groups: &[String], extra: &[(String, Vec<String>)]) -> Value {
    let mut user = tree!({"username": username, "uid": uid, "groups": groups.to_vec(), "extra": {}});
    for (key, values) in extra {
        user.set(&["extra", key], values.clone());
    }
    user
}

/// A claim that must be a text; null is an empty one, as in Go.
fn text(claims: &Value, claim: &str) -> Result<String, String> {
    match claims.get(claim) {
        None => Err("claim not present".to_owned()),
        Some(Value::Null) => Ok(String::new()),
        Some(Value::Str(text)) => Ok(text.to_string()),
        Some(other) => Err(mistyped(other, "string")),
    }
}

fn mistyped(value: &Value, due: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {due}", value.json_type())
}

/// A list of nothing but texts; nulls are empty ones.
fn strings(value: &Value) -> Option<Vec<String>> {
    let text = |item: &Value| match item {
        Value::Str(text) => Some(text.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    };
    value.as_list()?.iter().map(text).collect()
}

/// What an expression gives as a list of texts; the empty ones are left out.
fn string_list(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "expression must return a string or a list of strings".to_owned();
    let all = match value {
        Value::Null => Vec::new(),
        Value::Str(one) => vec![one.to_string()],
        Value::List(items) => {
            let texts: Option<Vec<String>> =
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            texts.ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    Ok(all.into_iter().filter(|text| !text.is_empty()).collect())
}
