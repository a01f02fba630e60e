//! Reading a JSON request body under the size and time limits.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use service::{Error, ErrorKind};

use crate::failure::{Failure, Surface};
use crate::state::App;

/// A JSON object from the request body, whatever the content type says: authentication never rides on cookies, so a
/// browser cannot be tricked into sending one.
pub struct JsonObject(pub Value);

impl FromRequest<App> for JsonObject {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let surface = Surface::of(request.uri().path());
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
        let reading = Limited::new(request.into_body(), limit).collect();
        let bytes = match tokio::time::timeout(app.options.body_timeout, reading).await {
            Err(_elapsed) => return Err(Failure::body_timeout(surface)),
            Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
                return Err(too_large());
            }
            Ok(Err(error)) => {
                let message = format!("the request body could not be read: {error}");
                return Err(Failure::new(
                    surface,
                    Error::new(ErrorKind::InvalidRequest, message),
                ));
            }
            Ok(Ok(collected)) => collected.to_bytes(),
        };
        parse(&bytes)
            .map(JsonObject)
            .map_err(|error| Failure::new(surface, error))
    }
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

fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let invalid =
        |message: String| Error::new(ErrorKind::InvalidRequest, message).with_code("invalid_json");
    if bytes.is_empty() {
        return Err(invalid(
            "the request body is empty; a JSON object is expected".to_string(),
        ));
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(invalid("the request body is not a JSON object".to_string())),
        Err(error) => Err(invalid(format!(
            "the request body is not valid JSON: {error}"
        ))),
    }
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
