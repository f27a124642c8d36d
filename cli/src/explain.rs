//! `pintle explain VERB RESOURCE`: asks the server why something is allowed or refused, without doing it, and prints
//! what it says: `X-Pintle-Explain` with a SelfSubjectAccessReview.
//!
//! The exit code is 0 when it is allowed and 1 when it is not.

use crate::flags::Explain;
use crate::remote;
use anyhow::{Context, bail};
use api::{Value, json, tree};
use client::{Client, Method};
use std::fmt::Write as _;
use std::io::Write;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// True when it is allowed.
pub fn run(flags: &Explain) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(ask(flags))?;
    std::io::stdout().write_all(readable(&told).as_bytes()).context("cannot print the explanation")?;
    Ok(told.get("allowed") == Some(&Value::from(true)))
}

async fn ask(flags: &Explain) -> anyhow::Result<Value> {
    let remote = remote::find(flags.kubeconfig.as_deref(), &flags.data)?;
    let mut client = Client::connect(&remote, "pintle")?;
    if let Some(user) = &flags.user {
        client = client.with_header("impersonate-user", user)?;
        for group in &flags.groups {
            client = client.with_header("impersonate-group", group)?;
        }
    }
    let spec = question(&client, flags).await?;
    let review =
        tree!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let asking = client.with_header("x-pintle-explain", "1")?;
    let (headers, _) = asking.answer(Method::POST, REVIEWS, Some(("application/json", &review))).await?;
    let told = headers.get("x-pintle-explain").context("this server explains nothing: it is not Pintle")?;
    json::parse(told.as_bytes()).context("the server's explanation cannot be read")
}

/// The spec of the review.
async fn question(client: &Client, flags: &Explain) -> anyhow::Result<Value> {
    let verb = flags.verb.as_str();
    if flags.resource.starts_with('/') {
        return Ok(tree!({"nonResourceAttributes": {"verb": verb, "path": flags.resource.as_str()}}));
    }
    let (resource, subresource) = flags.resource.split_once('/').unwrap_or((&flags.resource, ""));
    let kind = match resource.split_once('.') {
        Some((plural, group)) => {
            Known { plural: plural.to_owned(), group: group.to_owned(), namespaced: true }
        }
        None if resource == "*" => Known { plural: "*".to_owned(), group: "*".to_owned(), namespaced: true },
        None => find(client, resource).await?,
    };
    let mut asked = tree!({
        "verb": verb, "group": kind.group, "resource": kind.plural, "subresource": subresource,
        "name": flags.name.as_deref().unwrap_or_default()
    });
    if kind.namespaced && !flags.all_namespaces {
        asked.set(&["namespace"], flags.namespace.as_deref().unwrap_or("default"));
    }
    Ok(tree!({"resourceAttributes": asked}))
}

/// A resource that the server serves.
struct Known {
    plural: String,
    group: String,
    namespaced: bool,
}

/// Looks a plural, a singular or a short name up, in the group without a name first.
async fn find(client: &Client, word: &str) -> anyhow::Result<Known> {
    let mut places = vec![(String::new(), "/api/v1".to_owned())];
    let groups = client.call(Method::GET, "/apis", None).await?;
    for group in groups.list_at(&["groups"]) {
        let path = format!("/apis/{}", group.str_at(&["preferredVersion", "groupVersion"]));
        places.push((group.str_at(&["name"]).to_owned(), path));
    }
    for (group, path) in places {
        let list = client.call(Method::GET, &path, None).await?;
        for found in list.list_at(&["resources"]) {
            let short = found.list_at(&["shortNames"]).iter().any(|name| name.as_str() == Some(word));
            if found.str_at(&["name"]) == word || found.str_at(&["singularName"]) == word || short {
                let namespaced = found.get("namespaced") == Some(&Value::from(true));
                return Ok(Known { plural: found.str_at(&["name"]).to_owned(), group, namespaced });
            }
        }
    }
    bail!("the server has no resource {word:?}")
}

