//! BERT's WordPiece tokenizer, in the spelling that llama.cpp expects: a token that begins a word is written with
//! U+2581 before it, one that continues a word without its `##`.

use serde_json::Value;

use super::blueprint::Blueprint;
use super::error::ConvertError;
use super::source::Checkpoint;
use super::tokens::{SpecialTokens, TOKENIZER_FILE, TokenKind, Vocabulary};

const VOCABULARY_FILE: &str = "vocab.txt";
/// Roles of the special tokens, their usual texts, and GGUF's keys (one of which is misspelt in the format).
const ROLES: [(&str, &str, &[&str]); 5] = [
    ("unk_token", "[UNK]", &["tokenizer.ggml.unknown_token_id"]),
    (
        "sep_token",
        "[SEP]",
        &[
            "tokenizer.ggml.seperator_token_id",
            "tokenizer.ggml.eos_token_id",
        ],
    ),
    ("pad_token", "[PAD]", &["tokenizer.ggml.padding_token_id"]),
    (
        "cls_token",
        "[CLS]",
        &["tokenizer.ggml.cls_token_id", "tokenizer.ggml.bos_token_id"],
    ),
    ("mask_token", "[MASK]", &["tokenizer.ggml.mask_token_id"]),
];

/// Adds the tokenizer for an embedding of `rows` rows.
pub(super) fn add(
    blueprint: &mut Blueprint,
    checkpoint: &Checkpoint,
    rows: u32,
) -> Result<(), ConvertError> {
    let special = SpecialTokens::read(checkpoint)?;
    let tokenizer = checkpoint.json(TOKENIZER_FILE)?;
    let mut vocabulary = match &tokenizer {
        Some(tokenizer) => from_tokenizer(tokenizer)?,
        None => from_text(checkpoint)?,
    };
    let plan = &mut blueprint.plan;
    plan.set("tokenizer.ggml.model", "bert");
    for (role, usual, keys) in ROLES {
        let id = match special.id(role, &vocabulary)? {
            Some(id) => Some(id),
            None => vocabulary.id_of.get(usual).copied(),
        };
        let Some(id) = id else {
            if role == "mask_token" {
                continue;
            }
            let message = format!("no {role} ({usual}) in the vocabulary");
            return Err(ConvertError::Tokenizer { message });
        };
        if let Some((_, kind)) = &mut vocabulary.tokens[id as usize] {
            *kind = if role == "unk_token" {
                TokenKind::Unknown
            } else {
                TokenKind::Control
            };
        }
        for key in keys {
            plan.set(*key, id);
        }
    }
    let (lowercase, strip_accents) = normalizer(tokenizer.as_ref(), &special);
    plan.set("tokenizer.ggml.normalizer.lowercase", lowercase);
    plan.set("tokenizer.ggml.normalizer.strip_accents", strip_accents);
    vocabulary.write(blueprint, rows, spell)
}

fn spell(token: &str, kind: TokenKind) -> String {
    match token.strip_prefix("##") {
        _ if kind != TokenKind::Normal => token.to_owned(),
        // A lone "##" is two punctuation marks, not a continuation.
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => format!("\u{2581}{token}"),
    }
}

fn from_tokenizer(tokenizer: &Value) -> Result<Vocabulary, ConvertError> {
    let model = tokenizer.get("model").unwrap_or(&Value::Null);
    let kind = model
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    if kind != "WordPiece" {
        let message = format!("{TOKENIZER_FILE} holds a {kind} model");
        return Err(ConvertError::Tokenizer { message });
    }
    if let Some(prefix) = model
        .get("continuing_subword_prefix")
        .and_then(Value::as_str)
        && prefix != "##"
    {
        let message = format!("WordPiece with the continuation mark \"{prefix}\"");
        return Err(ConvertError::Tokenizer { message });
    }
    Vocabulary::from_tokenizer(tokenizer)
}

fn from_text(checkpoint: &Checkpoint) -> Result<Vocabulary, ConvertError> {
    let text = checkpoint
        .text(VOCABULARY_FILE)?
        .ok_or_else(|| ConvertError::Missing {
            file: TOKENIZER_FILE.into(),
            purpose: "the vocabulary is read from it, or from vocab.txt",
        })?;
    let mut vocabulary = Vocabulary::default();
    for (id, token) in text.lines().enumerate() {
        vocabulary.insert(token, id as u64, TokenKind::Normal)?;
    }
    Ok(vocabulary)
}

/// Whether text is lower-cased and loses its accents, as BERT's basic tokenizer decides it: accents follow the case
/// unless a setting says otherwise.
fn normalizer(tokenizer: Option<&Value>, special: &SpecialTokens) -> (bool, bool) {
    let own = tokenizer
        .and_then(|tokenizer| tokenizer.get("normalizer"))
        .filter(|value| value.is_object());
    let (lowercase, strip) = match own {
        Some(normalizer) => (normalizer.get("lowercase"), normalizer.get("strip_accents")),
        None => (
            special.config.get("do_lower_case"),
            special.config.get("strip_accents"),
        ),
    };
    let lowercase = lowercase.and_then(Value::as_bool).unwrap_or(true);
    (
        lowercase,
        strip.and_then(Value::as_bool).unwrap_or(lowercase),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_spelt_for_llama_cpp() {
        assert_eq!(spell("house", TokenKind::Normal), "\u{2581}house");
        assert_eq!(spell("##ing", TokenKind::Normal), "ing");
        assert_eq!(spell("##", TokenKind::Normal), "\u{2581}##");
        assert_eq!(spell("[CLS]", TokenKind::Control), "[CLS]");
    }
}
