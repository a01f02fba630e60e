//! Bodies of `multipart/form-data` (RFC 7578), read as they come: a part's bytes are handed on piece by piece, so that a
//! body of any size holds a few kilobytes of memory.
//!
//! Every bound is a constant here, and what breaks the format is said in the words of the request: nothing is guessed, and a
//! body that ends before its closing boundary is an error, however much of it was usable.

mod parser;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use service::{Error, ErrorKind};

pub use parser::PartHead;
use parser::{Event, Parser};

/// Largest text of a field that is not a file.
const FIELD_BYTES_MAX: usize = 64 << 10;

/// A body being read.
pub struct Multipart {
    body: Body,
    parser: Parser,
    /// How long the sender may be silent.
    patience: Duration,
}

/// The next thing in a body.
pub enum Piece {
    /// A part begins.
    Begin(PartHead),
    /// Bytes of the part that began last.
    Data(Bytes),
    /// That part is whole.
    End,
}

impl Multipart {
    /// Begins to read `body`.
    ///
    /// # Errors
    /// The headers do not say `multipart/form-data` with a boundary.
    pub fn new(headers: &HeaderMap, body: Body, patience: Duration) -> Result<Self, Error> {
        let boundary = boundary(headers)?;
        Ok(Multipart {
            body,
            parser: Parser::new(&boundary),
            patience,
        })
    }

    /// The next piece; `None` behind the last part.
    ///
    /// # Errors
    /// The body is malformed, ends too early, or stands still.
    pub async fn next(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            match self.parser.next()? {
                Event::Begin(head) => return Ok(Some(Piece::Begin(head))),
                Event::Data(bytes) => return Ok(Some(Piece::Data(bytes))),
                Event::EndOfPart => return Ok(Some(Piece::End)),
                Event::Done => return Ok(None),
                Event::NeedsMore => {}
            }
            let frame = tokio::time::timeout(self.patience, self.body.frame())
                .await
                .map_err(|_| {
                    let message = "the request body stood still for too long";
                    Error::new(ErrorKind::DeadlineExceeded, message).with_code("request_timeout")
                })?;
            match frame {
                None => return Err(malformed("the body ends before its closing boundary")),
                Some(Err(error)) => {
                    return Err(malformed(&format!("the body could not be read: {error}")));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.parser.feed(data);
                    }
                }
            }
        }
    }

    /// The whole text of the part that began last.
    ///
    /// # Errors
    /// As [`Multipart::next`]; it is too long, or not UTF-8.
    pub async fn text(&mut self, head: &PartHead) -> Result<String, Error> {
        let mut text = Vec::new();
        loop {
            match self.next().await? {
                Some(Piece::Data(bytes)) => {
                    if text.len() + bytes.len() > FIELD_BYTES_MAX {
                        let message = format!("the field is longer than {FIELD_BYTES_MAX} bytes");
                        return Err(Error::invalid(&*head.name, message));
                    }
                    text.extend_from_slice(&bytes);
                }
                _ => {
                    return String::from_utf8(text)
                        .map_err(|_| Error::invalid(&*head.name, "the field is not valid UTF-8"));
                }
            }
        }
    }

    /// Reads on to the end of a body that was refused, within bounds, so that a client that writes all of it first sees the
    /// answer instead of a closed connection.
    pub async fn linger(mut self, bytes_max: u64, time_max: Duration) {
        let reading = async {
            let mut left = bytes_max;
            while let Some(Ok(frame)) = self.body.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        // Whether it ended or not, the answer is the same.
        drop(tokio::time::timeout(time_max, reading).await);
    }
}

/// What breaks the format.
fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message).with_code("invalid_multipart")
}

/// The boundary that the content type names: 1 to 70 characters of RFC 2046's set.
fn boundary(headers: &HeaderMap) -> Result<String, Error> {
    let wrong = |what: &str| {
        malformed(&format!(
            "the request must be sent as `multipart/form-data`: {what}"
        ))
    };
    let kind = headers
        .get(header::CONTENT_TYPE)
        .ok_or_else(|| wrong("it has no content type"))?
        .to_str()
        .map_err(|_| wrong("its content type is not text"))?;
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(wrong(&format!("it is `{}`", essence.trim())));
    }
    let boundary = parser::parameters(parameters)
        .ok_or_else(|| wrong("its content type is malformed"))?
        .into_iter()
        .find(|(name, _)| name == "boundary")
        .map(|(_, value)| value)
        .ok_or_else(|| wrong("its content type names no boundary"))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if boundary.is_empty() || boundary.len() > 70 || !boundary.bytes().all(allowed) {
        return Err(wrong("its boundary is not 1 to 70 plain characters"));
    }
    Ok(boundary)
}
