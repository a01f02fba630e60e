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
        parsed(request, app, parse).await.map(JsonValue)
    }
}

/// A request body read straight into `T`, without a tree of JSON values in between: for bodies that are mostly numbers.
/// Values that `T` keeps as a tree are its own to bound, with [`ValueCount`].
pub struct Typed<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<App> for Typed<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        parsed(request, app, parse_typed).await.map(Typed)
    }
}

/// How many values a request has made into trees so far.
#[derive(Debug, Default)]
pub struct ValueCount(usize);

impl ValueCount {
    /// Counts the values in `text`, which is JSON, before it is read.
    ///
    /// # Errors
    /// `TooLarge` when the request holds more than one may.
    pub fn add(&mut self, text: &str) -> Result<(), Error> {
        self.0 = self.0.saturating_add(count_values(text.as_bytes()));
        if self.0 > VALUES_MAX {
            return Err(too_many_values());
        }
        Ok(())
    }
}

/// Receives the body of `request` and reads it with `read`, beside the threads that serve others when it is large.
async fn parsed<T: Send + 'static>(
    request: Request,
    app: &App,
    read: fn(&[u8]) -> Result<T, Error>,
) -> Result<T, Failure> {
    let surface = Surface::of(request.uri().path(), request.headers());
    let received = received(request, app, surface).await?;
    let parsed = if received.bytes.len() > PARSE_INLINE_BYTES_MAX {
        tokio::task::spawn_blocking(move || read(&received.bytes))
            .await
            .unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, error.to_string())))
    } else {
        read(&received.bytes)
    };
    parsed.map_err(|error| Failure::new(surface, error))
}

/// The bytes of a request's body, under the limits of size, time and room; errors in the words of `surface`.
///
/// # Errors
/// It is too large or too slow, or breaks off.
pub async fn received(request: Request, app: &App, surface: Surface) -> Result<Received, Failure> {
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
    match tokio::time::timeout(app.options.body_timeout, reading).await {
        Err(_elapsed) => Err(Failure::body_timeout(surface)),
        Ok(Err(Unreceived::TooLarge)) => Err(too_large()),
        Ok(Err(Unreceived::NoRoom)) => {
            let message = "too many large request bodies are being read at once";
            let error = Error::new(ErrorKind::Overloaded, message);
            Err(Failure::new(surface, error))
        }
        Ok(Err(Unreceived::Broken(error))) => {
            let message = format!("the request body could not be read: {error}");
            Err(Failure::new(
                surface,
                Error::new(ErrorKind::InvalidRequest, message),
            ))
        }
        Ok(Ok(received)) => Ok(received),
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

/// A body that has arrived.
pub struct Received {
    /// All of it.
    pub bytes: BytesMut,
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

fn too_many_values() -> Error {
    let message = format!("the request body holds more than {VALUES_MAX} values");
    Error::new(ErrorKind::TooLarge, message)
}

fn check_not_empty(bytes: &[u8]) -> Result<(), Error> {
    if bytes.is_empty() {
        return Err(invalid_json(
            "the request body is empty; a JSON object is expected".to_string(),
        ));
    }
    Ok(())
}

fn parse(bytes: &[u8]) -> Result<Value, Error> {
    check_not_empty(bytes)?;
    // A short body cannot hold too many.
    if bytes.len() > VALUES_MAX && count_values(bytes) > VALUES_MAX {
        return Err(too_many_values());
    }
    serde_json::from_slice::<Value>(bytes)
        .map_err(|error| invalid_json(format!("the request body is not valid JSON: {error}")))
}

fn parse_typed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    check_not_empty(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        if matches!(
            error.inner().classify(),
            serde_json::error::Category::Syntax | serde_json::error::Category::Eof
        ) {
            let error = error.into_inner();
            return invalid_json(format!("the request body is not valid JSON: {error}"));
        }
        at_field(&error)
    })?;
    deserializer
        .end()
        .map_err(|error| invalid_json(format!("the request body is not valid JSON: {error}")))?;
    Ok(value)
}

/// Reads `body` as `T`; an error names the path of the field at fault.
pub fn read<T: DeserializeOwned>(body: &Value) -> Result<T, Error> {
    serde_path_to_error::deserialize(body).map_err(|error| at_field(&error))
}

fn at_field(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
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

    #[test]
    fn typed_bodies_name_the_field_at_fault_and_end_where_they_end() {
        #[derive(Debug, serde::Deserialize)]
        struct Body {
            rows: Vec<Row>,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Row {
            count: u32,
            #[serde(default)]
            payload: Option<Box<serde_json::value::RawValue>>,
        }
        let body = br#" {"rows": [{"count": 1, "payload": {"a": [1, 2]}}]} "#;
        let body: Body = parse_typed(body).expect("read");
        let raw = body.rows[0].payload.as_ref().expect("kept").get();
        assert_eq!((body.rows[0].count, raw), (1, r#"{"a": [1, 2]}"#));
        for (text, field) in [
            (
                r#"{"rows": [{"count": 1}, {"count": -1}]}"#,
                "rows[1].count",
            ),
            (r#"{"rows": [{}]}"#, "rows[0].count"),
        ] {
            let error = parse_typed::<Body>(text.as_bytes()).expect_err("refused");
            assert_eq!(error.field.as_deref(), Some(field), "{error}");
        }
        for text in ["", "{", "{\"rows\": []} x", "{\"rows\": [}"] {
            let error = parse_typed::<Body>(text.as_bytes()).expect_err("refused");
            assert_eq!(error.code, Some("invalid_json"), "{text}: {error}");
        }
    }

    #[test]
    fn payloads_of_one_body_together_hold_no_more_than_one_may() {
        let mut values = ValueCount::default();
        let text = format!("[{}0]", "0,".repeat(VALUES_MAX / 2));
        values.add(&text).expect("half");
        assert_eq!(
            values.add(&text).map_err(|error| error.kind),
            Err(ErrorKind::TooLarge)
        );
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
