//! Llama-family decoders: RMS norms, gated feed-forward layers, rotary positions. `mistral` is written as `llama`.

use std::f32::consts::PI;

use serde_json::Value;

use super::blueprint::{Blueprint, Origin, Part, Precision, RowOrder};
use super::error::ConvertError;
use super::source::{CONFIG_FILE, Checkpoint, Config, number_in};

/// The dimensions that the tensors and the metadata share.
struct Shape {
    width: u64,
    inner: u64,
    heads: u64,
    kv_heads: u64,
    head_width: u64,
    vocabulary: u64,
    layers: u64,
}

/// Metadata and tensors of a decoder; the tokenizer is added by the caller. `architecture` is `llama` or `qwen2`.
pub(super) fn blueprint(
    checkpoint: &Checkpoint,
    config: &Config,
    architecture: &'static str,
) -> Result<Blueprint, ConvertError> {
    if let Some(activation) = config.text("hidden_act")
        && activation != "silu"
    {
        let message = format!("\"{activation}\" is not supported, only \"silu\"");
        return Err(ConvertError::field(CONFIG_FILE, "hidden_act", message));
    }
    let shape = shape(config, architecture)?;
    let mut blueprint = Blueprint {
        architecture,
        ..Blueprint::default()
    };
    let own = |suffix: &str| format!("{architecture}.{suffix}");
    let context = context_tokens(config, &mut blueprint.notes)?;
    let plan = &mut blueprint.plan;
    plan.set(own("context_length"), context);
    plan.set(own("embedding_length"), shape.width as u32);
    plan.set(own("block_count"), shape.layers as u32);
    plan.set(own("feed_forward_length"), shape.inner as u32);
    plan.set(own("attention.head_count"), shape.heads as u32);
    plan.set(own("attention.head_count_kv"), shape.kv_heads as u32);
    plan.set(
        own("attention.layer_norm_rms_epsilon"),
        config.number_or("rms_norm_eps", 1e-6)?,
    );
    plan.set(own("attention.key_length"), shape.head_width as u32);
    plan.set(own("attention.value_length"), shape.head_width as u32);
    plan.set(own("rope.dimension_count"), shape.head_width as u32);
    plan.set(own("vocab_size"), shape.vocabulary as u32);
    let factors = rope(&mut blueprint, config, shape.head_width)?;
    add_tensors(&mut blueprint, checkpoint, config, &shape);
    if let Some(values) = factors {
        blueprint.parts.push(Part {
            target: "rope_freqs.weight".into(),
            shape: vec![values.len() as u64],
            origin: Origin::Values(values),
            precision: Precision::Full,
        });
    }
    let tied = tied(checkpoint, config);
    blueprint.check(checkpoint, |name| {
        // Some checkpoints keep the tied output matrix twice, and old ones the table of rotation frequencies.
        (tied && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq")
    })?;
    Ok(blueprint)
}

fn shape(config: &Config, architecture: &str) -> Result<Shape, ConvertError> {
    let count = |field| config.count(field).map(u64::from);
    let (width, heads) = (count("hidden_size")?, count("num_attention_heads")?);
    let kv_heads = config
        .optional_count("num_key_value_heads")?
        .map_or(heads, u64::from);
    let head_width = config
        .optional_count("head_dim")?
        .map_or(width / heads, u64::from);
    let refuse = |field, message: &str| Err(ConvertError::field(CONFIG_FILE, field, message));
    if head_width < 2 || head_width % 2 != 0 {
        return refuse("head_dim", "an even number is expected");
    }
    if heads % kv_heads != 0 {
        return refuse("num_key_value_heads", "does not divide num_attention_heads");
    }
    if architecture == "qwen2" && head_width * heads != width {
        return refuse(
            "head_dim",
            "must be hidden_size / num_attention_heads for qwen2",
        );
    }
    Ok(Shape {
        width,
        inner: count("intermediate_size")?,
        heads,
        kv_heads,
        head_width,
        vocabulary: count("vocab_size")?,
        layers: count("num_hidden_layers")?,
    })
}

/// The longest context in which full attention computes what the model was trained for.
fn context_tokens(config: &Config, notes: &mut Vec<String>) -> Result<u32, ConvertError> {
    let trained = config.count("max_position_embeddings")?;
    let switched_off = config.0.get("use_sliding_window") == Some(&Value::Bool(false));
    let window = config.optional_count("sliding_window")?;
    match window.filter(|window| !switched_off && *window < trained) {
        Some(window) => {
            notes.push(format!(
                "the context is limited to {window} tokens of {trained}: sliding windows are not applied"
            ));
            Ok(window)
        }
        None => Ok(trained),
    }
}

fn tied(checkpoint: &Checkpoint, config: &Config) -> bool {
    config.0.get("tie_word_embeddings") == Some(&Value::Bool(true))
        || checkpoint.tensor("lm_head.weight").is_none()
}

/// Sets the rotation metadata; gives the factors of `llama3` scaling, which are a tensor of their own.
fn rope(
    blueprint: &mut Blueprint,
    config: &Config,
    head_width: u64,
) -> Result<Option<Vec<f32>>, ConvertError> {
    let own = |suffix: &str| format!("{}.{suffix}", blueprint.architecture);
    let (base_key, kind_key) = (own("rope.freq_base"), own("rope.scaling.type"));
    let (factor_key, original_key) = (
        own("rope.scaling.factor"),
        own("rope.scaling.original_context_length"),
    );
    // `rope_parameters` of newer configurations holds what used to be `rope_theta` and `rope_scaling`.
    let settings = ["rope_parameters", "rope_scaling"]
        .iter()
        .find_map(|field| config.0.get(field).filter(|value| value.is_object()));
    let inside = |field: &str| settings.map_or(Ok(None), |object| number_in(object, field));
    let base = match inside("rope_theta")? {
        Some(base) => base,
        None => config.number_or("rope_theta", 10_000.0)?,
    };
    let plan = &mut blueprint.plan;
    plan.set(base_key, base);
    let text = |field: &str| {
        settings
            .and_then(|object| object.get(field))
            .and_then(Value::as_str)
    };
    let kind = text("rope_type")
        .or_else(|| text("type"))
        .unwrap_or("default");
    let needed = |field: &'static str| {
        inside(field)?.ok_or_else(|| {
            ConvertError::field(CONFIG_FILE, field, "is missing from the rope scaling")
        })
    };
    match kind {
        "default" => Ok(None),
        "linear" | "yarn" => {
            plan.set(kind_key, kind);
            plan.set(factor_key, needed("factor")?);
            if kind == "yarn" {
                plan.set(
                    original_key,
                    needed("original_max_position_embeddings")? as u32,
                );
            }
            Ok(None)
        }
        "llama3" => llama3_factors(
            base,
            head_width,
            needed("factor")?,
            needed("low_freq_factor")?,
            needed("high_freq_factor")?,
            needed("original_max_position_embeddings")?,
        )
        .map(Some),
        other => {
            let message =
                format!("\"{other}\" is not supported, only default, linear, yarn and llama3");
            Err(ConvertError::field(CONFIG_FILE, "rope_type", message))
        }
    }
}

