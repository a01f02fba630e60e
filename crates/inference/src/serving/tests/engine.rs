//! A small deterministic engine whose next token depends on the cells that its sequences really hold.
//!
//! Every row of logits is drawn from a hash of the tokens found in the cells of that sequence, in the order of their
//! positions. A wrong share, a cell too many or one too few therefore shows up as wrong text, and most as a panic.

use std::collections::BTreeSet;
use std::time::Duration;

use platform::Clock;

use crate::engine::{
    BatchEntry, Engine, EngineError, EngineLimits, EngineMemory, Interrupt, SequenceId,
    SpecialTokens, Token,
};

pub const BEGIN: Token = 0;
pub const END: Token = 1;
/// Bytes of the tokens from 2 on; some are pieces of a character.
pub const WORDS: [&[u8]; 30] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"e",
    b"f",
    b"g",
    b"h",
    b"i",
    b"j",
    b"k",
    b"l",
    b"m",
    b"n",
    b" the",
    b" of",
    b" and",
    b"ab",
    b"ba",
    b"\xc3",
    b"\xa9",
    b"\xf0\x9f",
    b"\xa6\x80",
    b"\n",
    b".",
    b"{",
    b"}",
    b"\"",
    b":",
    b"1",
];
pub const VOCABULARY: u32 = 2 + WORDS.len() as u32;
const DIMENSIONS: u32 = 3;

#[derive(Debug, Clone)]
struct Cell {
    token: Token,
    position: u32,
    sequences: BTreeSet<SequenceId>,
}

pub struct TestEngine {
    limits: EngineLimits,
    special: SpecialTokens,
    cells: Vec<Cell>,
    /// Cells that it really has; fewer than it says, to see what a full cache does.
    pub cells_max: u32,
    rows: Vec<Option<Vec<f32>>>,
    clock: Clock,
    pub time_per_token: Duration,
    /// Tokens of every batch so far.
    pub batches: Vec<Vec<BatchEntry>>,
    pub embedded_batches: Vec<usize>,
    pub poisoned: bool,
}

impl TestEngine {
    pub fn new(clock: Clock, adapt: impl FnOnce(&mut EngineLimits)) -> Self {
        let mut limits = EngineLimits {
            context_tokens: 256,
            cache_tokens: 4096,
            batch_tokens_max: 64,
            sequences_max: 32,
            vocabulary: VOCABULARY,
            embedding_dimensions: DIMENSIONS,
            block_tokens: 1,
            mixes: true,
            partial_removal: true,
            generates: true,
            embeds: true,
            ranks: true,
        };
        adapt(&mut limits);
        Self {
            cells_max: limits.cache_tokens,
            special: SpecialTokens {
                begin: Some(BEGIN),
                end: Some(END),
                end_of_generation: vec![END],
            },
            limits,
            cells: Vec::new(),
            rows: Vec::new(),
            clock,
            time_per_token: Duration::from_millis(2),
            batches: Vec::new(),
            embedded_batches: Vec::new(),
            poisoned: false,
        }
    }

    pub fn cells_used(&self) -> usize {
        self.cells.len()
    }

    /// Tokens in the cells of a sequence; panics when positions are missing or held twice.
    pub fn content(&self, sequence: SequenceId) -> Vec<Token> {
        let mut cells: Vec<&Cell> = self
            .cells
            .iter()
            .filter(|cell| cell.sequences.contains(&sequence))
            .collect();
        cells.sort_by_key(|cell| cell.position);
        for (position, cell) in (0..).zip(&cells) {
            assert_eq!(
                cell.position, position,
                "positions of sequence {sequence} have gaps"
            );
        }
        cells.iter().map(|cell| cell.token).collect()
    }

    /// Sets of sequences that share a cell.
    pub fn shared(&self) -> Vec<&BTreeSet<SequenceId>> {
        self.cells
            .iter()
            .map(|cell| &cell.sequences)
            .filter(|sequences| sequences.len() > 1)
            .collect()
    }

    pub fn computed_tokens(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }
}

