//! Loading: from a path to a serving loop on a thread of its own.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, oneshot};

use crate::engine::EngineError;
use crate::runner::protocol as wire;
use crate::serving::grammar::GrammarCompiler;
use crate::serving::handle::ServingHandle;

/// A model that is being served.
pub(super) struct Loaded {
    pub handle: ServingHandle,
    pub facts: wire::ModelFacts,
    /// Compiles output constraints away from the engine's thread.
    pub grammars: GrammarCompiler,
}

/// Starts the engine's thread, which loads the model and then serves it. The answer comes through `ready`; progress
/// from 0 to 1 through `progress`, some of it lost when nobody reads.
pub(super) fn start(
    path: PathBuf,
    request: wire::LoadRequest,
    progress: mpsc::Sender<f32>,
    ready: oneshot::Sender<Result<Loaded, wire::Failure>>,
) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| {
                serve_file(&path, &request, progress, ready)
            }));
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "the engine's state is unknown: the runner ends");
                    std::process::abort();
                }
                Err(_) => {
                    // The panic's own message is on standard error already.
                    tracing::error!("the engine's thread panicked: the runner ends");
                    std::process::abort();
                }
            }
        })
        .map(drop)
}

fn serve_file(
    path: &Path,
    request: &wire::LoadRequest,
    progress: mpsc::Sender<f32>,
    ready: oneshot::Sender<Result<Loaded, wire::Failure>>,
) -> Result<(), EngineError> {
    let refuse = |ready: oneshot::Sender<Result<Loaded, wire::Failure>>, failure: wire::Failure| {
        // Who asked may be gone; the runner then waits for the next.
        let _ = ready.send(Err(failure));
        Ok(())
    };
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    if let Err(error) = read {
        let message = format!("the model file cannot be read: {error}");
        return refuse(ready, failure("load", message));
    }
    match &magic {
        #[cfg(feature = "llama")]
        b"GGUF" => super::gguf::serve(path, request, progress, ready),
        #[cfg(not(feature = "llama"))]
        b"GGUF" => {
            // The parameters that only an engine needs.
            let _ = (request, progress);
            let message =
                "this build serves no GGUF models: it was made without the feature `llama`";
            refuse(ready, failure("unsupported", message))
        }
        _ => {
            let message = "the file is not a GGUF file, and no other format is served";
            refuse(ready, failure("unsupported", message))
        }
    }
}

/// A failure to load, in the protocol's words.
pub(super) fn failure(kind: &str, message: impl Into<String>) -> wire::Failure {
    wire::Failure {
        kind: kind.to_owned(),
        message: message.into(),
        ..wire::Failure::default()
    }
}