/// Llama 3's scaling: by what each rotation frequency is divided. Fast ones stay, slow ones are divided by `factor`,
/// those between are blended.
fn llama3_factors(
    base: f32,
    head_width: u64,
    factor: f32,
    low: f32,
    high: f32,
    original_context: f32,
) -> Result<Vec<f32>, ConvertError> {
    if low >= high {
        let message = "must be above low_freq_factor";
        return Err(ConvertError::field(
            CONFIG_FILE,
            "high_freq_factor",
            message,
        ));
    }
    let (longest, shortest) = (original_context / low, original_context / high);
    let factor_of = |index: u64| {
        let frequency = base.powf(-((2 * index) as f32) / head_width as f32);
        let wavelength = 2.0 * PI / frequency;
        if wavelength < shortest {
            1.0
        } else if wavelength > longest {
            factor
        } else {
            let smooth = (original_context / wavelength - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    Ok((0..head_width / 2).map(factor_of).collect())
}

fn add_tensors(blueprint: &mut Blueprint, checkpoint: &Checkpoint, config: &Config, shape: &Shape) {
    let Shape { width, inner, .. } = *shape;
    let (query_width, kv_width) = (
        shape.heads * shape.head_width,
        shape.kv_heads * shape.head_width,
    );
    // Only the `llama` architecture rotates neighbours.
    let rotary = |heads: u64| match blueprint.architecture {
        "llama" => RowOrder::Rotary {
            heads: heads as usize,
        },
        _ => RowOrder::Same,
    };
    let (query_order, key_order) = (rotary(shape.heads), rotary(shape.kv_heads));
    let mut add = |source: String, target: String, dimensions: &[u64], order: RowOrder| {
        let bias = format!("{source}.bias");
        blueprint.add(
            format!("{source}.weight"),
            format!("{target}.weight"),
            dimensions,
            order,
        );
        if checkpoint.tensor(&bias).is_some() {
            blueprint.add(bias, format!("{target}.bias"), &dimensions[..1], order);
        }
    };
    let same = RowOrder::Same;
    for layer in 0..shape.layers {
        let mut part = |source: &str, target: &str, dimensions: &[u64], order| {
            add(
                format!("model.layers.{layer}.{source}"),
                format!("blk.{layer}.{target}"),
                dimensions,
                order,
            );
        };
        part("input_layernorm", "attn_norm", &[width], same);
        part(
            "self_attn.q_proj",
            "attn_q",
            &[query_width, width],
            query_order,
        );
        part("self_attn.k_proj", "attn_k", &[kv_width, width], key_order);
        part("self_attn.v_proj", "attn_v", &[kv_width, width], same);
        part(
            "self_attn.o_proj",
            "attn_output",
            &[width, query_width],
            same,
        );
        part("post_attention_layernorm", "ffn_norm", &[width], same);
        part("mlp.gate_proj", "ffn_gate", &[inner, width], same);
        part("mlp.up_proj", "ffn_up", &[inner, width], same);
        part("mlp.down_proj", "ffn_down", &[width, inner], same);
    }
    add("model.norm".into(), "output_norm".into(), &[width], same);
    let table = [shape.vocabulary, width];
    let tied = tied(checkpoint, config);
    blueprint.add(
        "model.embed_tokens.weight".into(),
        "token_embd.weight".into(),
        &table,
        same,
    );
    if tied {
        blueprint.with(Precision::Output);
    } else {
        blueprint.add(
            "lm_head.weight".into(),
            "output.weight".into(),
            &table,
            same,
        );
        blueprint.with(Precision::Output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_scaling_keeps_fast_rotations_and_divides_slow_ones() {
        let factors = llama3_factors(500_000.0, 64, 8.0, 1.0, 4.0, 8192.0).unwrap();
        assert_eq!(factors.len(), 32);
        assert_eq!(factors[0], 1.0);
        assert_eq!(factors[31], 8.0);
        assert!(factors.is_sorted());
        assert!(factors.iter().any(|factor| (1.01..7.99).contains(factor)));
        assert!(llama3_factors(500_000.0, 64, 8.0, 4.0, 4.0, 8192.0).is_err());
    }
}
