//! `/containerLogs/NAMESPACE/POD/CONTAINER`: what a container wrote. Source: upstream's `getContainerLogs`,
//! `validateContainerLogStatus`.

use super::query::Query;
use super::reply::{self, Reply};
use super::{Parts, Server};
use crate::logs::{self, Options};
use api::Value;
use bytes::Bytes;
use futures::StreamExt;
use http::StatusCode;
use std::path::PathBuf;
use stdx::Time;

const LISTS: [(&str, &str); 3] = [
    ("containers", "containerStatuses"),
    ("initContainers", "initContainerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
];

pub fn serve(server: &Server, namespace: &str, name: &str, container: &str, query: &Query) -> Reply {
    let parts = &server.parts;
    let options = match options(query, parts.clock.now()) {
        Ok(options) => options,
        Err(refusal) => return *refusal,
    };
    let Some(pod) = parts.pods.get(namespace, name) else {
        return reply::text(StatusCode::NOT_FOUND, format!("pod {} does not exist", api::quote(name)));
    };
    let is_it = |other: &Value| other.str_at(&["name"]) == container;
    if !LISTS.iter().any(|(list, _)| pod.list_at(&["spec", list]).iter().any(is_it)) {
        let text = format!("container {} not found in pod {}", api::quote(container), api::quote(name));
        return reply::text(StatusCode::NOT_FOUND, text);
    }
    let status = parts.pods.status(pod.str_at(&["metadata", "uid"]));
    let status = status.as_deref().or_else(|| pod.get("status")).unwrap_or(&Value::Null);
    let id = match container_id(status, name, container, query.flag("previous")) {
        Ok(id) => id.to_owned(),
        Err(why) => return reply::text(StatusCode::BAD_REQUEST, why),
    };
    let uid = pod.str_at(&["metadata", "uid"]).to_owned();
    match file(parts, &uid, &id) {
        Some(path) => {
            let pods = parts.pods.clone();
            let ended = async move { pods.ended(&uid, bare(&id)).await };
            // What goes wrong from here on is told where the log would be: the head has gone out, as upstream's.
            let text = logs::read(path, options, ended).map(|piece| {
                Ok::<_, std::io::Error>(piece.unwrap_or_else(|why| Bytes::from(why.to_string())))
            });
            reply::of(StatusCode::OK, "text/plain; charset=utf-8", reply::stream(text))
        }
        None => reply::text(StatusCode::OK, format!("unable to retrieve container logs for {id}")),
    }
}

/// The log that the runtime writes for a container.
fn file(parts: &Parts, uid: &str, id: &str) -> Option<PathBuf> {
    let observed = parts.pods.observed(uid)?;
    let container = observed.by_id(bare(id))?;
    (!container.log_path.is_empty()).then(|| PathBuf::from(&container.log_path))
}

/// Without the runtime's name before it.
fn bare(id: &str) -> &str {
    id.split_once("://").map_or(id, |(_, id)| id)
}

/// Whose log is meant, or why there is none.
fn container_id<'a>(status: &'a Value, pod: &str, name: &str, previous: bool) -> Result<&'a str, String> {
    let (shown, pod) = (api::quote(name), api::quote(pod));
    let all = LISTS.iter().flat_map(|(_, list)| status.list_at(&[list]));
    let Some(found) = all.into_iter().find(|status| status.str_at(&["name"]) == name) else {
        return Err(format!("container {shown} in pod {pod} is not available"));
    };
    let last = found.str_at(&["lastState", "terminated", "containerID"]);
    let has_last = found.at(&["lastState", "terminated"]).is_some();
    let state = |state: &str| found.at(&["state", state]);
    if previous {
        return match last {
            "" => Err(format!("previous terminated container {shown} in pod {pod} not found")),
            last => Ok(last),
        };
    }
    let ended = || Err(format!("container {shown} in pod {pod} is terminated"));
    if state("running").is_some() {
        return Ok(found.str_at(&["containerID"]));
    }
    if let Some(terminated) = state("terminated") {
        return match (terminated.str_at(&["containerID"]), last) {
            ("", "") => ended(),
            ("", last) => Ok(last),
            (own, _) => Ok(own),
        };
    }
    if has_last {
        return if last.is_empty() { ended() } else { Ok(last) };
    }
    let Some(waiting) = state("waiting") else {
        return Err(format!("container {shown} in pod {pod} is waiting to start - no logs yet"));
    };
    let why = match waiting.str_at(&["reason"]) {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        reason => reason,
    };
    Err(format!("container {shown} in pod {pod} is waiting to start: {why}"))
}

