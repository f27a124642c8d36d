//! Reviews by the API server, asked with the kubelet's own identity: the way out that `authn` and `authz` are given.
//! Here the "URL" of a question is the path of a review.

use api::{Later, Network, Question, Remote, RemoteError, Reply, json};
use client::{Client, Error, Method};
use std::time::Duration;

pub struct Reviews(Client);

impl Reviews {
    pub fn new(client: Client) -> Self {
        Reviews(client)
    }

    async fn review(&self, path: &str, question: Question) -> Result<Reply, RemoteError> {
        let body = json::parse(&question.body.unwrap_or_default());
        let body = body.map_err(|why| RemoteError::Failed(why.to_string()))?;
        match self.0.call(Method::POST, path, Some(("application/json", &body))).await {
            Ok(answer) => Ok(Reply { status: 201, body: json::to_vec(&answer), headers: Vec::new() }),
            Err(Error::Refused(refusal)) => {
                let body = json::to_vec(&refusal.status);
                Ok(Reply { status: refusal.code, body, headers: Vec::new() })
            }
            Err(error) => Err(RemoteError::Failed(error.to_string())),
        }
    }
}

impl Network for Reviews {
    fn ask<'a>(
        &'a self,
        remote: &'a Remote,
        question: Question,
        timeout: Duration,
    ) -> Later<'a, Result<Reply, RemoteError>> {
        Box::pin(async move {
            let late = |_| {
                RemoteError::Timeout(format!("Post {}: context deadline exceeded", api::quote(&remote.url)))
            };
            tokio::time::timeout(timeout, self.review(&remote.url, question)).await.map_err(late)?
        })
    }
}
