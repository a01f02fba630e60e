//! OpenAI's server-sent events: one `data:` line per chunk, comments in silence, `[DONE]` at the end.

use std::time::Duration;

use axum::response::Response;
use serde::Serialize;
use service::{Error, GenerationEvent};

use crate::failure::{self, Surface};
use crate::streaming::{self, EVENT_STREAM, Framing, write_json};

/// An event, and the index of the prompt that it belongs to.
pub type Tagged = (usize, GenerationEvent);

/// The events of all prompts of one request.
pub type Events = streaming::Events<Tagged>;

/// Turns events into the protocol's chunks.
pub trait Frames: Send + 'static {
    /// Appends the chunks of one event; none is fine.
    fn event(&mut self, event: Tagged, out: &mut Vec<u8>);
    /// Appends what comes after the last event.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Appends one `data:` line. JSON text has no raw line breaks, so one line is enough.
pub fn write_data(out: &mut Vec<u8>, value: &impl Serialize) {
    write_json(out, "data: ", value, "\n\n");
}

/// A streaming response, or the error that came before anything was generated.
pub async fn respond<F: Frames>(
    events: Events,
    frames: F,
    silence_max: Duration,
) -> Result<Response, Error> {
    streaming::respond(events, Chunks(frames), silence_max).await
}

struct Chunks<F>(F);

impl<F: Frames> Framing for Chunks<F> {
    type Event = Tagged;
    const CONTENT_TYPE: &'static str = EVENT_STREAM;
    const SURFACE: Surface = Surface::OpenAi;
    const SILENCE: Option<&'static [u8]> = Some(b": keep-alive\n\n");

    fn event(&mut self, event: Tagged, out: &mut Vec<u8>) {
        self.0.event(event, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.0.end(out);
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// No `[DONE]` follows: the answer is not done.
    fn failure(error: &Error, out: &mut Vec<u8>) {
        write_data(out, &failure::body(Surface::OpenAi, error));
    }
}