fn options(query: &Query, now: Time) -> Result<Options, Box<Reply>> {
    let refusal = |code, text: &str| Box::new(reply::text(code, text));
    let undecodable = || refusal(StatusCode::BAD_REQUEST, r#"{"message": "Unable to decode query."}"#);
    let invalid = || refusal(StatusCode::UNPROCESSABLE_ENTITY, r#"{"message": "Invalid request."}"#);
    let number = |name: &str| query.integer(name).map_err(|_| undecodable());
    let tail = match query.text("tail") {
        "" => number("tailLines")?,
        "all" => None,
        _ => number("tail")?,
    };
    let (since, limit) = (number("sinceSeconds")?, number("limitBytes")?);
    let since_time = match query.text("sinceTime") {
        "" => None,
        text => Some(api::time::parse(text).map_err(|_| undecodable())?),
    };
    let none_is_below = |number: Option<i64>, least: i64| number.is_none_or(|number| number >= least);
    let is_valid = none_is_below(tail, 0)
        && none_is_below(limit, 1)
        && none_is_below(since, 1)
        && !(since.is_some() && since_time.is_some());
    if !is_valid {
        return Err(invalid());
    }
    match query.text("stream") {
        "" | "All" => {}
        // The gate that splits a log's streams is off, as upstream's is.
        other => {
            let text = format!(
                "unable to return the given log stream: {}. Please enable PodLogsQuerySplitStreams feature gate in kubelet",
                api::quote(other)
            );
            return Err(refusal(StatusCode::BAD_REQUEST, &text));
        }
    }
    let count = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Ok(Options {
        follow: query.flag("follow"),
        tail_lines: count(tail),
        since: since.map(|secs| Time { secs: now.secs.saturating_sub(secs), ..now }).or(since_time),
        limit_bytes: count(limit),
        timestamps: query.flag("timestamps"),
        stream: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn of(state: Value, last: Value) -> Value {
        tree!({"containerStatuses": [{"name": "c", "containerID": "r://now", "state": (state), "lastState": (last)}]})
    }

    #[test]
    fn a_container_has_the_log_of_its_newest_start_that_wrote_one() {
        let id = |state: Value, last: Value, previous: bool| {
            container_id(&of(state, last), "p", "c", previous).map(str::to_owned)
        };
        let before = || tree!({"terminated": {"containerID": "r://before"}});
        let text = |text: &str| Err(format!("container \"c\" in pod \"p\" is {text}"));
        assert_eq!(id(tree!({"running": {}}), before(), false), Ok("r://now".to_owned()));
        assert_eq!(id(tree!({"running": {}}), before(), true), Ok("r://before".to_owned()));
        let backing_off = tree!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert_eq!(id(backing_off, before(), false), Ok("r://before".to_owned()));
        let ended = tree!({"terminated": {"containerID": "r://ended"}});
        assert_eq!(id(ended, tree!({}), false), Ok("r://ended".to_owned()));
        assert_eq!(id(tree!({"terminated": {}}), tree!({}), false), text("terminated"));
        for (reason, why) in [
            ("ContainerCreating", "waiting to start: ContainerCreating"),
            ("ErrImagePull", "waiting to start: image can't be pulled"),
            ("ImagePullBackOff", "waiting to start: trying and failing to pull image"),
        ] {
            assert_eq!(id(tree!({"waiting": {"reason": reason}}), tree!({}), false), text(why));
        }
        assert_eq!(id(tree!({}), tree!({}), false), text("waiting to start - no logs yet"));
        assert_eq!(
            id(tree!({"running": {}}), tree!({}), true),
            Err("previous terminated container \"c\" in pod \"p\" not found".to_owned())
        );
        let unknown = container_id(&Value::Null, "p", "c", false);
        assert_eq!(unknown.unwrap_err(), "container \"c\" in pod \"p\" is not available");
    }

    #[test]
    fn options_are_those_of_a_query() {
        let now = Time::from_secs(1000);
        let read = |query: &str| options(&Query::parse(query), now).map_err(|reply| reply.status().as_u16());
        let asked = read("follow=true&tailLines=5&sinceSeconds=60&limitBytes=10&timestamps=1").unwrap();
        assert_eq!((asked.follow, asked.tail_lines, asked.limit_bytes), (true, Some(5), Some(10)));
        assert_eq!((asked.since, asked.timestamps), (Some(Time::from_secs(940)), true));
        assert_eq!(read("tail=all").unwrap(), Options::default());
        assert_eq!(read("tail=3").unwrap().tail_lines, Some(3));
        assert_eq!(read("tailLines=x"), Err(400));
        for bad in [
            "tailLines=-1",
            "limitBytes=0",
            "sinceSeconds=0",
            "sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z",
        ] {
            assert_eq!(read(bad), Err(422), "{bad}");
        }
        assert_eq!(read("stream=Stdout"), Err(400));
    }
}
