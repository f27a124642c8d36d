//! Streams: log, exec, attach, port-forward and proxy. After the permit the server is a pipe to the node, the pod or
//! an endpoint of the service. `place` says where a stream goes, or why it goes nowhere; `dial` opens the connection.

mod dial;
mod options;
mod place;

use crate::answer::Answer;
use crate::call::Call;
use crate::corridor::Refused;
use crate::door::{Body, RequestBody};
use crate::edit;
use api::Status;
use authz::{Attributes, Decision};
use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};

pub async fn serve(call: Call, _body: RequestBody, _parts: &Parts) -> Result<Answer, Refused> {
    if let Some(mut options) = options::options(&call) {
        edit::admit_stream(&call, &mut options).await?;
    }
    may_open(&call).await?;
    let place = match (call.resource(), call.target.subresource.as_str()) {
        ("pods", "log") => match place::log(&call).await? {
            Some(place) => place,
            None => return Ok(nothing()),
        },
        ("pods", "exec" | "attach") => place::container(&call).await?,
        ("pods", "portforward") => place::port_forward(&call).await?,
        ("pods", _) => place::pod(&call).await?,
        ("services", _) => place::service(&call).await?,
        ("nodes", _) => place::node(&call).await?,
        _ => return Err(Status::unknown_resource().into()),
    };
    let _connection = dial::dial(&place).await.map_err(|why| place.unreachable(&why))?;
    // Nothing that could answer belongs to the cluster yet: nodes come with the kubelet.
    Err(place.unreachable("this server does not pass streams on").into())
}

/// Who opens a way into a pod by GET, as WebSocket clients must, needs the right to create it all the same.
async fn may_open(call: &Call) -> Result<(), Status> {
    let opens = matches!(call.target.subresource.as_str(), "exec" | "attach" | "portforward");
    let asked = call.permit.attributes();
    if call.resource() != "pods" || !opens || asked.verb == *"create" {
        return Ok(());
    }
    let asked = Attributes { verb: "create".into(), ..asked.clone() };
    match call.server.authorizer.decide(call.permit.caller(), &asked).await {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => {
            Err(Status::forbidden("", "pods", &call.target.name, &reason.to_string()))
        }
    }
}

/// 204: there is nothing to read yet.
fn nothing() -> Answer {
    let mut response = Response::new(Body::full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
