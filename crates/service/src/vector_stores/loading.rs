//! From the bytes of a file to batches of chunks, on threads that may block.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

use documents::{
    Chunk, Chunker, ChunkingError, ChunkingOptions, ErrorKind as Fault, Flow, Item, LoadOptions,
    Place, Source, Strategy, TextModel,
};
use futures::{StreamExt, TryStreamExt, stream};
use inference::runner::protocol::TokenizeRequest;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

use crate::error::Error;
use crate::runtime::ModelLease;

/// Texts whose tokens are counted at the same time.
const COUNTS_AT_ONCE: usize = 16;
/// Chunks that go on together: enough to fill the model's batches, few enough that progress is seen.
const CHUNKS_PER_BATCH: usize = 64;

/// What is to be read, and how it is cut.
pub(super) struct Reading {
    pub path: PathBuf,
    pub filename: String,
    pub chunk_tokens: u32,
    pub overlap_tokens: u32,
    /// Counts tokens.
    pub lease: Arc<dyn ModelLease>,
}

/// Why a file is not searchable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LoadFailure {
    /// The file is at fault: OpenAI's code and what is wrong.
    File { code: &'static str, message: String },
    /// The server is; another attempt may do.
    Server(Error),
    /// Nobody wants it any more.
    Unwanted,
}

/// Chunks that were cut, with their places.
pub(super) type Batch = Vec<(Chunk, Place)>;

/// Reads a file to its end and sends its chunks. Blocks.
pub(super) fn read(
    reading: &Reading,
    runtime: &Handle,
    batches: &Sender<Batch>,
) -> Result<(), LoadFailure> {
    let mut chunker = Chunker::new(ChunkingOptions {
        strategy: Strategy::Recursive,
        size: reading.chunk_tokens as usize,
        overlap: reading.overlap_tokens as usize,
        keep_together: 0.0,
    })
    .map_err(of_chunking)?;
    let mut model = Counter {
        lease: reading.lease.as_ref(),
        runtime,
    };
    let mut batch = Batch::new();
    let mut failure = None;
    let mut take = |item: Item| {
        let outcome = match item {
            Item::Piece(piece) => chunker
                .chunk(&piece, &mut model)
                .map_err(of_chunking)
                .and_then(|chunks| {
                    for chunk in chunks {
                        batch.push((chunk, piece.place.clone()));
                        if batch.len() >= CHUNKS_PER_BATCH {
                            send(batches, std::mem::take(&mut batch))?;
                        }
                    }
                    Ok(())
                }),
            // A file that is partly unreadable would be found partly: its owner is told instead.
            Item::Fault(fault) => Err(of_document(&fault)),
        };
        match outcome {
            Ok(()) => Flow::Continue,
            Err(error) => {
                failure = Some(error);
                Flow::Stop
            }
        }
    };
    let source = Source::File {
        path: reading.path.clone(),
        name: reading.filename.clone(),
    };
    let loaded = documents::load(&source, &LoadOptions::default(), &mut take);
    if let Some(failure) = failure {
        return Err(failure);
    }
    loaded.map_err(|error| of_document(&error))?;
    if batch.is_empty() {
        return Ok(());
    }
    send(batches, batch)
}

fn send(batches: &Sender<Batch>, batch: Batch) -> Result<(), LoadFailure> {
    batches
        .blocking_send(batch)
        .map_err(|_| LoadFailure::Unwanted)
}

/// The embedding model's own tokenizer, asked over its lease.
struct Counter<'m> {
    lease: &'m dyn ModelLease,
    runtime: &'m Handle,
}

impl TextModel for Counter<'_> {
    fn count(&mut self, texts: &[&str]) -> Result<Vec<usize>, Box<dyn StdError + Send + Sync>> {
        let counts = stream::iter(texts)
            .map(|text| {
                self.lease.tokenize(TokenizeRequest {
                    text: (*text).to_owned(),
                    add_special: false,
                    parse_special: false,
                })
            })
            .buffered(COUNTS_AT_ONCE)
            .map_ok(|ids| ids.len())
            .try_collect::<Vec<usize>>();
        self.runtime
            .block_on(counts)
            .map_err(|error| ModelError(crate::failures::from_runner(error)).into())
    }

    fn embed(&mut self, _texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>> {
        Err("vector stores do not cut by meaning".into())
    }
}

/// A failure of the model on its way through the chunker.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ModelError(Error);

fn of_chunking(error: ChunkingError) -> LoadFailure {
    match error {
        ChunkingError::Model(error) => match error.downcast::<ModelError>() {
            Ok(error) => LoadFailure::Server(error.0),
            Err(error) => LoadFailure::Server(crate::failures::internal(error)),
        },
        other => LoadFailure::File {
            code: "invalid_file",
            message: format!("The file cannot be cut into chunks: {other}."),
        },
    }
}

fn of_document(error: &documents::Error) -> LoadFailure {
    let file = |code| LoadFailure::File {
        code,
        message: format!("The file cannot be read: {error}."),
    };
    match error.kind {
        Fault::Unsupported => file("unsupported_file"),
        Fault::Malformed | Fault::TooLarge | Fault::Crashed => file("invalid_file"),
        Fault::Unreadable => LoadFailure::Server(crate::failures::internal(error)),
        Fault::Stopped => LoadFailure::Unwanted,
    }
}
