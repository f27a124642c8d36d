//! Requests: one method a verb, objects as trees.

use crate::connection::{Connection, Dial};
use crate::watch::WatchStream;
use crate::{Error, Resource};
use api::{Remote, Value, json};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::sync::Arc;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

/// A client with the identity of whoever dials. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
    user_agent: Arc<str>,
    /// Sent with every request besides the usual ones.
    headers: HeaderMap,
}

impl Client {
    /// `user_agent` names the component; it becomes the manager of the fields it writes.
    pub fn new(dial: Dial, user_agent: &str) -> Self {
        Client::over(Connection::in_process(dial), user_agent)
    }

    /// A client of a server elsewhere, with the identity that `remote` holds (`kubeconfig::read` makes one). It
    /// connects with its first request.
    ///
    /// # Errors
    /// When the URL, a certificate or the key cannot be read.
    pub fn connect(remote: &Remote, user_agent: &str) -> Result<Self, Error> {
        Ok(Client::over(Connection::to(remote)?, user_agent))
    }

    fn over(connection: Connection, user_agent: &str) -> Self {
        Client { connection: Arc::new(connection), user_agent: user_agent.into(), headers: HeaderMap::new() }
    }

    /// Sends one more header with every request; a name may be given several times.
    ///
    /// # Errors
    /// When the value cannot stand in a header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Result<Self, Error> {
        let value = HeaderValue::from_str(value).map_err(|why| Error::Broken(why.to_string()))?;
        self.headers.append(HeaderName::from_static(name), value);
        Ok(self)
    }

    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Value, Error> {
        self.call(Method::GET, &resource.object(namespace, name), None).await
    }

    /// `None` when there is no such object.
    pub async fn find(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        match self.get(resource, namespace, name).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The list object; `query` without `?`, such as `labelSelector=a%3Db`.
    pub async fn list(&self, resource: &Resource, namespace: &str, query: &str) -> Result<Value, Error> {
        self.call(Method::GET, &with_query(resource.collection(namespace), query), None).await
    }

    pub async fn create(&self, resource: &Resource, namespace: &str, object: &Value) -> Result<Value, Error> {
        self.call(Method::POST, &resource.collection(namespace), Some((JSON, object))).await
    }

    /// Replaces the object of the same name.
    pub async fn update(&self, resource: &Resource, namespace: &str, object: &Value) -> Result<Value, Error> {
        let path = resource.object(namespace, object.str_at(&["metadata", "name"]));
        self.call(Method::PUT, &path, Some((JSON, object))).await
    }

    /// Replaces a part of the object of the same name (`status`, `finalize`).
    pub async fn update_lens(
        &self,
        resource: &Resource,
        namespace: &str,
        lens: &str,
        object: &Value,
    ) -> Result<Value, Error> {
        let path = resource.object(namespace, object.str_at(&["metadata", "name"]));
        self.call(Method::PUT, &format!("{path}/{lens}"), Some((JSON, object))).await
    }

    /// JSON merge patch; `lens` "" for the object itself.
    pub async fn merge_patch(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        lens: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let mut path = resource.object(namespace, name);
        if !lens.is_empty() {
            path = format!("{path}/{lens}");
        }
        self.call(Method::PATCH, &path, Some((MERGE_PATCH, patch))).await
    }

    /// Strategic merge patch, of built-in kinds.
    pub async fn strategic_patch(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let path = resource.object(namespace, name);
        self.call(Method::PATCH, &path, Some((STRATEGIC_PATCH, patch))).await
    }

    /// Deletes with `DeleteOptions` (null for none).
    pub async fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Value, Error> {
        let body = (!options.is_null()).then_some((JSON, options));
        self.call(Method::DELETE, &resource.object(namespace, name), body).await
    }

    /// Deletes all objects that the query leaves.
    pub async fn delete_collection(
        &self,
        resource: &Resource,
        namespace: &str,
        query: &str,
    ) -> Result<Value, Error> {
        self.call(Method::DELETE, &with_query(resource.collection(namespace), query), None).await
    }

    /// Watches a collection; `query` says from where.
    pub async fn watch(
        &self,
        resource: &Resource,
        namespace: &str,
        query: &str,
    ) -> Result<WatchStream, Error> {
        let path = with_query(resource.collection(namespace), &format!("watch=true&{query}"));
        let response = self.send(Method::GET, &path, None).await?;
        Ok(WatchStream::new(response.into_body()))
    }

    /// Any request on a path, with a body of a content type; the answer as a tree (null when it is empty).
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Value, Error> {
        self.answer(method, path, body).await.map(|(_, value)| value)
    }

    /// As `call`, without a look at the answer when it is no error.
    pub async fn tell(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<(), Error> {
        let mut answer = self.send(method, path, body).await?.into_body();
        while let Some(frame) = answer.frame().await {
            frame.map_err(|e| Error::Broken(e.to_string()))?;
        }
        Ok(())
    }

    /// As `call`, with the headers of the answer.
    pub async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<(HeaderMap, Value), Error> {
        let (head, body) = self.send(method, path, body).await?.into_parts();
        let bytes = body.collect().await.map_err(|e| Error::Broken(e.to_string()))?.to_bytes();
        if bytes.is_empty() {
            return Ok((head.headers, Value::Null));
        }
        let value = json::parse(&bytes).map_err(|e| Error::Unreadable(e.to_string()))?;
        Ok((head.headers, value))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.connection.base()))
            .header(header::ACCEPT, JSON)
            .header(header::USER_AGENT, &*self.user_agent);
        if let Some((content_type, _)) = body {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let bytes = body.map(|(_, value)| Bytes::from(json::to_vec(value))).unwrap_or_default();
        let mut request = request.body(Full::new(bytes)).map_err(|e| Error::Broken(e.to_string()))?;
        request.headers_mut().extend(self.headers.clone());
        let response = self.connection.send(request).await?;
        let code = response.status().as_u16();
        if code < 400 {
            return Ok(response);
        }
        let body = response.into_body().collect().await.map_err(|e| Error::Broken(e.to_string()))?;
        Err(Error::refused(code, &body.to_bytes()))
    }
}

fn with_query(path: String, query: &str) -> String {
    if query.is_empty() { path } else { format!("{path}?{query}") }
}
