//! Archives on their way through the service: blocking readers and writers on one side, bounded channels on the other.

use std::io::{self, Read, Write};

use futures::StreamExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::error::{Error, Result};

/// Bytes of one piece.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces on their way: what a slow reader makes the server hold is 2 MiB.
const PIECES: usize = 8;

/// Pieces of a file that is being sent; an error is the last.
pub type Pieces = futures::stream::BoxStream<'static, Result<Vec<u8>>>;

/// A writer whose bytes come out of the receiver.
pub(super) fn outgoing() -> (Outgoing, Receiver<Result<Vec<u8>>>) {
    let (sender, receiver) = channel(PIECES);
    let writer = Outgoing {
        sender,
        piece: Vec::with_capacity(PIECE_BYTES),
    };
    (writer, receiver)
}

/// Writes into a channel, for who may block.
pub(super) struct Outgoing {
    sender: Sender<Result<Vec<u8>>>,
    piece: Vec<u8>,
}

impl Outgoing {
    /// Sends what is left, or the error that ends it all.
    pub(super) fn finish(mut self, outcome: Result<()>) {
        let last = match outcome {
            Ok(()) if self.piece.is_empty() => return,
            Ok(()) => Ok(std::mem::take(&mut self.piece)),
            Err(error) => Err(error),
        };
        // Whoever has left needs no last piece.
        drop(self.sender.blocking_send(last));
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.sender
            .blocking_send(Ok(piece))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader has left"))
    }
}

/// A reader of what `pieces` brings. The future moves the pieces; it ends when they do, or when the reader is dropped.
pub(super) fn incoming(pieces: Pieces) -> (Incoming, impl Future<Output = ()> + Send) {
    let (sender, receiver) = channel(PIECES);
    let reader = Incoming {
        receiver,
        piece: Vec::new(),
        taken: 0,
        failure: None,
    };
    (reader, pump(pieces, sender))
}

async fn pump(mut pieces: Pieces, sender: Sender<Result<Vec<u8>>>) {
    while let Some(piece) = pieces.next().await {
        if sender.send(piece).await.is_err() {
            return;
        }
    }
}

/// Reads from a channel, for who may block.
pub(super) struct Incoming {
    receiver: Receiver<Result<Vec<u8>>>,
    piece: Vec<u8>,
    taken: usize,
    failure: Option<Error>,
}

impl Incoming {
    /// Why the pieces ended too early.
    pub(super) fn failure(self) -> Option<Error> {
        self.failure
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.piece.len() {
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => (self.piece, self.taken) = (piece, 0),
                Some(Err(error)) => {
                    let message = error.message.clone();
                    self.failure = Some(error);
                    return Err(io::Error::other(message));
                }
            }
        }
        let count = buffer.len().min(self.piece.len() - self.taken);
        buffer[..count].copy_from_slice(&self.piece[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// The pieces of a receiver.
pub(super) fn pieces(receiver: Receiver<Result<Vec<u8>>>) -> Pieces {
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    stream.boxed()
}
