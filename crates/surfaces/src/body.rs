//! Reading a JSON request body under the size and time limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use service::{Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Failure, Surface};
use crate::state::App;

/// A JSON object from the request body, whatever the content type says: authentication never rides on cookies, so a
/// browser cannot be tricked into sending one.
pub struct JsonObject(pub Value);

/// Any JSON value from the request body, for protocols that answer to other values than objects in their own words.
pub struct JsonValue(pub Value);

impl FromRequest<App> for JsonObject {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let surface = Surface::of(request.uri().path(), request.headers());
        match JsonValue::read(request, app).await?.0 {
            value @ Value::Object(_) => Ok(JsonObject(value)),
            _ => Err(Failure::new(
                surface,
                invalid_json("the request body is not a JSON object".to_string()),
            )),
        }
    }
}

impl JsonValue {
    /// Reads the body of `request`.
    ///
    /// # Errors
    /// It is too large, too slow, or not JSON.
    pub async fn read(request: Request, app: &App) -> Result<Self, Failure> {
        let surface = Surface::of(request.uri().path(), request.headers());
        let limit = app.options.body_bytes_max;
        let too_large = || {
            let message = format!("the request body is larger than {limit} bytes");
            Failure::new(surface, Error::new(ErrorKind::TooLarge, message))
        };
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<u64>().ok());
        if declared.is_some_and(|bytes| bytes > limit as u64) {
            // A client that asked first (`expect: 100-continue`) sends nothing; any other must be let finish.
            if !request.headers().contains_key(header::EXPECT) {
                linger(request.into_body(), limit, app.options.body_timeout).await;
            }
            return Err(too_large());
        }
        let reading = receive(request.into_body(), limit, &app.bodies);
        let received = match tokio::time::timeout(app.options.body_timeout, reading).await {
            Err(_elapsed) => return Err(Failure::body_timeout(surface)),
            Ok(Err(Unreceived::TooLarge)) => return Err(too_large()),
            Ok(Err(Unreceived::NoRoom)) => {
                let message = "too many large request bodies are being read at once";
                let error = Error::new(ErrorKind::Overloaded, message);
                return Err(Failure::new(surface, error));
            }
            Ok(Err(Unreceived::Broken(error))) => {
                let message = format!("the request body could not be read: {error}");
                return Err(Failure::new(
                    surface,
                    Error::new(ErrorKind::InvalidRequest, message),
                ));
            }
            Ok(Ok(received)) => received,
        };
        let parsed = if received.bytes.len() > PARSE_INLINE_BYTES_MAX {
            tokio::task::spawn_blocking(move || parse(&received.bytes))
                .await
                .unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, error.to_string())))
        } else {
            parse(&received.bytes)
        };
        parsed
            .map(JsonValue)
            .map_err(|error| Failure::new(surface, error))
    }
}

/// Bytes of bodies are counted in steps of this many; also what an empty body counts.
const STEP_BYTES: usize = 64 << 10;
/// Room for bodies that are being read, of all requests together: eight of the default limit.
const BODIES_BYTES_MIN: usize = 256 << 20;
/// Larger bodies are parsed beside the threads that serve the others: parsing takes some 5 ms per MiB.
const PARSE_INLINE_BYTES_MAX: usize = 1 << 20;
/// Most values in one body. One takes some 70 bytes once it is read, so two bytes of `0,` could become thirty-five times
/// as much. Four times the most tokens that one request may hold.
const VALUES_MAX: usize = 1 << 20;

/// The room that the bodies of all requests share while they are read: one permit per [`STEP_BYTES`], and always
/// enough for two bodies of the limit.
pub fn room(body_bytes_max: usize) -> Arc<Semaphore> {
    let bytes = body_bytes_max.saturating_mul(2).max(BODIES_BYTES_MIN);
    Arc::new(Semaphore::new(
        (bytes / STEP_BYTES).min(Semaphore::MAX_PERMITS),
    ))
}

struct Received {
    bytes: BytesMut,
    /// Given back when the bytes are gone.
    room: OwnedSemaphorePermit,
}

enum Unreceived {
    TooLarge,
    NoRoom,
    Broken(axum::Error),
}

