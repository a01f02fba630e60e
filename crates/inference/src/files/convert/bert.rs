//! BERT encoders: embeddings with learned positions, post-norm layers, and what sentence-transformers says about pooling.

use serde_json::Value;

use super::ConvertOptions;
use super::blueprint::{Blueprint, Precision, RowOrder};
use super::error::ConvertError;
use super::source::{CONFIG_FILE, Checkpoint, Config};
use crate::files::gguf::Pooling;
use crate::files::gguf::types::keys;

const MODULES_FILE: &str = "modules.json";

/// Metadata and tensors of a BERT checkpoint; the tokenizer is added by the caller.
pub(super) fn blueprint(
    checkpoint: &Checkpoint,
    config: &Config,
    options: &ConvertOptions,
) -> Result<Blueprint, ConvertError> {
    if let Some(activation) = config.text("hidden_act")
        && activation != "gelu"
    {
        let message = format!("\"{activation}\" is not supported, only \"gelu\"");
        return Err(ConvertError::field(CONFIG_FILE, "hidden_act", message));
    }
    if let Some(kind) = config.text("position_embedding_type")
        && kind != "absolute"
    {
        let message = format!("\"{kind}\" is not supported, only \"absolute\"");
        return Err(ConvertError::field(
            CONFIG_FILE,
            "position_embedding_type",
            message,
        ));
    }
    let mut blueprint = Blueprint {
        architecture: "bert",
        ..Blueprint::default()
    };
    let sentence = sentence_settings(checkpoint)?;
    let ranks = ranks(config)?;
    let pooling = match (options.pooling, ranks, sentence.pooling) {
        (Some(asked), _, _) => asked,
        (None, true, _) => Pooling::Rank,
        (None, false, Some(found)) => found,
        (None, false, None) => {
            blueprint
                .notes
                .push("no pooling is configured; the mean of all tokens is taken".into());
            Pooling::Mean
        }
    };
    blueprint.normalize = sentence.normalize;
    let plan = &mut blueprint.plan;
    let heads = config.count("num_attention_heads")?;
    let width = config.count("hidden_size")?;
    if width % heads != 0 {
        let message = "does not divide hidden_size";
        return Err(ConvertError::field(
            CONFIG_FILE,
            "num_attention_heads",
            message,
        ));
    }
    plan.set(
        "bert.context_length",
        config.count("max_position_embeddings")?,
    );
    plan.set("bert.embedding_length", width);
    plan.set(
        "bert.feed_forward_length",
        config.count("intermediate_size")?,
    );
    plan.set("bert.block_count", config.count("num_hidden_layers")?);
    plan.set("bert.attention.head_count", heads);
    plan.set(
        "bert.attention.layer_norm_epsilon",
        config.number_or("layer_norm_eps", 1e-12)?,
    );
    plan.set("bert.attention.causal", false);
    plan.set("bert.pooling_type", pooling_number(pooling));
    plan.set(
        "tokenizer.ggml.token_type_count",
        config.count("type_vocab_size")?,
    );
    plan.set(keys::NORMALIZE, sentence.normalize);
    let prefix = if checkpoint
        .tensor("bert.embeddings.word_embeddings.weight")
        .is_some()
    {
        "bert."
    } else {
        ""
    };
    add_tensors(&mut blueprint, checkpoint, config, prefix)?;
    if pooling == Pooling::Rank {
        add_ranking_head(&mut blueprint, u64::from(width), prefix);
    }
    let kept = |name: &str| {
        // Heads of the training tasks, and a table of 0, 1, 2, ... that old versions saved.
        let own = name.strip_prefix(prefix).unwrap_or(name);
        own.starts_with("pooler.") || own == "embeddings.position_ids" || name.starts_with("cls.")
    };
    blueprint.check(checkpoint, kept)?;
    Ok(blueprint)
}

