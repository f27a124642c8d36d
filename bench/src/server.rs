//! One server under load: how to reach it, its processes, and the namespaces of this run on it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::connection::{Call, Connection, Dialer};
use crate::process::Processes;
use crate::{Args, objects};

/// A server with open connections.
pub struct Server {
    /// Opens more connections.
    pub dialer: Arc<Dialer>,
    /// What to read CPU and memory of.
    pub processes: Processes,
    /// The namespace for objects that are read and changed one by one; `LISTS` is appended for the lists.
    pub namespace: String,
    /// One share for each request in flight.
    pub shares: Vec<Connection>,
    /// Fixtures that were made, by name.
    pub made: HashSet<String>,
    /// The user that `dialer` and `shares` are not of, once it was wanted.
    other_user: Option<(Arc<Dialer>, Vec<Connection>)>,
}

/// Ends the name of the namespace whose pods are listed.
pub const LISTS: &str = "-lists";

impl Server {
    /// Connects and makes the two namespaces.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn open(args: &Args, kubeconfig: &Path, pids: &str) -> Result<Self> {
        let dialer = Arc::new(Dialer::new(
            client::kubeconfig::read(kubeconfig).map_err(anyhow::Error::msg)?,
            args.http1,
        )?);
        let shares = dialer.shares(args.connections, args.concurrency.max(1)).await?;
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let namespace = format!("bench-{millis}");
        let processes = Processes::parse(pids)?;
        let server = Self { dialer, processes, namespace, shares, made: HashSet::new(), other_user: None };
        for suffix in ["", LISTS] {
            let name = format!("{}{suffix}", server.namespace);
            let body =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string();
            server
                .one(&Call::with_body("POST", "/api/v1/namespaces".into(), "application/json", body))
                .await?;
            server.wait_for_account(&name).await?;
        }
        Ok(server)
    }

    /// Pods need their namespace's default service account, which a controller makes; a server without one makes pods
    /// all the same when their token is turned off, so half a minute is enough of waiting.
    async fn wait_for_account(&self, namespace: &str) -> Result<()> {
        let call = Call::get(format!("/api/v1/namespaces/{namespace}/serviceaccounts/default"));
        for _ in 0..300 {
            if self.one(&call).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("no default service account in {namespace}: are the controllers running?")
    }

    /// One call on a connection of its own, answered as JSON.
    ///
    /// # Errors
    /// When the server refuses or does not answer JSON.
    pub async fn one(&self, call: &Call) -> Result<Value> {
        let mut connection = self.dialer.dial().await?;
        let answer = connection.send(&self.dialer, call).await?;
        serde_json::from_slice(&answer).with_context(|| format!("{} answers no JSON", call.path))
    }

    /// Lets the default service account read pods.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn allow_default_account(&self) -> Result<()> {
        for (resource, body) in
            [("roles", objects::pod_reader()), ("rolebindings", objects::pod_reader_binding())]
        {
            let path = objects::rbac_path(&self.namespace, resource);
            match self.one(&Call::with_body("POST", path, "application/json", body.to_string())).await {
                Err(error) if !error.to_string().contains("AlreadyExists") => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Goes on as the default service account, or back as the user of the kubeconfig.
    ///
    /// # Errors
    /// When the server gives no token or cannot be reached.
    pub async fn change_user(&mut self, args: &Args) -> Result<()> {
        let (dialer, shares) = match self.other_user.take() {
            Some(other) => other,
            None => {
                let body =
                    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
                let path = format!("/api/v1/namespaces/{}/serviceaccounts/default/token", self.namespace);
                let call = Call::with_body("POST", path, "application/json", body.to_string());
                let answer = self.one(&call).await?;
                let token = answer["status"]["token"].as_str().context("no token")?;
                let dialer = Arc::new(self.dialer.as_bearer(token)?);
                let shares = dialer.shares(args.connections, args.concurrency.max(1)).await?;
                (dialer, shares)
            }
        };
        let dialer = std::mem::replace(&mut self.dialer, dialer);
        self.other_user = Some((dialer, std::mem::replace(&mut self.shares, shares)));
        Ok(())
    }

    /// Deletes the namespaces of this run.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn clean_up(&self) -> Result<()> {
        for suffix in ["", LISTS] {
            let path = format!("/api/v1/namespaces/{}{suffix}", self.namespace);
            self.one(&Call { method: "DELETE", ..Call::get(path) }).await?;
        }
        Ok(())
    }
}