/// All of `body`, taking room as the bytes come, so that a slow sender holds only what it has sent.
async fn receive(
    mut body: Body,
    limit: usize,
    room: &Arc<Semaphore>,
) -> Result<Received, Unreceived> {
    let take = |steps: usize| {
        let steps = u32::try_from(steps).map_err(|_| Unreceived::TooLarge)?;
        Semaphore::try_acquire_many_owned(Arc::clone(room), steps).map_err(|_| Unreceived::NoRoom)
    };
    let mut received = Received {
        bytes: BytesMut::new(),
        room: take(1)?,
    };
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Unreceived::Broken)?.into_data() else {
            continue;
        };
        let length = received.bytes.len() + data.len();
        if length > limit {
            return Err(Unreceived::TooLarge);
        }
        let held = received.room.num_permits();
        let needed = length.div_ceil(STEP_BYTES);
        if needed > held {
            received.room.merge(take(needed - held)?);
        }
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

/// Values in a JSON text, counted by what separates them; close enough for a bound, and much cheaper than parsing.
fn count_values(bytes: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

/// A body this many times the limit is thrown away politely; a larger one finds its connection closed.
const LINGER_LIMITS: usize = 8;
/// Longest time that is spent on it.
const LINGER_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads and drops a body that is already refused. Clients write the whole body before they read the answer: closing the
/// connection at once would show them a broken pipe instead of the 413.
async fn linger(mut body: Body, limit: usize, timeout: Duration) {
    let reading = async {
        let mut left = limit.saturating_mul(LINGER_LIMITS);
        while let Some(Ok(frame)) = body.frame().await {
            left = match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // Whether it ended or not, the answer is the same.
    drop(tokio::time::timeout(timeout.min(LINGER_TIMEOUT), reading).await);
}

fn invalid_json(message: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, message).with_code("invalid_json")
}

fn parse(bytes: &[u8]) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Err(invalid_json(
            "the request body is empty; a JSON object is expected".to_string(),
        ));
    }
    // A short body cannot hold too many.
    if bytes.len() > VALUES_MAX && count_values(bytes) > VALUES_MAX {
        let message = format!("the request body holds more than {VALUES_MAX} values");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    serde_json::from_slice::<Value>(bytes)
        .map_err(|error| invalid_json(format!("the request body is not valid JSON: {error}")))
}

/// Reads `body` as `T`; an error names the path of the field at fault.
pub fn read<T: DeserializeOwned>(body: &Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        let mut path = error.path().to_string();
        let reason = error.inner().to_string();
        // A missing field is reported at its parent; clients want the field.
        if let Some(name) = reason
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next())
        {
            path = if path == "." {
                name.to_string()
            } else {
                format!("{path}.{name}")
            };
            return Error::invalid(path.clone(), format!("`{path}` is required"))
                .with_code("missing_required_parameter");
        }
        Error::invalid(path.clone(), format!("`{path}` is not valid: {reason}"))
            .with_code("invalid_type")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_a_million_small_values_is_refused_before_it_is_read() {
        let body = format!("{{\"input\": [{}0]}}", "0,".repeat(VALUES_MAX));
        let error = parse(body.as_bytes()).expect_err("refused");
        assert_eq!(error.kind, ErrorKind::TooLarge);
        let text = format!("{{\"input\": \"{}\"}}", ",[\\\"".repeat(VALUES_MAX));
        assert!(parse(text.as_bytes()).is_ok(), "text is one value");
    }

    #[tokio::test]
    async fn bodies_together_take_no_more_than_the_room() {
        let room = room(0);
        let permits = room.available_permits();
        let whole = Arc::clone(&room)
            .try_acquire_many_owned(u32::try_from(permits - 2).expect("small"))
            .expect("free");
        let body = |bytes: usize| Body::from(vec![b'x'; bytes]);
        let first = receive(body(STEP_BYTES + 1), usize::MAX, &room).await;
        assert!(first.is_ok());
        let second = receive(body(1), usize::MAX, &room).await;
        assert!(matches!(second, Err(Unreceived::NoRoom)));
        drop(first);
        assert!(receive(body(1), usize::MAX, &room).await.is_ok());
        drop(whole);
        assert_eq!(room.available_permits(), permits, "all is given back");
        let large = receive(body(11), 10, &room).await;
        assert!(matches!(large, Err(Unreceived::TooLarge)));
    }
}
