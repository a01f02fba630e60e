//! Pieces to chunks: text of bounded size, in tokens of the model that will embed it.
//!
//! How it works: the text becomes *atoms* (words with the white space before them), whose tokens are counted once per
//! distinct word. Marks say how good a place for a cut every border of atoms is: the strategies differ only in them.
//! The packer fills chunks up to the size and cuts at the best mark; then whole chunks are counted, and what the sum
//! over words had underestimated is cut again.
//!
//! What always holds, and is tested with random texts and counters:
//! 1. The spans of a piece's chunks follow each other without gap and cover the piece.
//! 2. No chunk is empty, and none counts more tokens than the size.
//! 3. `text` is exactly the piece's text at `content`, and `start..end` are its characters in the document part.

mod atoms;
mod marks;
mod pack;
mod semantic;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::ops::Range;

use crate::piece::Piece;

/// Where chunks end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// After the last word that fits.
    Fixed,
    /// After the last sentence that fits.
    Sentence,
    /// After the last paragraph that fits; a paragraph that is too long is cut after sentences.
    Paragraph,
    /// At the best place in the second half of what fits: between blocks, else lines, else sentences, else words.
    Recursive,
    /// Where the meaning turns: between sentences whose embeddings are far apart.
    Semantic,
    /// At headings, then as [`Strategy::Recursive`].
    Markdown,
}

impl Strategy {
    /// All, by name.
    pub const ALL: [(&'static str, Strategy); 6] = [
        ("fixed", Strategy::Fixed),
        ("sentence", Strategy::Sentence),
        ("paragraph", Strategy::Paragraph),
        ("recursive", Strategy::Recursive),
        ("semantic", Strategy::Semantic),
        ("markdown", Strategy::Markdown),
    ];

    /// The strategy of this name.
    pub fn named(name: &str) -> Option<Self> {
        Strategy::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, strategy)| *strategy)
    }
}

/// How text is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChunkingOptions {
    /// Where chunks end.
    pub strategy: Strategy,
    /// Most tokens of a chunk.
    pub size: usize,
    /// Most tokens at a chunk's start that repeat the end of the one before; less than `size`.
    pub overlap: usize,
    /// For [`Strategy::Semantic`]: the share of borders between sentences, by distance, that are no cut. 0.9 cuts at the
    /// tenth of them where neighbours differ most.
    pub keep_together: f64,
}

/// Smallest size: below it a word of one language and a character of another no longer fit.
pub const SIZE_MIN: usize = 8;
/// Largest size: no model reads more.
pub const SIZE_MAX: usize = 1 << 20;

/// The model that a chunk is for.
pub trait TextModel {
    /// Tokens of each text, without those that the model adds around every input.
    ///
    /// # Errors
    /// What the model says.
    fn count(&mut self, texts: &[&str]) -> Result<Vec<usize>, Box<dyn StdError + Send + Sync>>;

    /// A vector for each text, all of one width; only [`Strategy::Semantic`] asks.
    ///
    /// # Errors
    /// What the model says.
    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn StdError + Send + Sync>>;
}

/// A part of a piece's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The text, without white space around it.
    pub text: String,
    /// Bytes of the piece's text that `text` is, the overlap included.
    pub content: Range<usize>,
    /// Bytes of the piece's text that this chunk answers for, white space included and the overlap not.
    pub span: Range<usize>,
    /// First character of `text` in its document part.
    pub start: u64,
    /// The character after its last.
    pub end: u64,
    /// Tokens.
    pub tokens: usize,
    /// Titles of the headings above it, the highest first.
    pub path: Vec<String>,
}

