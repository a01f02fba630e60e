//! The frame around messages: one byte that says whether the message is compressed, four bytes of length, the message.
//!
//! Compressed messages are refused with the words that the protocol has for it, and clients then send them plainly.

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use prost::Message;
use service::{Error, ErrorKind};

/// Flag and length.
pub const HEAD_BYTES: usize = 5;

static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The length of the message behind `head`.
pub fn length(head: &[u8]) -> Result<usize, Error> {
    let (Some(flag), Some(length)) = (head.first(), head.get(1..HEAD_BYTES)) else {
        return Err(broken("ends within the head of its frame"));
    };
    match flag {
        0 => Ok(length
            .iter()
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte))),
        1 => Err(Error::new(
            ErrorKind::NotSupported,
            "compressed messages are not supported; send them with `grpc-encoding: identity`",
        )),
        _ => Err(broken("has an unknown flag in the head of its frame")),
    }
}

/// The one message that the body of a unary call is.
pub fn single(body: &[u8]) -> Result<&[u8], Error> {
    let length = length(body)?;
    let message = &body[HEAD_BYTES..];
    if message.len() != length {
        return Err(broken("is not one frame of the length that its head says"));
    }
    Ok(message)
}

fn broken(how: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, format!("the request body {how}"))
}

/// `message` in its frame.
pub fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + length);
    bytes.put_u8(0);
    // Longer ones cannot be: answers are made of what fits into memory many times over.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// The trailers of a call that went well.
pub fn good() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(&STATUS, HeaderValue::from_static("0"));
    trailers
}

/// An answer with `body`, whose trailers say how it went.
pub fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    headers.insert(&ACCEPTED, HeaderValue::from_static("identity"));
    response
}

/// The whole answer of a call that went well.
pub fn whole(message: &impl Message) -> Response {
    let trailers = std::future::ready(Some(Ok(good())));
    response(Body::new(
        Full::new(framed(message)).with_trailers(trailers),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_frame_and_nothing_else() {
        assert_eq!(single(&[0, 0, 0, 0, 2, 7, 8]).expect("whole"), [7, 8]);
        assert!(single(&[0, 0, 0, 0, 0]).expect("empty").is_empty());
        for (body, kind) in [
            (&[][..], ErrorKind::InvalidRequest),
            (&[0, 0, 0, 0], ErrorKind::InvalidRequest),
            (&[0, 0, 0, 0, 1], ErrorKind::InvalidRequest),
            (&[0, 0, 0, 0, 1, 1, 1], ErrorKind::InvalidRequest),
            (&[0, 255, 255, 255, 255, 1], ErrorKind::InvalidRequest),
            (&[2, 0, 0, 0, 0], ErrorKind::InvalidRequest),
            (&[1, 0, 0, 0, 0], ErrorKind::NotSupported),
        ] {
            assert_eq!(single(body).expect_err("refused").kind, kind, "{body:?}");
        }
    }
}
