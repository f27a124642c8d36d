//! TokenRequest: tokens of service accounts.

use crate::answer::Answer;
use crate::call::Call;
use crate::negotiate::Form;
use api::Status;
use bytes::Bytes;

pub async fn create(_call: &Call, _form: Form, _body: &Bytes) -> Result<Answer, Status> {
    Err(Status::internal("not yet"))
}
