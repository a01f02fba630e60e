//! Vocabularies: from `tokenizer.json` (or `vocab.txt`) to the token list, types, merges and special ids of GGUF.

use std::collections::HashMap;

use serde_json::Value;

use super::blueprint::Blueprint;
use super::error::ConvertError;
use super::source::Checkpoint;
use crate::files::gguf_writer::MetadataValue;

pub(super) const TOKENIZER_FILE: &str = "tokenizer.json";
pub(super) const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
pub(super) const SPECIAL_TOKENS_FILE: &str = "special_tokens_map.json";

/// Most tokens of a vocabulary: four times the largest that we know.
const TOKENS_MAX: u64 = 1 << 20;

/// llama.cpp's kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum TokenKind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
}

/// A vocabulary in the order of its ids.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    pub tokens: Vec<Option<(String, TokenKind)>>,
    pub id_of: HashMap<String, u32>,
}

impl Vocabulary {
    /// Gives `id` to `token`. A later kind replaces an earlier one: added tokens come after the model's own.
    pub(super) fn insert(
        &mut self,
        token: &str,
        id: u64,
        kind: TokenKind,
    ) -> Result<(), ConvertError> {
        if id >= TOKENS_MAX {
            let message = format!("id {id} of a token is beyond {TOKENS_MAX}");
            return Err(ConvertError::field(TOKENIZER_FILE, "vocab", message));
        }
        let index = id as usize;
        if self.tokens.len() <= index {
            self.tokens.resize(index + 1, None);
        }
        if let Some((other, _)) = &self.tokens[index]
            && other != token
        {
            let message = format!("id {id} belongs to two tokens");
            return Err(ConvertError::field(TOKENIZER_FILE, "vocab", message));
        }
        self.tokens[index] = Some((token.to_owned(), kind));
        self.id_of.insert(token.to_owned(), id as u32);
        Ok(())
    }

    /// The model's own tokens and the added ones of a `tokenizer.json`.
    pub(super) fn from_tokenizer(tokenizer: &Value) -> Result<Self, ConvertError> {
        let wrong =
            |field: &str| ConvertError::field(TOKENIZER_FILE, field, "has an unexpected form");
        let mut vocabulary = Self::default();
        let own = tokenizer
            .pointer("/model/vocab")
            .and_then(Value::as_object)
            .ok_or_else(|| wrong("model.vocab"))?;
        for (token, id) in own {
            let id = id.as_u64().ok_or_else(|| wrong("model.vocab"))?;
            vocabulary.insert(token, id, TokenKind::Normal)?;
        }
        let added = tokenizer.get("added_tokens").and_then(Value::as_array);
        for token in added.into_iter().flatten() {
            let text = token.get("content").and_then(Value::as_str);
            let id = token.get("id").and_then(Value::as_u64);
            let (Some(text), Some(id)) = (text, id) else {
                return Err(wrong("added_tokens"));
            };
            let special = token.get("special").and_then(Value::as_bool) == Some(true);
            let kind = if special {
                TokenKind::Control
            } else {
                TokenKind::UserDefined
            };
            vocabulary.insert(text, id, kind)?;
        }
        Ok(vocabulary)
    }

    /// Writes the token list and kinds, as long as the embedding has rows; ids without a token become unused ones.
    pub(super) fn write(
        self,
        blueprint: &mut Blueprint,
        rows: u32,
        spell: impl Fn(&str, TokenKind) -> String,
    ) -> Result<(), ConvertError> {
        if self.tokens.len() > rows as usize {
            let message = format!(
                "{} tokens, but the embedding has {rows} rows",
                self.tokens.len()
            );
            return Err(ConvertError::field(TOKENIZER_FILE, "vocab", message));
        }
        let mut texts = Vec::with_capacity(rows as usize);
        let mut kinds = Vec::with_capacity(rows as usize);
        let missing = rows as usize - self.tokens.len();
        let all = self
            .tokens
            .into_iter()
            .chain(std::iter::repeat_n(None, missing));
        for (index, token) in all.enumerate() {
            let (text, kind) = match token {
                Some((text, kind)) => (spell(&text, kind), kind),
                None => (format!("[PAD{index}]"), TokenKind::Unused),
            };
            texts.push(text);
            kinds.push(kind as i32);
        }
        blueprint
            .plan
            .set("tokenizer.ggml.tokens", MetadataValue::Strings(texts));
        blueprint
            .plan
            .set("tokenizer.ggml.token_type", MetadataValue::Int32s(kinds));
        Ok(())
    }
}

/// The special tokens of a checkpoint, from the two files that may name them.
pub(super) struct SpecialTokens {
    pub config: Value,
    map: Value,
}

impl SpecialTokens {
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self, ConvertError> {
        Ok(Self {
            config: checkpoint
                .json(TOKENIZER_CONFIG_FILE)?
                .unwrap_or(Value::Null),
            map: checkpoint.json(SPECIAL_TOKENS_FILE)?.unwrap_or(Value::Null),
        })
    }

    /// The text of the token that has `role` (`bos_token`, ...).
    pub(super) fn text(&self, role: &str) -> Option<&str> {
        [&self.config, &self.map].into_iter().find_map(|file| {
            let token = file.get(role)?;
            // Either the text, or an object that describes the token.
            token.as_str().or_else(|| token.get("content")?.as_str())
        })
    }

    /// The id of the token that has `role`; an error when it is named but not in the vocabulary.
    pub(super) fn id(
        &self,
        role: &str,
        vocabulary: &Vocabulary,
    ) -> Result<Option<u32>, ConvertError> {
        match self.text(role) {
            None => Ok(None),
            Some(text) => match vocabulary.id_of.get(text) {
                Some(id) => Ok(Some(*id)),
                None => {
                    let message = format!("\"{text}\" is not in the vocabulary");
                    Err(ConvertError::field(TOKENIZER_CONFIG_FILE, role, message))
                }
            },
        }
    }
}
