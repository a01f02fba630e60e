//! The map `options`: how to sample, and settings of the machine that are this server's own affair.
//!
//! A name that nobody knows is read over, as Ollama does; a known one of the wrong type is refused.

use serde_json::{Map, Value};
use service::{Error, SamplingOptions};

/// The service's own bound: each costs a scan per token.
const STOPS_MAX: usize = 16;
/// What "look back on everything" becomes: the runner's own bound.
const REPEAT_LAST_MAX: u32 = 65_536;

/// Settings that Ollama gives to the process that runs the model, where this server decides by its own configuration, and
/// how the context is used when it is full, which never happens here: nothing is cut. They change no answer.
const OF_THE_MACHINE: &[&str] = &[
    "draft_num_predict",
    "f16_kv",
    "logits_all",
    "low_vram",
    "main_gpu",
    "num_batch",
    "num_gpu",
    "num_keep",
    "num_thread",
    "numa",
    "use_mlock",
    "use_mmap",
    "vocab_only",
];

/// What the map asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    pub sampling: SamplingOptions,
    pub stop: Vec<String>,
    /// Most output tokens; none: until the context is full.
    pub tokens_max: Option<u32>,
    /// Context in tokens: a setting of a new model. For a request it is the machine's affair, as the others are.
    pub context_tokens: Option<u32>,
}

/// Reads the map.
///
/// # Errors
/// `InvalidRequest` naming the option of a wrong type.
pub fn read(map: Option<&Map<String, Value>>) -> Result<Options, Error> {
    let mut options = Options::default();
    for (name, value) in map
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
    {
        let sampling = &mut options.sampling;
        match name.as_str() {
            "temperature" => sampling.temperature = Some(float(name, value)?),
            "top_p" => sampling.top_p = Some(float(name, value)?),
            "min_p" => sampling.min_p = Some(float(name, value)?),
            "typical_p" => sampling.typical_p = Some(float(name, value)?),
            "repeat_penalty" => sampling.repeat_penalty = Some(float(name, value)?),
            "presence_penalty" => sampling.presence_penalty = Some(float(name, value)?),
            "frequency_penalty" => sampling.frequency_penalty = Some(float(name, value)?),
            // 0 and below is "all" for Ollama's sampler too.
            "top_k" => sampling.top_k = Some(u32::try_from(integer(name, value)?).unwrap_or(0)),
            "repeat_last_n" => {
                let count = integer(name, value)?;
                sampling.repeat_last = Some(u32::try_from(count).unwrap_or(REPEAT_LAST_MAX));
            }
            // -1 is Ollama's "any".
            "seed" => sampling.seed = u64::try_from(integer(name, value)?).ok(),
            "num_predict" => {
                let count = u32::try_from(integer(name, value)?).ok();
                options.tokens_max = count.filter(|count| *count > 0);
            }
            "num_ctx" => {
                let count = u32::try_from(integer(name, value)?)
                    .ok()
                    .filter(|count| *count > 0);
                options.context_tokens =
                    Some(count.ok_or_else(|| wrong(name, "a number of tokens"))?);
            }
            "stop" => options.stop = stops(value)?,
            name if OF_THE_MACHINE.contains(&name) => {}
            _ => tracing::debug!(option = name, "an unknown option was read over"),
        }
    }
    Ok(options)
}

fn float(name: &str, value: &Value) -> Result<f32, Error> {
    value
        .as_f64()
        .map(|number| number as f32)
        .ok_or_else(|| wrong(name, "float32"))
}

fn integer(name: &str, value: &Value) -> Result<i64, Error> {
    let whole =
        |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    value
        .as_i64()
        .or_else(|| value.as_f64().and_then(whole))
        .ok_or_else(|| wrong(name, "integer"))
}

fn stops(value: &Value) -> Result<Vec<String>, Error> {
    let texts: Option<Vec<String>> = match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    };
    let texts = texts.ok_or_else(|| wrong("stop", "array of strings"))?;
    if texts.len() > STOPS_MAX {
        return Err(wrong("stop", &format!("at most {STOPS_MAX} strings")));
    }
    // Open WebUI sends the empty ones of its form.
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// Ollama's words.
fn wrong(name: &str, expected: &str) -> Error {
    Error::invalid(
        format!("options.{name}"),
        format!("option \"{name}\" must be of type {expected}"),
    )
}
