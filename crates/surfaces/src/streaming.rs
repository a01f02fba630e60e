//! Answers that come in pieces, whatever the protocol's framing: pieces that are ready together travel together, a
//! silence is filled where the protocol has something for it, and an error in the middle is told in the stream.
//!
//! The status is decided by the first event: a request that is refused by the queue gets its 429, not a 200 with an error
//! inside. Only when nothing has happened for one silence interval (a long prompt) are the headers sent first.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{self, Stream, StreamExt};
use http::{HeaderValue, header};
use serde::Serialize;
use service::{Error, ErrorKind};

use crate::failure::Surface;

/// What an answer is written from.
pub type Events<E> = Pin<Box<dyn Stream<Item = Result<E, Error>> + Send>>;

/// How one protocol writes a stream of events.
pub trait Framing: Send + 'static {
    /// What is written.
    type Event: Send + 'static;
    /// Value of the header `content-type`.
    const CONTENT_TYPE: &'static str;
    /// Whose errors these are, for the metrics.
    const SURFACE: Surface;
    /// Sent when nothing happened for a while, so that the connection is not taken for dead; `None` where a client would
    /// take anything for a part of the answer.
    const SILENCE: Option<&'static [u8]>;

    /// Appends what one event becomes; nothing is fine.
    fn event(&mut self, event: Self::Event, out: &mut Vec<u8>);
    /// Appends what comes after the last event.
    fn end(&mut self, out: &mut Vec<u8>);
    /// Appends an error, after which nothing comes.
    fn failure(error: &Error, out: &mut Vec<u8>);
}

/// `content-type` of server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// Appends one JSON value and what separates it from the next.
pub fn write_json(out: &mut Vec<u8>, before: &str, value: &impl Serialize, after: &str) {
    let start = out.len();
    out.extend_from_slice(before.as_bytes());
    if serde_json::to_writer(&mut *out, value).is_err() {
        // Only a map with keys that are not strings could get here, and our shapes have none.
        out.truncate(start);
        return;
    }
    out.extend_from_slice(after.as_bytes());
}

/// Events that are ready together travel in one frame, up to this many: fewer writes when the client is slow.
const EVENTS_PER_FRAME_MAX: usize = 32;

struct Writer<F: Framing> {
    events: Events<F::Event>,
    framing: F,
    /// What was read before the response began.
    early: VecDeque<Result<F::Event, Error>>,
    silence_max: Duration,
    ended: bool,
}

/// A streaming response, or the error that came before anything was generated.
///
/// # Errors
/// The first event, when it is an error.
pub async fn respond<F: Framing>(
    mut events: Events<F::Event>,
    framing: F,
    silence_max: Duration,
) -> Result<Response, Error> {
    let mut early = VecDeque::new();
    match tokio::time::timeout(silence_max, events.next()).await {
        Ok(Some(Err(error))) => return Err(error),
        Ok(Some(event)) => early.push_back(event),
        Ok(None) => {
            return Err(Error::new(
                ErrorKind::Internal,
                "the generation ended without a result",
            ));
        }
        Err(_elapsed) => {}
    }
    let writer = Writer {
        events,
        framing,
        early,
        silence_max,
        ended: false,
    };
    let frames = stream::unfold(writer, |mut writer| async move {
        writer.next().await.map(|bytes| (bytes, writer))
    });
    // A panic while framing must not look like a good end of the stream.
    let guarded = AssertUnwindSafe(frames).catch_unwind().map(|frame| {
        Ok::<Bytes, Infallible>(frame.unwrap_or_else(|_panic| {
            let mut out = Vec::new();
            fail::<F>(
                &Error::new(ErrorKind::Internal, "an internal error ended the answer"),
                &mut out,
            );
            Bytes::from(out)
        }))
    });
    let mut response = Response::new(Body::from_stream(guarded));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(F::CONTENT_TYPE),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Asks nginx and its like not to collect the stream before passing it on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl<F: Framing> Writer<F> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = Vec::new();
        while out.is_empty() && !self.ended {
            let event = match self.early.pop_front() {
                Some(event) => Some(event),
                None => match tokio::time::timeout(self.silence_max, self.events.next()).await {
                    Ok(event) => event,
                    Err(_elapsed) => match F::SILENCE {
                        Some(bytes) => return Some(Bytes::from_static(bytes)),
                        None => continue,
                    },
                },
            };
            self.write(event, &mut out);
            for _ in 1..EVENTS_PER_FRAME_MAX {
                if self.ended {
                    break;
                }
                match self.events.next().now_or_never() {
                    Some(event) => self.write(event, &mut out),
                    None => break,
                }
            }
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    fn write(&mut self, event: Option<Result<F::Event, Error>>, out: &mut Vec<u8>) {
        match event {
            Some(Ok(event)) => self.framing.event(event, out),
            Some(Err(error)) => {
                fail::<F>(&error, out);
                self.ended = true;
            }
            None => {
                self.framing.end(out);
                self.ended = true;
            }
        }
    }
}

fn fail<F: Framing>(error: &Error, out: &mut Vec<u8>) {
    metrics::counter!(
        "fornax_http_errors_total",
        "surface" => F::SURFACE.name(),
        "kind" => error.kind.name(),
    )
    .increment(1);
    F::failure(error, out);
}
