//! Byte-level BPE tokenizers of decoders, with their special tokens and chat templates.

use serde_json::Value;

use super::blueprint::Blueprint;
use super::error::ConvertError;
use super::source::{CONFIG_FILE, Checkpoint, Config};
use super::tokens::{SpecialTokens, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, Vocabulary};
use crate::files::gguf::types::keys;
use crate::files::gguf_writer::MetadataValue;

const TEMPLATE_FILE: &str = "chat_template.jinja";

/// The expressions by which tokenizers split text first, and llama.cpp's names for them.
const SPLITS: [(&str, &str); 3] = [
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "llama-bpe",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen2",
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "tekken",
    ),
];

/// Adds the tokenizer for an embedding of `rows` rows.
pub(super) fn add(
    blueprint: &mut Blueprint,
    checkpoint: &Checkpoint,
    config: &Config,
    rows: u32,
) -> Result<(), ConvertError> {
    let tokenizer =
        checkpoint.required_json(TOKENIZER_FILE, "the vocabulary and merges are read from it")?;
    let kind = tokenizer
        .pointer("/model/type")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    if kind != "BPE" {
        let message = format!("{TOKENIZER_FILE} holds a {kind} model");
        return Err(ConvertError::Tokenizer { message });
    }
    if tokenizer
        .pointer("/model/byte_fallback")
        .and_then(Value::as_bool)
        == Some(true)
    {
        let message = "this BPE was made by SentencePiece (byte_fallback)".into();
        return Err(ConvertError::Tokenizer { message });
    }
    let pre = pre_tokenizer(tokenizer.get("pre_tokenizer").unwrap_or(&Value::Null))?;
    let special = SpecialTokens::read(checkpoint)?;
    let vocabulary = Vocabulary::from_tokenizer(&tokenizer)?;
    let merges = merges(&tokenizer)?;
    let plan = &mut blueprint.plan;
    plan.set(keys::TOKENIZER_MODEL, "gpt2");
    plan.set(keys::TOKENIZER_PRE, pre);
    plan.set(keys::MERGES, MetadataValue::Strings(merges));
    let roles = [
        ("bos_token", "bos_token_id", keys::BOS_TOKEN_ID),
        ("eos_token", "eos_token_id", keys::EOS_TOKEN_ID),
        (
            "unk_token",
            "unk_token_id",
            "tokenizer.ggml.unknown_token_id",
        ),
        (
            "pad_token",
            "pad_token_id",
            "tokenizer.ggml.padding_token_id",
        ),
    ];
    for (role, field, key) in roles {
        let id = match special.id(role, &vocabulary)? {
            Some(id) => Some(id),
            None => id_in_config(config, field, rows)?,
        };
        if let Some(id) = id {
            plan.set(key, id);
        }
    }
    plan.set(keys::ADD_BOS_TOKEN, adds_bos(&tokenizer, &special));
    vocabulary.write(blueprint, rows, |text, _| text.to_owned())?;
    add_templates(blueprint, checkpoint, &special)
}

/// The first id of a field of `config.json` that holds an id or a list of them.
fn id_in_config(config: &Config, field: &str, rows: u32) -> Result<Option<u32>, ConvertError> {
    let value = match config.0.get(field) {
        Some(Value::Array(ids)) => ids.first(),
        other => other,
    };
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(id) => match id.as_u64() {
            Some(id) if id < u64::from(rows) => Ok(Some(id as u32)),
            _ => Err(ConvertError::field(
                CONFIG_FILE,
                field,
                "is no token of the vocabulary",
            )),
        },
    }
}

