//! What loaders hand out, counted against the limits.

use std::sync::mpsc::SyncSender;

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::piece::Piece;

/// What a load gives, one after the other.
#[derive(Debug)]
pub enum Item {
    /// Text.
    Piece(Piece),
    /// A fault of one place; the rest goes on.
    Fault(Error),
}

/// Whether a load goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// The caller has enough.
    Stop,
}

/// What a load came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Pieces handed out.
    pub pieces: u64,
    /// Bytes of their text.
    pub text_bytes: u64,
    /// Faults handed out.
    pub faults: u64,
}

/// The loader's end: sends items and keeps the bounds that all loaders share.
pub(crate) struct Output<'a> {
    pub(crate) limits: &'a Limits,
    items: SyncSender<Item>,
    summary: Summary,
    rows: u64,
}

impl<'a> Output<'a> {
    pub(crate) fn new(limits: &'a Limits, items: SyncSender<Item>) -> Self {
        Output {
            limits,
            items,
            summary: Summary::default(),
            rows: 0,
        }
    }

    /// Hands out a piece; one without text and without a vector is left out.
    pub(crate) fn piece(&mut self, piece: Piece) -> Result<(), Error> {
        if piece.vector.is_none() && piece.text.trim().is_empty() {
            return Ok(());
        }
        self.summary.text_bytes = self
            .summary
            .text_bytes
            .saturating_add(piece.text.len() as u64);
        if self.summary.text_bytes > self.limits.text_bytes_max {
            return Err(
                Error::too_large("bytes of text", self.limits.text_bytes_max).at(piece.place),
            );
        }
        self.summary.pieces += 1;
        self.send(Item::Piece(piece))
    }

    /// Counts a row before it is read.
    pub(crate) fn row(&mut self) -> Result<(), Error> {
        self.rows += 1;
        if self.rows > self.limits.rows_max {
            return Err(Error::too_large("rows", self.limits.rows_max));
        }
        Ok(())
    }

    /// Reports a fault and goes on; a fault that concerns everything, or one too many, is given back instead.
    pub(crate) fn fault(&mut self, fault: Error) -> Result<(), Error> {
        if fault.kind == ErrorKind::Stopped {
            return Err(fault);
        }
        self.summary.faults += 1;
        if self.summary.faults > self.limits.faults_max as u64 {
            return Err(Error::too_large("faults", self.limits.faults_max as u64).at(fault.place));
        }
        self.send(Item::Fault(fault))
    }

    pub(crate) fn summary(&self) -> Summary {
        self.summary
    }

    fn send(&mut self, item: Item) -> Result<(), Error> {
        self.items.send(item).map_err(|_| Error::stopped())
    }
}