/// llama.cpp's number of a pooling.
fn pooling_number(pooling: Pooling) -> u32 {
    match pooling {
        Pooling::None => 0,
        Pooling::Mean => 1,
        Pooling::Cls => 2,
        Pooling::Last => 3,
        Pooling::Rank => 4,
    }
}

/// Adds tensors by the names that BERT checkpoints give them.
struct Tensors<'a> {
    blueprint: &'a mut Blueprint,
    checkpoint: &'a Checkpoint,
    /// What the checkpoint puts before every name, such as "bert.".
    prefix: &'a str,
    /// Width of the residual stream.
    width: u64,
}

impl Tensors<'_> {
    /// A table of embeddings with `rows` rows.
    fn table(&mut self, source: &str, target: &str, rows: u64) {
        let source = format!("{}embeddings.{source}.weight", self.prefix);
        let target = format!("{target}.weight");
        let shape = [rows, self.width];
        self.blueprint.add(source, target, &shape, RowOrder::Same);
    }

    /// Scale and shift of a normalization, which old checkpoints call gamma and beta.
    fn norm(&mut self, source: &str, target: &str) {
        for (modern, old, part) in [("weight", "gamma", "weight"), ("bias", "beta", "bias")] {
            let name = |suffix| format!("{}{source}.LayerNorm.{suffix}", self.prefix);
            let source = [name(modern), name(old)]
                .into_iter()
                .find(|name| self.checkpoint.tensor(name).is_some())
                .unwrap_or_else(|| name(modern));
            let target = format!("{target}.{part}");
            self.blueprint
                .add(source, target, &[self.width], RowOrder::Same);
        }
    }

    /// A matrix and its bias.
    fn linear(&mut self, source: &str, target: &str, [rows, columns]: [u64; 2]) {
        let source = |part: &str| format!("{}{source}.{part}", self.prefix);
        let (weight, bias) = (source("weight"), source("bias"));
        let target = |part: &str| format!("{target}.{part}");
        self.blueprint
            .add(weight, target("weight"), &[rows, columns], RowOrder::Same);
        self.blueprint
            .add(bias, target("bias"), &[rows], RowOrder::Same);
    }

    fn layer(&mut self, layer: u64, inner: u64) {
        let width = self.width;
        let from = |name: &str| format!("encoder.layer.{layer}.{name}");
        let to = |name: &str| format!("blk.{layer}.{name}");
        for (source, target) in [
            ("attention.self.query", "attn_q"),
            ("attention.self.key", "attn_k"),
            ("attention.self.value", "attn_v"),
            ("attention.output.dense", "attn_output"),
        ] {
            self.linear(&from(source), &to(target), [width, width]);
        }
        self.norm(&from("attention.output"), &to("attn_output_norm"));
        self.linear(&from("intermediate.dense"), &to("ffn_up"), [inner, width]);
        self.linear(&from("output.dense"), &to("ffn_down"), [width, inner]);
        self.norm(&from("output"), &to("layer_output_norm"));
    }
}

fn add_tensors(
    blueprint: &mut Blueprint,
    checkpoint: &Checkpoint,
    config: &Config,
    prefix: &str,
) -> Result<(), ConvertError> {
    let count = |field| config.count(field).map(u64::from);
    let inner = count("intermediate_size")?;
    let mut tensors = Tensors {
        blueprint,
        checkpoint,
        prefix,
        width: count("hidden_size")?,
    };
    tensors.table("word_embeddings", "token_embd", count("vocab_size")?);
    // ggml adds a row of these tables directly, which works in F32 only.
    let token_types = count("type_vocab_size")?;
    tensors.table("token_type_embeddings", "token_types", token_types);
    tensors.blueprint.with(Precision::Full);
    let positions = count("max_position_embeddings")?;
    tensors.table("position_embeddings", "position_embd", positions);
    tensors.blueprint.with(Precision::Full);
    tensors.norm("embeddings", "token_embd_norm");
    for layer in 0..count("num_hidden_layers")? {
        tensors.layer(layer, inner);
    }
    Ok(())
}