/// llama.cpp's name for how text is split before merging.
fn pre_tokenizer(pre: &Value) -> Result<&'static str, ConvertError> {
    let refuse = |message: String| Err(ConvertError::Tokenizer { message });
    let single = std::slice::from_ref(pre);
    let steps = match pre.get("pretokenizers").and_then(Value::as_array) {
        Some(steps) => steps.as_slice(),
        None => single,
    };
    let (mut split, mut digits, mut byte_level) = (None, false, None);
    for step in steps {
        let flag = |name: &str| step.get(name).and_then(Value::as_bool);
        match step.get("type").and_then(Value::as_str).unwrap_or("none") {
            "Split" => match step.pointer("/pattern/Regex").and_then(Value::as_str) {
                Some(pattern) if split.is_none() => split = Some(pattern),
                _ => {
                    return refuse(
                        "more than one split before merging, or one that is no expression".into(),
                    );
                }
            },
            "Digits" => digits = flag("individual_digits") == Some(true),
            "ByteLevel" => {
                if flag("add_prefix_space") == Some(true) {
                    return refuse("byte-level BPE that puts a space before the text".into());
                }
                byte_level = Some(flag("use_regex") != Some(false));
            }
            other => return refuse(format!("a pre-tokenizer of type {other}")),
        }
    }
    match (byte_level, split, digits) {
        (Some(true), None, false) => Ok("gpt-2"),
        (Some(true), None, true) => Ok("smollm"),
        (Some(false), Some(pattern), false) => {
            match SPLITS.iter().find(|(known, _)| *known == pattern) {
                Some((_, name)) => Ok(name),
                None => refuse(format!(
                    "text is split by an expression that we do not know: {pattern}"
                )),
            }
        }
        (None, ..) => refuse("BPE that is not byte-level".into()),
        _ => refuse("an unknown combination of pre-tokenizers".into()),
    }
}

/// The merges, each as two tokens with a space between; newer files hold pairs.
fn merges(tokenizer: &Value) -> Result<Vec<String>, ConvertError> {
    let wrong = || {
        ConvertError::field(
            TOKENIZER_FILE,
            "model.merges",
            "pairs of tokens are expected",
        )
    };
    let merges = tokenizer
        .pointer("/model/merges")
        .and_then(Value::as_array)
        .ok_or_else(wrong)?;
    merges
        .iter()
        .map(|merge| match merge {
            Value::String(text) => Some(text.clone()),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => Some(format!("{left} {right}")),
                _ => None,
            },
            _ => None,
        })
        // llama.cpp looks for the space between the two.
        .map(|merge| {
            merge
                .filter(|text| text.matches(' ').count() == 1)
                .ok_or_else(wrong)
        })
        .collect()
}

/// Whether the tokenizer puts the begin token before a text.
fn adds_bos(tokenizer: &Value, special: &SpecialTokens) -> bool {
    if let Some(says) = special.config.get("add_bos_token").and_then(Value::as_bool) {
        return says;
    }
    let Some(bos) = special.text("bos_token") else {
        return false;
    };
    let processor = tokenizer.get("post_processor").unwrap_or(&Value::Null);
    let single = std::slice::from_ref(processor);
    let steps = processor
        .get("processors")
        .and_then(Value::as_array)
        .map_or(single, Vec::as_slice);
    steps.iter().any(|step| {
        step.pointer("/single/0/SpecialToken/id")
            .and_then(Value::as_str)
            == Some(bos)
    })
}

/// The chat template: a file of its own, a text, or a list of named ones of which `default` is the usual.
fn add_templates(
    blueprint: &mut Blueprint,
    checkpoint: &Checkpoint,
    special: &SpecialTokens,
) -> Result<(), ConvertError> {
    if let Some(text) = checkpoint.text(TEMPLATE_FILE)? {
        blueprint.plan.set(keys::CHAT_TEMPLATE, text);
        return Ok(());
    }
    match special.config.get("chat_template") {
        None | Some(Value::Null) => {
            blueprint
                .notes
                .push("no chat template: the model completes text, it does not chat".into());
        }
        Some(Value::String(text)) => blueprint.plan.set(keys::CHAT_TEMPLATE, text.as_str()),
        Some(Value::Array(list)) => {
            let mut names = Vec::new();
            for entry in list {
                let text = |field| entry.get(field).and_then(Value::as_str);
                let (Some(name), Some(template)) = (text("name"), text("template")) else {
                    let message = "entries with a name and a template are expected";
                    return Err(ConvertError::field(
                        TOKENIZER_CONFIG_FILE,
                        "chat_template",
                        message,
                    ));
                };
                if name == "default" {
                    blueprint.plan.set(keys::CHAT_TEMPLATE, template);
                } else {
                    names.push(name.to_owned());
                    blueprint
                        .plan
                        .set(format!("{}.{name}", keys::CHAT_TEMPLATE), template);
                }
            }
            if !names.is_empty() {
                blueprint
                    .plan
                    .set(keys::CHAT_TEMPLATES, MetadataValue::Strings(names));
            }
        }
        Some(_) => {
            let message = "a text or a list is expected";
            return Err(ConvertError::field(
                TOKENIZER_CONFIG_FILE,
                "chat_template",
                message,
            ));
        }
    }
    Ok(())
}