/// Why text could not be cut.
#[derive(Debug, thiserror::Error)]
pub enum ChunkingError {
    /// The options contradict each other.
    #[error("{field}: {reason}")]
    Options {
        /// Which option.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// One character alone has more tokens than a chunk may.
    #[error("the character '{0}' alone has more tokens than a chunk of {1}")]
    TooSmall(char, usize),
    /// The model failed.
    #[error("{0}")]
    Model(Box<dyn StdError + Send + Sync>),
    /// The model answered with another number of results than it was asked for.
    #[error("the model answered {given} of {asked} texts")]
    Answers {
        /// Texts asked.
        asked: usize,
        /// Results given.
        given: usize,
    },
}

/// Cuts pieces; keeps what it learnt about words from one piece to the next.
#[derive(Debug)]
pub struct Chunker {
    options: ChunkingOptions,
    counts: HashMap<Box<str>, usize>,
}

impl Chunker {
    /// A chunker of these options.
    ///
    /// # Errors
    /// The size is out of range, or the overlap is not below it.
    pub fn new(options: ChunkingOptions) -> Result<Self, ChunkingError> {
        if !(SIZE_MIN..=SIZE_MAX).contains(&options.size) {
            return Err(ChunkingError::Options {
                field: "chunk_size",
                reason: format!("must be {SIZE_MIN} to {SIZE_MAX} tokens"),
            });
        }
        if options.overlap >= options.size {
            return Err(ChunkingError::Options {
                field: "chunk_overlap",
                reason: format!("must be less than the size of {} tokens", options.size),
            });
        }
        if !(0.0..=1.0).contains(&options.keep_together) {
            return Err(ChunkingError::Options {
                field: "keep_together",
                reason: "must be between 0 and 1".to_owned(),
            });
        }
        Ok(Chunker {
            options,
            counts: HashMap::new(),
        })
    }

    /// The chunks of `piece`, in order; none when it holds white space only.
    ///
    /// # Errors
    /// The model fails, or one character alone does not fit.
    pub fn chunk(
        &mut self,
        piece: &Piece,
        model: &mut dyn TextModel,
    ) -> Result<Vec<Chunk>, ChunkingError> {
        if piece.text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let atoms = atoms::split(&piece.text, self.options.size, &mut self.counts, model)?;
        let mut marks = marks::place(piece, &atoms, self.options.strategy);
        if self.options.strategy == Strategy::Semantic {
            semantic::mark(
                &piece.text,
                &atoms,
                &mut marks,
                self.options.keep_together,
                model,
            )?;
        }
        let drafts = pack::pack(&atoms, &marks, &self.options);
        let counted = pack::settle(&piece.text, &atoms, drafts, self.options.size, model)?;
        Ok(finish(piece, counted))
    }
}

/// Drafts to chunks: characters are counted and headings found in one pass over the text.
fn finish(piece: &Piece, counted: Vec<(pack::Draft, usize)>) -> Vec<Chunk> {
    let text = &piece.text;
    let (mut byte, mut characters) = (0, piece.characters_before);
    let mut headings = piece.headings.iter().peekable();
    let mut open: Vec<(u8, &str)> = Vec::new();
    let mut chunks = Vec::with_capacity(counted.len());
    for (draft, tokens) in counted {
        let content = draft.content(text);
        if content.start >= byte {
            characters += text[byte..content.start].chars().count() as u64;
        } else {
            // Cut again after it was drafted with an overlap, a chunk may begin before its forerunner.
            characters -= text[content.start..byte].chars().count() as u64;
        }
        byte = content.start;
        // The heading of the part that is not repeated counts.
        let own = draft.begin + text[draft.begin..draft.end].len()
            - text[draft.begin..draft.end].trim_start().len();
        while let Some(heading) = headings.next_if(|heading| heading.byte <= own) {
            while open
                .last()
                .is_some_and(|(level, _)| *level >= heading.level)
            {
                open.pop();
            }
            open.push((heading.level, &heading.title));
        }
        let inside = text[content.clone()].chars().count() as u64;
        chunks.push(Chunk {
            text: text[content.clone()].to_owned(),
            content,
            span: draft.begin..draft.end,
            start: characters,
            end: characters + inside,
            tokens,
            path: piece
                .path
                .iter()
                .cloned()
                .chain(open.iter().map(|(_, title)| (*title).to_owned()))
                .collect(),
        });
    }
    chunks
}
