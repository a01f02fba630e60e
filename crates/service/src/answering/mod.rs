//! Answering from documents: find passages, rank them, fit them to the model's context, let the model write, and map its
//! `[n]` marks to the passages they name.
//!
//! ```text
//! question ─► dense ┐
//!          ─► bm25  ┴─ RRF ─► ranking model, if any ─► as many as fit ─► the model ─► text with [n]
//! ```
//! Invariants: the model sees only passages of the caller's tenant; passages reach it as quotations between marks that a
//! document cannot write; a citation exists only where the model wrote its number, and only of a passage that it was shown.

mod asking;
mod citations;
mod grounding;
mod prompt;
mod retrieval;
mod types;

pub use asking::{Answer, AnswerEvent, AnswerEvents, AnswerRequest};
pub(crate) use citations::MarkReader;
pub use types::{AnsweringOptions, Passage, Ranker, Retrieval};

use std::sync::OnceLock;

use platform::entropy;

use crate::error::Result;
use crate::failures;

/// The parts behind the use cases.
pub(crate) struct Answering {
    pub(crate) options: AnsweringOptions,
    /// Makes the marks around quotations; known to no document.
    secret: OnceLock<[u8; 32]>,
}

impl Answering {
    pub(crate) fn new(options: AnsweringOptions) -> Self {
        Answering {
            options,
            secret: OnceLock::new(),
        }
    }

    /// The secret of this process.
    fn secret(&self) -> Result<&[u8]> {
        if let Some(secret) = self.secret.get() {
            return Ok(secret);
        }
        let mut secret = [0; 32];
        entropy::fill(&mut secret).map_err(failures::internal)?;
        // Whoever was quicker has made it.
        Ok(self.secret.get_or_init(|| secret))
    }
}
