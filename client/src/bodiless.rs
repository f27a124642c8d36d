//! Answers to HEAD: what they say of the body, and no body.

use http::{HeaderValue, Response, header};
use hyper::body::Body;

/// Takes the body off an answer to HEAD; its length stays announced. hyper does this by itself only in HTTP/1.1, and a
/// client that is sent a body in HTTP/2 ends the stream with an error.
pub fn bodiless<B: Body + Default>(mut response: Response<B>) -> Response<B> {
    let length = response.body().size_hint().exact().filter(|length| *length > 0);
    if let Some(length) = length {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    response.map(|_| B::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;

    #[test]
    fn an_answer_to_head_announces_a_body_and_has_none() {
        let response = bodiless(Response::new(Full::new(Bytes::from_static(b"four"))));
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "4");
        assert!(response.body().is_end_stream());
        assert!(bodiless(Response::new(Full::<Bytes>::default())).headers().is_empty());
    }
}
