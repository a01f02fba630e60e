//! The envelope of every answer: `{"result": …, "status": "ok", "time": seconds}`, and what errors say in its place.

use std::future::Future;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use service::{Error, ErrorKind};
use tokio::time::Instant;

use crate::failure::{Failure, Surface};

/// What a request cost, where something was counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Usage {
    /// Of models, when texts were turned into vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference: Option<Value>,
}

#[derive(Serialize)]
struct Envelope<T> {
    result: T,
    status: &'static str,
    time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// Answers with what `work` gives.
pub async fn answer<T, Work>(work: Work) -> Response
where
    T: Serialize,
    Work: Future<Output = Result<T, Error>>,
{
    answer_with_usage(async { work.await.map(|result| (result, None)) }).await
}

/// As [`answer`], with what it cost.
pub async fn answer_with_usage<T, Work>(work: Work) -> Response
where
    T: Serialize,
    Work: Future<Output = Result<(T, Option<Usage>), Error>>,
{
    let started = Instant::now();
    match work.await {
        Ok((result, usage)) => Json(Envelope {
            result,
            status: "ok",
            time: started.elapsed().as_secs_f64(),
            usage,
        })
        .into_response(),
        Err(error) => Failure::new(Surface::Qdrant, error).into_response(),
    }
}

/// The body of an error. Integrations read its words, which therefore begin as Qdrant's do.
pub fn failure_body(error: &Error) -> Value {
    let prefix = match error.kind {
        ErrorKind::InvalidRequest | ErrorKind::Conflict | ErrorKind::TooLarge => "Wrong input: ",
        ErrorKind::NotFound => "Not found: ",
        ErrorKind::Forbidden => "Forbidden: ",
        ErrorKind::DeadlineExceeded => "Timeout error: ",
        ErrorKind::Internal | ErrorKind::DataLoss => "Service internal error: ",
        _ => "",
    };
    let place = match &error.field {
        // Most messages begin with it already.
        Some(field) if !field.is_empty() && !error.message.contains(field.as_str()) => {
            format!(" (at `{field}`)")
        }
        _ => String::new(),
    };
    json!({
        "status": {"error": format!("{prefix}{}{place}", error.message)},
        "time": 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_integrations_read() {
        let shown = |error: &Error| {
            failure_body(error)["status"]["error"]
                .as_str()
                .map(str::to_owned)
        };
        assert_eq!(
            shown(&Error::new(
                ErrorKind::NotFound,
                "Collection `a` doesn't exist!"
            ))
            .as_deref(),
            Some("Not found: Collection `a` doesn't exist!")
        );
        assert_eq!(
            shown(&Error::new(
                ErrorKind::Conflict,
                "Collection `a` already exists!"
            ))
            .as_deref(),
            Some("Wrong input: Collection `a` already exists!")
        );
        assert_eq!(
            shown(&Error::invalid("limit", "must be at least 1")).as_deref(),
            Some("Wrong input: must be at least 1 (at `limit`)")
        );
    }
}
