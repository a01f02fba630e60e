//! gRPC on the port of everything else: HTTP/2 requests whose bodies are protobuf messages in a five-byte frame.
//!
//! A method is a row of the route table like any other route, so request ids, traces, keys, scopes, limits and metrics
//! come from the one middleware stack. What is left for this module is the framing ([`frame`]), the bounds of a message
//! before it is decoded ([`census`]), the caller's deadline, and errors as statuses ([`crate::failure`]).
//!
//! The services: Qdrant's ([`qdrant`]), health ([`health`]) and reflection ([`reflection`]).

mod census;
mod descriptors;
mod frame;
pub mod health;
mod protocol;
pub mod qdrant;
pub mod reflection;

use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Version, header};
use prost::{Message, Name};
use service::{Error, ErrorKind, Identity, Service};
use tokio::time::Instant;

use crate::body;
use crate::failure::{Failure, Surface};
use crate::state::App;

/// Messages larger than this are decoded beside the threads that serve the others.
const DECODE_INLINE_BYTES_MAX: usize = 1 << 20;

/// One call of a method.
pub struct Call {
    /// What every handler shares.
    pub app: App,
    /// Who calls; `None` only for methods that the table makes public.
    identity: Option<Identity>,
    started: Instant,
}

impl Call {
    /// The use cases.
    pub fn service(&self) -> &Service {
        &self.app.service
    }

    /// Who calls.
    ///
    /// # Errors
    /// Nobody was asked for a key: the table says that the method is public, its handler thinks otherwise.
    pub fn identity(&self) -> Result<&Identity, Error> {
        self.identity
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Unauthenticated, "this method needs an API key"))
    }

    /// Seconds since the message was read, for the `time` of answers.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Answers a call of a method with one message in and one out.
pub async fn unary<Q, A, W>(
    app: App,
    request: Request,
    handler: impl FnOnce(Call, Q) -> W,
) -> Response
where
    Q: Message + Name + Default + 'static,
    A: Message,
    W: Future<Output = Result<A, Error>>,
{
    match call(app, request, handler).await {
        Ok(answer) => frame::whole(&answer),
        Err(failure) => failure.into_response(),
    }
}

async fn call<Q, A, W>(
    app: App,
    request: Request,
    handler: impl FnOnce(Call, Q) -> W,
) -> Result<A, Failure>
where
    Q: Message + Name + Default + 'static,
    W: Future<Output = Result<A, Error>>,
{
    let failed = |error| Failure::new(Surface::Grpc, error);
    check_transport(&request).map_err(failed)?;
    let timeout = deadline(request.headers()).map_err(failed)?;
    let identity = request.extensions().get::<Identity>().cloned();
    let arrived = Instant::now();
    let working = async {
        let received = body::received(request, &app, Surface::Grpc).await?;
        let message = decode::<Q>(received).await.map_err(failed)?;
        let call = Call {
            app: app.clone(),
            identity,
            started: Instant::now(),
        };
        handler(call, message).await.map_err(failed)
    };
    let Some(timeout) = timeout else {
        return working.await;
    };
    let end = arrived + timeout;
    match tokio::time::timeout_at(end, working).await {
        // A result after the deadline is nobody's: its caller has stopped waiting.
        Ok(done) if Instant::now() < end => done,
        Ok(_) | Err(_) => {
            let message = "the call did not end before its deadline";
            Err(failed(Error::new(ErrorKind::DeadlineExceeded, message)))
        }
    }
}

/// Refuses what cannot be a call: the status of an answer travels in trailers, which HTTP/1.1 clients do not read.
fn check_transport(request: &Request) -> Result<(), Error> {
    if request.version() != Version::HTTP_2 {
        return Err(Error::new(
            ErrorKind::InvalidRequest,
            "gRPC needs HTTP/2; this request came over an older version",
        ));
    }
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match content_type.strip_prefix("application/grpc") {
        Some("" | "+proto") => Ok(()),
        Some(rest) if rest.starts_with(';') => Ok(()),
        _ => Err(Error::new(
            ErrorKind::InvalidRequest,
            "the content type of a call is `application/grpc`",
        )),
    }
}

async fn decode<Q>(received: body::Received) -> Result<Q, Error>
where
    Q: Message + Name + Default + 'static,
{
    if received.bytes.len() <= DECODE_INLINE_BYTES_MAX {
        return decode_now(&received.bytes);
    }
    tokio::task::spawn_blocking(move || decode_now(&received.bytes))
        .await
        .unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, error.to_string())))
}

fn decode_now<Q: Message + Name + Default>(body: &[u8]) -> Result<Q, Error> {
    let message = frame::single(body)?;
    census::check(&Q::full_name(), message)?;
    Q::decode(message).map_err(|error| {
        let what = Q::NAME;
        Error::new(
            ErrorKind::InvalidRequest,
            format!("the message is not a valid {what}: {error}"),
        )
    })
}

/// How long the caller waits: at most eight digits and a unit.
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let refused = || {
        Error::invalid(
            "grpc-timeout",
            "the deadline is at most eight digits and one of the units H, M, S, m, u, n",
        )
    };
    let text = value.to_str().map_err(|_| refused())?;
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    if digits.is_empty() || digits.len() > 8 {
        return Err(refused());
    }
    let count: u64 = digits.parse().map_err(|_| refused())?;
    Ok(Some(match &text[digits.len()..] {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return Err(refused()),
    }))
}
