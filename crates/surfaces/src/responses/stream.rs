//! Server-sent events of a response: one frame per event, named by its type, comments while nothing happens, and `[DONE]`
//! after the last, as Open Responses has it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use service::{Error, ErrorKind, NumberedEvent, ResponseEvents};

use super::events;
use super::reply::Shown;
use crate::failure::{self, Surface};

/// Events that are ready together travel in one frame, up to this many: fewer writes when the client is slow.
const EVENTS_PER_FRAME_MAX: usize = 32;

struct Sse {
    events: ResponseEvents,
    shown: Shown,
    silence_max: Duration,
    /// Of the next event, for an error that has none.
    sequence: u64,
    ended: bool,
}

/// The events as a streaming reply.
pub fn respond(events: ResponseEvents, shown: Shown, silence_max: Duration) -> Response {
    let sse = Sse {
        events,
        shown,
        silence_max,
        sequence: 0,
        ended: false,
    };
    let frames = stream::unfold(sse, |mut sse| async move {
        sse.next().await.map(|bytes| (bytes, sse))
    });
    // A panic while framing must not look like a good end of the stream.
    let guarded = AssertUnwindSafe(frames).catch_unwind().map(|frame| {
        Ok::<Bytes, std::convert::Infallible>(frame.unwrap_or_else(|_panic| {
            let mut out = Vec::new();
            let error = Error::new(ErrorKind::Internal, "an internal error ended the response");
            write_failure(&mut out, &error, 0);
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
    response
}

impl Sse {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = Vec::new();
        match tokio::time::timeout(self.silence_max, self.events.next()).await {
            Ok(event) => self.write(event, &mut out),
            Err(_elapsed) => return Some(Bytes::from_static(b": keep-alive\n\n")),
        }
        for _ in 1..EVENTS_PER_FRAME_MAX {
            if self.ended {
                break;
            }
            match self.events.next().now_or_never() {
                Some(event) => self.write(event, &mut out),
                None => break,
            }
        }
        Some(Bytes::from(out))
    }

    fn write(&mut self, event: Option<Result<NumberedEvent, Error>>, out: &mut Vec<u8>) {
        match event {
            Some(Ok(event)) => {
                self.sequence = event.sequence + 1;
                let (kind, data) = events::event(&event, self.shown);
                write_event(out, kind, &data);
            }
            Some(Err(error)) => {
                write_failure(out, &error, self.sequence);
                self.ended = true;
            }
            None => {
                out.extend_from_slice(b"data: [DONE]\n\n");
                self.ended = true;
            }
        }
    }
}

/// Appends one event. JSON text has no raw line breaks, so one line of data is enough.
fn write_event(out: &mut Vec<u8>, kind: &str, data: &Value) {
    out.extend_from_slice(format!("event: {kind}\ndata: {data}\n\n").as_bytes());
}

/// Appends an error event. No `[DONE]` follows: the response is not done.
fn write_failure(out: &mut Vec<u8>, error: &Error, sequence: u64) {
    metrics::counter!(
        "fornax_http_errors_total",
        "surface" => Surface::OpenAi.name(),
        "kind" => error.kind.name(),
    )
    .increment(1);
    let body = failure::body(Surface::OpenAi, error);
    let data = json!({
        "type": "error",
        "sequence_number": sequence,
        "code": body["error"]["code"],
        "message": body["error"]["message"],
        "param": body["error"]["param"],
    });
    write_event(out, "error", &data);
}
