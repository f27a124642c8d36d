//! Streams: log, exec, attach, port-forward and proxy. After the permit the server is a pipe to the node.

use crate::answer::Answer;
use crate::call::Call;
use crate::corridor::Refused;
use crate::door::RequestBody;
use api::Status;
use http::request::Parts;

pub async fn serve(_call: Call, _body: RequestBody, _parts: &Parts) -> Result<Answer, Refused> {
    Err(Status::internal("not yet").into())
}