/// The explanation for people.
fn readable(told: &Value) -> String {
    let mut out = String::new();
    let may = if told.get("allowed") == Some(&Value::from(true)) { "may" } else { "may not" };
    let user = told.str_at(&["user", "name"]);
    let _ = writeln!(out, "{user} {may} {}\n", asked(told.get("request").unwrap_or(&Value::Null)));
    let groups: Vec<&str> = told.list_at(&["user", "groups"]).iter().filter_map(Value::as_str).collect();
    let _ = writeln!(out, "Groups:        {}", groups.join(", "));
    let methods = told.list_at(&["authenticators"]).iter();
    let methods = methods.map(|m| format!("{} ({})", m.str_at(&["name"]), m.str_at(&["verdict"])));
    let _ = writeln!(out, "Authenticated: {}", methods.collect::<Vec<_>>().join(", "));
    let silent = |authority: &&Value| {
        let says = ["reason", "tried", "nearMisses"].iter().any(|field| authority.get(field).is_some());
        authority.str_at(&["decision"]) == "no opinion" && !says
    };
    let (silent, others): (Vec<&Value>, Vec<&Value>) =
        told.list_at(&["authorities"]).iter().partition(silent);
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(|authority| authority.str_at(&["authority"])).collect();
        let _ = writeln!(out, "No opinion:    {}", names.join(", "));
    }
    others.into_iter().for_each(|authority| authority_lines(&mut out, authority));
    if told.get("truncated").is_some() {
        out.push_str("\nThere was more to say than an answer can hold.\n");
    }
    out
}

fn asked(request: &Value) -> String {
    let text = |field: &str| request.str_at(&[field]);
    if !text("path").is_empty() {
        return format!("{} {}", text("verb"), text("path"));
    }
    let mut out = format!("{} {}", text("verb"), text("resource"));
    for (before, field) in [("/", "subresource"), (".", "group"), (" ", "name")] {
        if !text(field).is_empty() {
            let _ = write!(out, "{before}{}", text(field));
        }
    }
    match text("namespace") {
        "" => out.push_str(" at the cluster scope"),
        namespace => {
            let _ = write!(out, " in namespace {namespace}");
        }
    }
    out
}

fn authority_lines(out: &mut String, authority: &Value) {
    let text = |field: &str| authority.str_at(&[field]);
    let _ = write!(out, "\n{}: {}", text("authority"), text("decision"));
    if !text("reason").is_empty() {
        let _ = write!(out, " ({})", text("reason").replace('\n', "; "));
    }
    out.push('\n');
    for trial in authority.list_at(&["tried"]) {
        let part = |field: &str| trial.str_at(&[field]);
        let _ = writeln!(
            out,
            "  {} of {} to {}: {}",
            part("binding"),
            part("role"),
            part("subject"),
            part("outcome")
        );
        if !part("rule").is_empty() {
            let _ = writeln!(out, "    by {}", part("rule"));
        }
    }
    if let Some(omitted) = authority.i64_at(&["omitted"]) {
        let _ = writeln!(out, "  and {omitted} more, none of which allows it");
    }
    for near in authority.list_at(&["nearMisses"]) {
        let part = |field: &str| near.str_at(&[field]);
        let _ = writeln!(out, "  nearly: {} of {} {}", part("binding"), part("role"), part("lack"));
        let _ = writeln!(out, "    {}", part("rule"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_reads_from_top_to_bottom() {
        let told = tree!({
            "allowed": false, "user": {"name": "jane", "groups": ["dev", "system:authenticated"]},
            "request": {"verb": "delete", "resource": "pods", "namespace": "a", "name": "web"},
            "authenticators": [{"name": "x509", "verdict": "known"}],
            "authorities": [
                {"authority": "Node", "decision": "no opinion"},
                {"authority": "RBAC", "decision": "no opinion", "omitted": 3,
                 "tried": [{"binding": "RoleBinding \"b/a\"", "role": "ClusterRole \"view\"",
                            "subject": "Group \"dev\"", "outcome": "no rule allows it", "rules": 11}],
                 "nearMisses": [{"binding": "RoleBinding \"b/a\"", "role": "ClusterRole \"view\"",
                                 "rule": "{Verbs:[\"get\"]}", "lack": "has not the verb \"delete\""}]},
            ],
        });
        assert_eq!(
            readable(&told),
            "jane may not delete pods web in namespace a\n\n\
             Groups:        dev, system:authenticated\n\
             Authenticated: x509 (known)\n\
             No opinion:    Node\n\n\
             RBAC: no opinion\n  \
               RoleBinding \"b/a\" of ClusterRole \"view\" to Group \"dev\": no rule allows it\n  \
               and 3 more, none of which allows it\n  \
               nearly: RoleBinding \"b/a\" of ClusterRole \"view\" has not the verb \"delete\"\n    \
                 {Verbs:[\"get\"]}\n"
        );
    }

    #[test]
    fn a_question_names_what_it_is_about() {
        let request = tree!({"verb": "get", "resource": "pods", "subresource": "log"});
        assert_eq!(asked(&request), "get pods/log at the cluster scope");
        assert_eq!(asked(&tree!({"verb": "get", "path": "/metrics"})), "get /metrics");
    }
}
