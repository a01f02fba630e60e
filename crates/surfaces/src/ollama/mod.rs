//! Ollama's API: chat, generate and embed, and the models of the store, as its stock clients speak it.
//!
//! `types`, `replies` and `catalog` are the wire shapes; `options`, `conversation` and `convert` read requests; `reply`
//! writes answers; `generating` and `managing` are the handlers. Streams are one JSON object per line and the default.
//!
//! Truths that differ from Ollama's own server: a conversation that does not fit the context is an error, never cut in
//! silence; settings of the machine (`num_gpu`, `num_thread`, …) belong to this server's configuration and are read over;
//! there is no registry of short names, so a pull names its source.

mod catalog;
mod conversation;
mod convert;
mod generating;
mod managing;
mod options;
mod replies;
mod reply;
mod sources;
#[cfg(test)]
mod tests;
mod types;

use axum::response::{IntoResponse, Response};
use service::{Error, ErrorKind};

use crate::failure::{Failure, Surface};

pub use generating::{chat, embed, embeddings, generate};
pub use managing::{
    copy, create, delete, has_blob, not_here, pull, running, show, tags, upload_blob, version,
};

/// The version of Ollama whose API this is: clients decide by it what they may ask for.
const WIRE_VERSION: &str = "0.12.11";
/// Most bytes of a name that an error repeats.
const QUOTED_BYTES_MAX: usize = 120;

/// An error in Ollama's shape.
type Answer = Result<Response, OllamaFailure>;

/// Wraps [`Failure`] so that `?` on a service error picks this surface.
pub struct OllamaFailure(Failure);

impl From<Error> for OllamaFailure {
    fn from(error: Error) -> Self {
        OllamaFailure(Failure::new(Surface::Ollama, error))
    }
}

impl IntoResponse for OllamaFailure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// The error of a field that exists elsewhere but not here.
fn unsupported(field: &str, why: &str) -> Error {
    Error::invalid(field, format!("`{field}` is not supported: {why}"))
}

/// `error` of a request for `model`, in the words that clients look for.
fn in_their_words(error: Error, model: &str) -> Error {
    if error.code != Some("model_not_found") {
        return error;
    }
    let name: String = model.chars().take(QUOTED_BYTES_MAX).collect();
    let hint = error
        .message
        .split_once("does not exist.")
        .map_or("", |(_, hint)| hint);
    Error {
        kind: ErrorKind::NotFound,
        message: format!("model '{name}' not found.{hint}"),
        ..error
    }
}