/// The model: logits after `content`, from nothing but it.
pub fn row_after(content: &[Token]) -> Vec<f32> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for token in content {
        hash = (hash ^ u64::from(*token)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (0..VOCABULARY)
        .map(|token| {
            let mut mixed = hash ^ u64::from(token).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed ^= mixed >> 29;
            (mixed % 10_000) as f32 / 1_250.0
        })
        .collect()
}

impl Engine for TestEngine {
    fn limits(&self) -> &EngineLimits {
        &self.limits
    }

    fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// Each letter is a token; a letter that is none is an error.
    fn tokenize(&self, text: &str, add_special: bool, _: bool) -> Result<Vec<Token>, EngineError> {
        let mut tokens = Vec::new();
        if add_special {
            tokens.push(BEGIN);
        }
        for byte in text.bytes() {
            let found = WORDS.iter().position(|word| *word == [byte]);
            let index = found.ok_or_else(|| EngineError::Invalid {
                what: format!("no token for byte {byte}"),
            })?;
            tokens.push(2 + index as Token);
        }
        Ok(tokens)
    }

    fn token_bytes(&self, token: Token, special: bool, out: &mut Vec<u8>) {
        match token {
            BEGIN | END if special => {
                out.extend_from_slice(if token == BEGIN { b"<s>" } else { b"</s>" })
            }
            BEGIN | END => {}
            _ => out.extend_from_slice(WORDS[token as usize - 2]),
        }
    }

    fn decode(&mut self, batch: &[BatchEntry]) -> Result<(), EngineError> {
        assert!(!batch.is_empty() && batch.len() <= self.limits.batch_tokens_max as usize);
        if self.poisoned {
            return Err(EngineError::Poisoned {
                reason: "as asked".to_owned(),
            });
        }
        if self.cells.len() + batch.len() > self.cells_max as usize {
            return Err(EngineError::CacheFull);
        }
        self.rows.clear();
        self.batches.push(batch.to_vec());
        for entry in batch {
            assert!(entry.sequence < self.limits.sequences_max && entry.token < VOCABULARY);
            let content = self.content(entry.sequence);
            assert_eq!(content.len(), entry.position as usize, "positions follow");
            assert!(entry.position < self.limits.context_tokens);
            self.cells.push(Cell {
                token: entry.token,
                position: entry.position,
                sequences: BTreeSet::from([entry.sequence]),
            });
            self.rows.push(
                entry
                    .wants_logits
                    .then(|| row_after(&self.content(entry.sequence))),
            );
        }
        self.clock.advance(self.time_per_token * batch.len() as u32);
        Ok(())
    }

    fn logits(&self, index: usize) -> &[f32] {
        self.rows[index].as_deref().expect("logits were asked for")
    }

    fn sequence_share(&mut self, from: SequenceId, to: SequenceId, end: u32) {
        assert!(self.content(to).is_empty(), "target of a share is empty");
        let held = self.content(from).len() as u32;
        assert!(end <= held, "shares what is there");
        assert!(
            self.limits.partial_removal || end == held,
            "shares whole sequences only"
        );
        for cell in &mut self.cells {
            if cell.position < end && cell.sequences.contains(&from) {
                cell.sequences.insert(to);
            }
        }
    }

    fn sequence_truncate(&mut self, sequence: SequenceId, start: u32) -> bool {
        if !self.limits.partial_removal && start > 0 {
            return false;
        }
        for cell in &mut self.cells {
            if cell.position >= start {
                cell.sequences.remove(&sequence);
            }
        }
        self.cells.retain(|cell| !cell.sequences.is_empty());
        true
    }

    /// Four bytes of each token, in order.
    fn sequence_save(&mut self, sequence: SequenceId) -> Option<Vec<u8>> {
        let content = self.content(sequence);
        Some(
            content
                .iter()
                .flat_map(|token| token.to_le_bytes())
                .collect(),
        )
    }

    fn sequence_restore(&mut self, sequence: SequenceId, state: &[u8]) -> bool {
        assert!(
            self.content(sequence).is_empty(),
            "target of a restore is empty"
        );
        if self.cells.len() + state.len() / 4 > self.cells_max as usize {
            return false;
        }
        for (position, token) in (0..).zip(state.chunks_exact(4)) {
            let token = Token::from_le_bytes(token.try_into().expect("four bytes"));
            let sequences = BTreeSet::from([sequence]);
            self.cells.push(Cell {
                token,
                position,
                sequences,
            });
        }
        true
    }

    fn embed(&mut self, inputs: &[Vec<Token>]) -> Result<Vec<Vec<f32>>, EngineError> {
        let tokens: usize = inputs.iter().map(Vec::len).sum();
        assert!(
            tokens <= self.limits.batch_tokens_max as usize,
            "one call is one batch"
        );
        self.embedded_batches.push(inputs.len());
        self.clock.advance(self.time_per_token * tokens as u32);
        Ok(inputs
            .iter()
            .map(|input| row_after(input)[..DIMENSIONS as usize].to_vec())
            .collect())
    }

    fn rank(&mut self, inputs: &[Vec<Token>]) -> Result<Vec<f32>, EngineError> {
        Ok(inputs.iter().map(|input| row_after(input)[0]).collect())
    }

    fn memory_bytes(&self) -> EngineMemory {
        EngineMemory::default()
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::default()
    }
}
