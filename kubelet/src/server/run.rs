//! `/run`: a command in a container, and what it wrote.

use super::Server;
use super::query::Query;
use super::reply::{self, Reply};
use crate::pod::is_running;
use http::StatusCode;

pub async fn serve(
    server: &Server,
    namespace: &str,
    name: &str,
    uid: &str,
    container: &str,
    query: &Query,
) -> Reply {
    let Some(pod) = server.parts.pods.get(namespace, name) else {
        return reply::text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    let own = pod.str_at(&["metadata", "uid"]);
    let observed = server.parts.pods.observed(own).filter(|_| uid.is_empty() || uid == own);
    let running = observed.as_ref().and_then(|observed| observed.latest(container));
    let Some(found) = running.filter(|container| is_running(container)) else {
        let why = format!("container not found ({})", api::quote(container));
        return reply::text(StatusCode::INTERNAL_SERVER_ERROR, why);
    };
    let command: Vec<String> = query.text("cmd").split(' ').map(str::to_owned).collect();
    match server.parts.runtime.exec_sync(&found.id, &command, None).await {
        Ok(output) => reply::of(StatusCode::OK, "application/json", reply::whole(output)),
        Err(why) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()),
    }
}
