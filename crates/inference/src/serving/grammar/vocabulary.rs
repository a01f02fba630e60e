//! A model's tokens as the grammar library wants them: bytes, with control tokens set apart.

use std::sync::Arc;

use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};

use crate::engine::{Engine, Token};

/// The bytes of every token, and which tokens end the output.
///
/// Control tokens are written as their name behind the byte 0xFF, which no text contains, so that a grammar for
/// text never produces one and a grammar that names one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<Vec<u8>>,
    end_of_generation: Vec<Token>,
}

impl Vocabulary {
    /// Reads the vocabulary of an engine; some 20 ms for 150,000 tokens.
    #[must_use]
    pub fn of(engine: &dyn Engine) -> Self {
        let count = engine.limits().vocabulary;
        let mut words = Vec::with_capacity(count as usize);
        let mut bytes = Vec::new();
        for token in 0..count {
            bytes.clear();
            engine.token_bytes(token, false, &mut bytes);
            if bytes.is_empty() {
                engine.token_bytes(token, true, &mut bytes);
                if !bytes.is_empty() {
                    bytes.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
                }
            }
            words.push(bytes.clone());
        }
        Self::new(words, engine.special_tokens().end_of_generation.clone())
    }

    /// A vocabulary from the words themselves: text tokens as their bytes, control tokens as 0xFF and their
    /// name, unusable tokens empty. Ids of `end_of_generation` outside of the list are passed over.
    #[must_use]
    pub fn new(words: Vec<Vec<u8>>, end_of_generation: Vec<Token>) -> Self {
        let end_of_generation = end_of_generation
            .into_iter()
            .filter(|&token| (token as usize) < words.len())
            .collect();
        Self {
            words,
            end_of_generation,
        }
    }

    /// The words as they were given.
    #[cfg(test)]
    pub(super) fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    /// The control token of a name.
    #[must_use]
    pub fn control_token(&self, name: &str) -> Option<Token> {
        self.words
            .iter()
            .position(|word| {
                word.split_first().is_some_and(|(marker, rest)| {
                    *marker == TokTrie::SPECIAL_TOKEN_MARKER && rest == name.as_bytes()
                })
            })
            .map(|index| index as Token)
    }

    /// Builds the trie. The library wants at least one end token and one control token; where the model has
    /// none, an id beyond the vocabulary stands in, which no sampler can choose.
    pub(super) fn environment(&self) -> TokEnv {
        let mut words = self.words.clone();
        let mut ends = self.end_of_generation.clone();
        // A text token that begins with the marker byte (a byte-level token of broken text) would be taken
        // for a control token. It can stand in no valid text, so it is left out.
        for word in &mut words {
            let is_marker_text = word.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER)
                && (word.len() == 1 || std::str::from_utf8(&word[1..]).is_err());
            if is_marker_text {
                word.clear();
            }
        }
        words.push(b"\xFF<|end of output|>".to_vec());
        if ends.is_empty() {
            ends.push((words.len() - 1) as Token);
        }
        let info = TokRxInfo::new(words.len() as u32, ends[0]);
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        Arc::new(ApproximateTokEnv::new(trie))
    }
}
