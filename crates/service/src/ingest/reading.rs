//! From the bytes of a file to batches of chunks, on a thread that may block.

use std::sync::Arc;

use documents::{
    Chunk, Chunker, ChunkingError, ChunkingOptions, Error as DocumentError, Flow, Item,
    LoadOptions, Piece, Source,
};
use tokio::sync::mpsc::Sender;

use super::model::{BlockingModel, ModelFailure};
use super::types::Fault;
use crate::error::Error;
use crate::failures;

/// Chunks that go on together: enough to fill the model's batches, few enough that progress is seen.
const CHUNKS_PER_BATCH: usize = 64;

/// What the reader sends.
pub(super) enum Part {
    /// Chunks, each with its piece, whose text is gone.
    Chunks(Vec<(Chunk, Arc<Piece>)>),
    /// A place that could not be read.
    Fault(Fault),
}

/// Why reading ended early.
pub(super) enum Ended {
    /// The file is at fault.
    File(Fault),
    /// The server is.
    Server(Error),
    /// Nobody listens any more.
    Unwanted,
}

/// Reads the source to its end and sends what it gives.
pub(super) fn read(
    source: &Source,
    load: &LoadOptions,
    chunking: ChunkingOptions,
    mut model: BlockingModel,
    parts: &Sender<Part>,
) -> Result<(), Ended> {
    let mut chunker = Chunker::new(chunking).map_err(of_chunking)?;
    let mut batch = Vec::with_capacity(CHUNKS_PER_BATCH);
    let mut ended = None;
    let mut take = |item: Item| {
        let taken = match item {
            Item::Fault(error) => send(parts, Part::Fault(fault(&error))),
            Item::Piece(mut piece) => chunker
                .chunk(&piece, &mut model)
                .map_err(of_chunking)
                .and_then(|chunks| {
                    piece.text = String::new();
                    let piece = Arc::new(piece);
                    for chunk in chunks {
                        batch.push((chunk, Arc::clone(&piece)));
                        if batch.len() >= CHUNKS_PER_BATCH {
                            send(parts, Part::Chunks(std::mem::take(&mut batch)))?;
                        }
                    }
                    Ok(())
                }),
        };
        match taken {
            Ok(()) => Flow::Continue,
            Err(error) => {
                ended = Some(error);
                Flow::Stop
            }
        }
    };
    let loaded = documents::load(source, load, &mut take);
    if let Some(ended) = ended {
        return Err(ended);
    }
    loaded.map_err(|error| Ended::File(fault(&error)))?;
    if batch.is_empty() {
        return Ok(());
    }
    send(parts, Part::Chunks(batch))
}

fn send(parts: &Sender<Part>, part: Part) -> Result<(), Ended> {
    parts.blocking_send(part).map_err(|_| Ended::Unwanted)
}

fn fault(error: &DocumentError) -> Fault {
    Fault {
        place: error.place.to_string(),
        message: error.detail.clone(),
    }
}

fn of_chunking(error: ChunkingError) -> Ended {
    match error {
        ChunkingError::Model(error) => match error.downcast::<ModelFailure>() {
            Ok(error) => Ended::Server(error.0),
            Err(error) => Ended::Server(failures::internal(error)),
        },
        error @ ChunkingError::TooSmall(..) => Ended::File(Fault {
            place: String::new(),
            message: error.to_string(),
        }),
        error => Ended::Server(failures::internal(error)),
    }
}
