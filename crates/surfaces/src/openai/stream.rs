//! Server-sent events from generation events: framing, keep-alive comments, errors in the middle, `[DONE]`.
//!
//! The status is decided by the first event: a request that is refused by the queue gets its 429, not a 200 with an error
//! inside. Only when nothing has happened for one keep-alive interval (a long prompt) are the headers sent first.

use std::collections::VecDeque;
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
use service::{Error, ErrorKind, GenerationEvent};

use crate::failure::{self, Surface};

/// An event, and the index of the prompt that it belongs to.
pub type Tagged = (usize, GenerationEvent);

/// The events of all prompts of one request.
pub type Events = Pin<Box<dyn Stream<Item = Result<Tagged, Error>> + Send>>;

/// Turns events into the protocol's chunks.
pub trait Frames: Send + 'static {
    /// Appends the chunks of one event; none is fine.
    fn event(&mut self, event: Tagged, out: &mut Vec<u8>);
    /// Appends what comes after the last event.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Appends one `data:` line. JSON text has no raw line breaks, so one line is enough.
pub fn write_data(out: &mut Vec<u8>, value: &impl Serialize) {
    let start = out.len();
    out.extend_from_slice(b"data: ");
    if serde_json::to_writer(&mut *out, value).is_err() {
        // Only a map with keys that are not strings could get here, and our shapes have none.
        out.truncate(start);
        return;
    }
    out.extend_from_slice(b"\n\n");
}

/// Events that are ready together travel in one frame, up to this many: fewer writes when the client is slow.
const EVENTS_PER_FRAME_MAX: usize = 32;

enum Stage {
    Running,
    Ended,
}

struct Sse<F> {
    events: Events,
    frames: F,
    /// What was read before the response began.
    early: VecDeque<Result<Tagged, Error>>,
    silence_max: Duration,
    stage: Stage,
}

/// A streaming response, or the error that came before anything was generated.
pub async fn respond<F: Frames>(
    mut events: Events,
    frames: F,
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
    let sse = Sse {
        events,
        frames,
        early,
        silence_max,
        stage: Stage::Running,
    };
    let frames = stream::unfold(sse, |mut sse| async move {
        sse.next().await.map(|bytes| (bytes, sse))
    });
    // A panic while framing must not look like a good end of the stream.
    let guarded = AssertUnwindSafe(frames).catch_unwind().map(|frame| {
        Ok::<Bytes, std::convert::Infallible>(frame.unwrap_or_else(|_panic| {
            let mut out = Vec::new();
            write_failure(
                &mut out,
                &Error::new(ErrorKind::Internal, "an internal error ended the answer"),
            );
            Bytes::from(out)
        }))
    });
    let mut response = Response::new(Body::from_stream(guarded));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Asks nginx and its like not to collect the stream before passing it on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl<F: Frames> Sse<F> {
    async fn next(&mut self) -> Option<Bytes> {
        if matches!(self.stage, Stage::Ended) {
            return None;
        }
        let mut out = Vec::new();
        while out.is_empty() {
            let event = match self.early.pop_front() {
                Some(event) => Some(event),
                None => match tokio::time::timeout(self.silence_max, self.events.next()).await {
                    Ok(event) => event,
                    Err(_elapsed) => return Some(Bytes::from_static(b": keep-alive\n\n")),
                },
            };
            self.write(event, &mut out);
            for _ in 1..EVENTS_PER_FRAME_MAX {
                if matches!(self.stage, Stage::Ended) {
                    break;
                }
                match self.events.next().now_or_never() {
                    Some(event) => self.write(event, &mut out),
                    None => break,
                }
            }
        }
        Some(Bytes::from(out))
    }

    fn write(&mut self, event: Option<Result<Tagged, Error>>, out: &mut Vec<u8>) {
        match event {
            Some(Ok(event)) => self.frames.event(event, out),
            Some(Err(error)) => {
                write_failure(out, &error);
                self.stage = Stage::Ended;
            }
            None => {
                self.frames.end(out);
                out.extend_from_slice(b"data: [DONE]\n\n");
                self.stage = Stage::Ended;
            }
        }
    }
}

/// Appends an error event. No `[DONE]` follows: the answer is not done.
fn write_failure(out: &mut Vec<u8>, error: &Error) {
    metrics::counter!(
        "fornax_http_errors_total",
        "surface" => Surface::OpenAi.name(),
        "kind" => error.kind.name(),
    )
    .increment(1);
    write_data(out, &failure::body(Surface::OpenAi, error));
}
