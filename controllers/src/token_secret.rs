//! serviceaccount-token-controller: a secret of the type `kubernetes.io/service-account-token` gets a token of the
//! account that it names, which never expires, and goes when the account does. Nobody makes such secrets by himself
//! any more.

use crate::reconcile::{Outcome, enqueue, run_on, split, unless_gone};
use crate::{Context, resources};
use api::{Value, json, tree};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certs::TokenSigner;
use client::{Client, Informer, WorkQueue, key_of};
use std::sync::Arc;

const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// Who such tokens say issued them.
const ISSUER: &str = "kubernetes/serviceaccount";
/// Secrets of the type, and no others.
const OURS: &str = "fieldSelector=type%3Dkubernetes.io%2Fservice-account-token";

#[derive(Clone)]
struct Tokens {
    client: Client,
    signer: Arc<TokenSigner>,
    secrets: Informer,
    accounts: Informer,
    /// `ca.crt` of the secrets.
    ca_pem: String,
}

pub fn start(context: &Context<'_>) {
    let Some(signer) = context.settings.token_signer.clone() else { return };
    let queue = WorkQueue::new();
    let client = context.client.clone();
    let secrets = Informer::start(client.clone(), resources::secrets(), OURS, enqueue(&queue));
    let accounts = context.informer(&resources::service_accounts());
    let (changed, held) = (queue.clone(), secrets.clone());
    accounts.on_change(Arc::new(move |old, new| {
        let Some(account) = new.or(old).filter(|_| old.is_none() || new.is_none()) else { return };
        let namespace = account.str_at(&["metadata", "namespace"]);
        let name = account.str_at(&["metadata", "name"]);
        let theirs = held.cache().list(namespace).into_iter();
        theirs
            .filter(|secret| annotation(secret, ACCOUNT_NAME) == name)
            .for_each(|s| changed.add(key_of(&s)));
    }));
    let ca_pem = context.settings.ca_pem.clone();
    let copies = [&secrets.clone(), &accounts.clone()];
    let tokens = Tokens { client, signer, secrets, accounts, ca_pem };
    run_on("serviceaccount-token", &queue, 2, &copies, move |key| {
        let tokens = tokens.clone();
        async move { tokens.settle(&key).await }
    });
}

fn annotation<'a>(secret: &'a Value, name: &str) -> &'a str {
    secret.str_at(&["metadata", "annotations", name])
}

impl Tokens {
    async fn settle(&self, key: &str) -> Outcome {
        let Some(secret) = self.secrets.cache().get(key) else { return Ok(()) };
        let name = annotation(&secret, ACCOUNT_NAME);
        if name.is_empty() || !secret.str_at(&["metadata", "deletionTimestamp"]).is_empty() {
            return Ok(());
        }
        let Some(account) = self.account(split(key).0, name, annotation(&secret, ACCOUNT_UID)).await? else {
            return self.delete(&secret).await;
        };
        let Some(filled) = self.fill(&secret, &account) else { return Ok(()) };
        let namespace = split(key).0;
        unless_gone(self.client.update(&resources::secrets(), namespace, &filled).await).map(drop)
    }

    /// The account that a secret is for: as known here, else as it is.
    async fn account(&self, ns: &str, name: &str, uid: &str) -> Result<Option<Arc<Value>>, client::Error> {
        let is_it = |account: &Value| uid.is_empty() || account.str_at(&["metadata", "uid"]) == uid;
        if let Some(account) = self.accounts.cache().get(&format!("{ns}/{name}")).filter(|a| is_it(a)) {
            return Ok(Some(account));
        }
        let found = self.client.find(&resources::service_accounts(), ns, name).await?;
        Ok(found.filter(|account| is_it(account)).map(Arc::new))
    }

    async fn delete(&self, secret: &Value) -> Outcome {
        let meta = |field: &str| secret.str_at(&["metadata", field]);
        let options =
            tree!({"preconditions": {"uid": meta("uid"), "resourceVersion": meta("resourceVersion")}});
        let secrets = resources::secrets();
        unless_gone(self.client.delete(&secrets, meta("namespace"), meta("name"), &options).await).map(drop)
    }

    /// The secret with all that belongs into it; `None` when nothing is missing.
    fn fill(&self, secret: &Value, account: &Value) -> Option<Value> {
        let mut filled = secret.clone();
        let (namespace, uid) =
            (secret.str_at(&["metadata", "namespace"]), account.str_at(&["metadata", "uid"]));
        filled.set(&["data", "ca.crt"], STANDARD.encode(&self.ca_pem));
        filled.set(&["data", "namespace"], STANDARD.encode(namespace));
        filled.set(&["metadata", "annotations", ACCOUNT_UID], uid);
        if secret.str_at(&["data", "token"]).is_empty() {
            let claims = claims(secret, account);
            let token = match self.signer.sign(&json::to_vec(&claims)) {
                Ok(token) => token,
                Err(why) => {
                    tracing::error!(why, "a token for a secret cannot be signed");
                    return None;
                }
            };
            filled.set(&["data", "token"], STANDARD.encode(token));
        }
        (filled != *secret).then_some(filled)
    }
}

/// What the token of a secret says.
fn claims(secret: &Value, account: &Value) -> Value {
    let namespace = account.str_at(&["metadata", "namespace"]);
    let name = account.str_at(&["metadata", "name"]);
    tree!({
        "iss": ISSUER,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret.str_at(&["metadata", "name"]),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": account.str_at(&["metadata", "uid"]),
        "sub": format!("system:serviceaccount:{namespace}:{name}")
    })
}