/// Whether the checkpoint is a cross-encoder with one score.
fn ranks(config: &Config) -> Result<bool, ConvertError> {
    let architectures = config.0.get("architectures").and_then(Value::as_array);
    let classifies = architectures.is_some_and(|names| {
        names
            .iter()
            .any(|name| name.as_str() == Some("BertForSequenceClassification"))
    });
    if !classifies {
        return Ok(false);
    }
    let labels = config.0.get("id2label").and_then(Value::as_object);
    match labels.map_or(2, serde_json::Map::len) {
        1 => Ok(true),
        count => Err(ConvertError::field(
            CONFIG_FILE,
            "id2label",
            format!("a classifier of {count} labels is not supported, only a ranker with one"),
        )),
    }
}

fn add_ranking_head(blueprint: &mut Blueprint, width: u64, prefix: &str) {
    let dense = format!("{prefix}pooler.dense");
    for (source, target, rows) in [
        (dense.as_str(), "cls", width),
        ("classifier", "cls.output", 1),
    ] {
        blueprint.add(
            format!("{source}.weight"),
            format!("{target}.weight"),
            &[rows, width],
            RowOrder::Same,
        );
        blueprint.with(Precision::Full);
        blueprint.add(
            format!("{source}.bias"),
            format!("{target}.bias"),
            &[rows],
            RowOrder::Same,
        );
    }
}

/// What sentence-transformers' files say happens after the encoder.
struct SentenceSettings {
    pooling: Option<Pooling>,
    normalize: bool,
}

fn sentence_settings(checkpoint: &Checkpoint) -> Result<SentenceSettings, ConvertError> {
    let mut settings = SentenceSettings {
        pooling: None,
        normalize: false,
    };
    let Some(modules) = checkpoint.json(MODULES_FILE)? else {
        return Ok(settings);
    };
    let modules = modules
        .as_array()
        .ok_or_else(|| ConvertError::field(MODULES_FILE, "modules", "an array is expected"))?;
    for module in modules {
        let text = |field| module.get(field).and_then(Value::as_str);
        let kind = text("type").unwrap_or_default();
        match kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" => {
                let folder = text("path").unwrap_or_default();
                settings.pooling = Some(pooling(checkpoint, folder)?);
            }
            "Normalize" => settings.normalize = true,
            _ => {
                let message =
                    format!("\"{kind}\" is not supported, only Transformer, Pooling and Normalize");
                return Err(ConvertError::field(MODULES_FILE, "type", message));
            }
        }
    }
    Ok(settings)
}

fn pooling(checkpoint: &Checkpoint, folder: &str) -> Result<Pooling, ConvertError> {
    let file = format!("{folder}/config.json");
    let config = checkpoint.required_json(&file, "modules.json names it for the pooling")?;
    let known = [
        ("cls", Pooling::Cls),
        ("mean", Pooling::Mean),
        ("lasttoken", Pooling::Last),
    ];
    if let Some(mode) = config.get("pooling_mode").and_then(Value::as_str) {
        let found = known.iter().find(|(name, _)| *name == mode);
        return found.map(|(_, pooling)| *pooling).ok_or_else(|| {
            ConvertError::field(
                &file,
                "pooling_mode",
                format!("\"{mode}\" is not supported"),
            )
        });
    }
    let set: Vec<&str> = config
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| value.as_bool() == Some(true))
        .filter_map(|(key, _)| key.strip_prefix("pooling_mode_"))
        .collect();
    match set.as_slice() {
        ["cls_token"] => Ok(Pooling::Cls),
        ["mean_tokens"] => Ok(Pooling::Mean),
        ["lasttoken"] => Ok(Pooling::Last),
        modes => {
            let message = format!(
                "{modes:?} are not supported; exactly one of cls_token, mean_tokens and lasttoken is"
            );
            Err(ConvertError::field(&file, "pooling_mode", message))
        }
    }
}
