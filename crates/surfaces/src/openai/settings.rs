//! From the fields that chat and raw completions share to [`GenerateOptions`] and [`OutputFormat`]; each bound is
//! checked here, so that the error names the field in OpenAI's spelling.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use service::{Error, GenerateOptions, OutputFormat, SamplingOptions, WorkClass};

use super::fields::unsupported;
use super::types::GenerationBody;
use crate::duration;

/// OpenAI's own bound of `n`.
const CHOICES_MAX: u32 = 128;
/// OpenAI takes 4 stop strings; local clients send more. Each costs a scan per token.
const STOPS_MAX: usize = 16;
/// Longest stop string in bytes: output of that length is held back.
const STOP_BYTES_MAX: usize = 256;
/// OpenAI's bound of a `logit_bias` map is 1,024 as well.
const BIASES_MAX: usize = 1024;
/// Bounds of `guided_choice`.
const GUIDED_CHOICES_MAX: usize = 1024;

/// Most alternatives that `logprobs` gives per token.
pub const TOP_LOGPROBS_MAX: u32 = 20;

/// How to generate, as asked; `tokens_max` and `logprobs` are the caller's, whose two endpoints spell them differently.
pub fn generate_options(body: &GenerationBody) -> Result<GenerateOptions, Error> {
    let choices = body.n.unwrap_or(1);
    if !(1..=CHOICES_MAX).contains(&choices) {
        return Err(Error::invalid(
            "n",
            format!("`n` must be between 1 and {CHOICES_MAX}"),
        ));
    }
    if let Some(best_of) = body.best_of
        && best_of != choices
    {
        return Err(unsupported("best_of", "it must equal `n`"));
    }
    if body.stream_options.is_some() && body.stream != Some(true) {
        return Err(Error::invalid(
            "stream_options",
            "`stream_options` needs `stream: true`",
        ));
    }
    refuse_ollama_options(body.options.as_ref())?;
    Ok(GenerateOptions {
        choices,
        tokens_max: None,
        tokens_min: body.min_tokens.unwrap_or(0),
        stop: stop_strings(body.stop.as_ref())?,
        stop_tokens: body.stop_token_ids.clone().unwrap_or_default(),
        ignore_end: body.ignore_eos.unwrap_or(false),
        sampling: sampling(body)?,
        logprobs: None,
        prefix_tokens: Vec::new(),
        cache_salt: body.cache_salt.clone(),
        class: class(body)?,
        deadline: None,
        keep_alive: body
            .keep_alive
            .as_ref()
            .map(duration::keep_alive)
            .transpose()?,
        fresh: false,
    })
}

fn sampling(body: &GenerationBody) -> Result<SamplingOptions, Error> {
    let top_k =
        match body.top_k {
            None => None,
            Some(-1) => Some(0),
            Some(k) => Some(u32::try_from(k).map_err(|_| {
                Error::invalid("top_k", "`top_k` must be -1, 0 or a positive number")
            })?),
        };
    let seed = match &body.seed {
        None => None,
        // A negative seed is as good as any: the same bits give the same text.
        Some(number) => Some(
            number
                .as_u64()
                .or_else(|| number.as_i64().map(i64::cast_unsigned))
                .ok_or_else(|| Error::invalid("seed", "`seed` must be a 64-bit integer"))?,
        ),
    };
    Ok(SamplingOptions {
        temperature: within("temperature", body.temperature, 0.0, 2.0)?,
        top_p: within("top_p", body.top_p, 0.0, 1.0)?,
        top_k,
        min_p: within("min_p", body.min_p, 0.0, 1.0)?,
        typical_p: None,
        repeat_last: None,
        repeat_penalty: within(
            "repetition_penalty",
            body.repetition_penalty,
            f32::MIN_POSITIVE,
            10.0,
        )?,
        presence_penalty: within("presence_penalty", body.presence_penalty, -2.0, 2.0)?,
        frequency_penalty: within("frequency_penalty", body.frequency_penalty, -2.0, 2.0)?,
        seed,
        logit_bias: logit_bias(body.logit_bias.as_ref())?,
    })
}

/// `value`, if it lies in `low..=high`.
fn within(field: &str, value: Option<f32>, low: f32, high: f32) -> Result<Option<f32>, Error> {
    match value {
        Some(number) if !(low..=high).contains(&number) => {
            let low = if low == f32::MIN_POSITIVE {
                "more than 0".to_string()
            } else {
                low.to_string()
            };
            Err(Error::invalid(
                field,
                format!("`{field}` is {number}; it must be between {low} and {high}"),
            ))
        }
        other => Ok(other),
    }
}

fn logit_bias(biases: Option<&BTreeMap<String, f32>>) -> Result<BTreeMap<u32, f32>, Error> {
    let Some(biases) = biases else {
        return Ok(BTreeMap::new());
    };
    if biases.len() > BIASES_MAX {
        return Err(Error::invalid(
            "logit_bias",
            format!("`logit_bias` takes at most {BIASES_MAX} tokens"),
        ));
    }
    biases
        .iter()
        .map(|(token, bias)| {
            let field = format!("logit_bias.{token}");
            let token = token
                .parse::<u32>()
                .map_err(|_| Error::invalid(field.clone(), "keys of `logit_bias` are token ids"))?;
            match within(&field, Some(*bias), -100.0, 100.0)? {
                Some(bias) => Ok((token, bias)),
                None => Ok((token, 0.0)),
            }
        })
        .collect()
}

fn stop_strings(stop: Option<&Value>) -> Result<Vec<String>, Error> {
    let list = match stop {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::String(text) => Ok(text.clone()),
                _ => Err(
                    Error::invalid(format!("stop[{index}]"), "stop sequences are strings")
                        .with_code("invalid_type"),
                ),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => {
            return Err(
                Error::invalid("stop", "`stop` is a string or an array of strings")
                    .with_code("invalid_type"),
            );
        }
    };
    if list.len() > STOPS_MAX {
        return Err(Error::invalid(
            "stop",
            format!("`stop` takes at most {STOPS_MAX} sequences"),
        ));
    }
    if list
        .iter()
        .any(|text| text.is_empty() || text.len() > STOP_BYTES_MAX)
    {
        return Err(Error::invalid(
            "stop",
            format!("a stop sequence has 1 to {STOP_BYTES_MAX} bytes"),
        ));
    }
    Ok(list)
}

/// `service_tier` and vLLM's `priority` both say whether somebody waits.
fn class(body: &GenerationBody) -> Result<WorkClass, Error> {
    match &body.priority {
        None | Some(Value::Null) => {}
        Some(Value::Number(number)) if number.as_i64().is_some() => {
            let later = number.as_i64().is_some_and(|value| value > 0);
            return Ok(if later {
                WorkClass::Batch
            } else {
                WorkClass::Interactive
            });
        }
        Some(Value::String(name)) if name == "batch" => return Ok(WorkClass::Batch),
        Some(Value::String(name)) if name == "interactive" => return Ok(WorkClass::Interactive),
        Some(_) => {
            return Err(Error::invalid(
                "priority",
                "`priority` is an integer (above 0: may wait), `interactive` or `batch`",
            ));
        }
    }
    match body.service_tier.as_deref() {
        None | Some("auto" | "default" | "priority" | "fast" | "scale") => {
            Ok(WorkClass::Interactive)
        }
        Some("flex") => Ok(WorkClass::Batch),
        Some(_) => Err(Error::invalid(
            "service_tier",
            "`service_tier` is auto, default or flex",
        )),
    }
}

/// Ollama's `options` do not belong here; the one people rely on, `num_ctx`, is checked against the model by the route.
fn refuse_ollama_options(options: Option<&Map<String, Value>>) -> Result<(), Error> {
    match options.and_then(|map| map.keys().find(|name| *name != "num_ctx")) {
        None => Ok(()),
        Some(name) => Err(unsupported(
            format!("options.{name}"),
            "of `options` only `num_ctx` is read here; give the others their own field",
        )),
    }
}

/// The context length that the caller wants at least, in tokens.
pub fn context_wanted(body: &GenerationBody) -> Result<Option<u32>, Error> {
    match body
        .options
        .as_ref()
        .and_then(|options| options.get("num_ctx"))
    {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|tokens| u32::try_from(tokens).ok())
            .map(Some)
            .ok_or_else(|| {
                Error::invalid("options.num_ctx", "`options.num_ctx` is a number of tokens")
            }),
    }
}

/// The shape that the text must have; at most one of the spellings may ask for one.
pub fn output_format(body: &GenerationBody) -> Result<OutputFormat, Error> {
    let mut asked: Vec<(&str, OutputFormat)> = Vec::new();
    if let Some(value) = &body.response_format {
        asked.push(("response_format", response_format(value)?));
    }
    if let Some(value) = &body.guided_json {
        asked.push(("guided_json", json_schema("guided_json", value)?));
    }
    if let Some(pattern) = &body.guided_regex {
        asked.push(("guided_regex", OutputFormat::Regex(pattern.clone())));
    }
    if let Some(grammar) = &body.guided_grammar {
        asked.push(("guided_grammar", OutputFormat::Lark(grammar.clone())));
    }
    if let Some(choices) = &body.guided_choice {
        asked.push(("guided_choice", any_of("guided_choice", choices)?));
    }
    if let Some(outputs) = &body.structured_outputs {
        if let Some(value) = &outputs.json {
            asked.push((
                "structured_outputs.json",
                json_schema("structured_outputs.json", value)?,
            ));
        }
        if outputs.json_object == Some(true) {
            asked.push(("structured_outputs.json_object", OutputFormat::JsonObject));
        }
        if let Some(pattern) = &outputs.regex {
            asked.push((
                "structured_outputs.regex",
                OutputFormat::Regex(pattern.clone()),
            ));
        }
        if let Some(choices) = &outputs.choice {
            asked.push((
                "structured_outputs.choice",
                any_of("structured_outputs.choice", choices)?,
            ));
        }
        if let Some(grammar) = &outputs.grammar {
            asked.push((
                "structured_outputs.grammar",
                OutputFormat::Lark(grammar.clone()),
            ));
        }
    }
    asked.retain(|(_, format)| *format != OutputFormat::Text);
    if let [(first, _), (second, _), ..] = asked.as_slice() {
        return Err(Error::invalid(
            *second,
            format!("`{first}` and `{second}` cannot be used together"),
        ));
    }
    Ok(asked.pop().map_or(OutputFormat::Text, |(_, format)| format))
}

fn response_format(value: &Value) -> Result<OutputFormat, Error> {
    let kind = value.get("type").and_then(Value::as_str).ok_or_else(|| {
        Error::invalid("response_format.type", "`response_format.type` is required")
    })?;
    match kind {
        "text" => Ok(OutputFormat::Text),
        // llama.cpp's dialect puts a schema beside either type.
        "json_object" => match value.get("schema") {
            None | Some(Value::Null) => Ok(OutputFormat::JsonObject),
            Some(schema) => json_schema("response_format.schema", schema),
        },
        "json_schema" => match (value.get("json_schema"), value.get("schema")) {
            (Some(wrapped), _) => {
                if wrapped
                    .get("name")
                    .and_then(Value::as_str)
                    .is_none_or(str::is_empty)
                {
                    return Err(Error::invalid(
                        "response_format.json_schema.name",
                        "`response_format.json_schema.name` is required",
                    ));
                }
                match wrapped.get("schema") {
                    // OpenAI lets the schema out; any object is then valid.
                    None | Some(Value::Null) => Ok(OutputFormat::JsonObject),
                    Some(schema) => json_schema("response_format.json_schema.schema", schema),
                }
            }
            (None, Some(schema)) => json_schema("response_format.schema", schema),
            (None, None) => Err(Error::invalid(
                "response_format.json_schema",
                "`response_format.json_schema` is required with the type `json_schema`",
            )),
        },
        _ => Err(unsupported(
            "response_format.type",
            "it is text, json_object or json_schema",
        )),
    }
}

/// A schema given as an object, or (vLLM's clients do that) as its JSON text.
fn json_schema(field: &str, value: &Value) -> Result<OutputFormat, Error> {
    match value {
        Value::Object(_) => Ok(OutputFormat::JsonSchema(value.clone())),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(parsed @ Value::Object(_)) => Ok(OutputFormat::JsonSchema(parsed)),
            _ => Err(Error::invalid(
                field,
                format!("`{field}` is not a JSON Schema"),
            )),
        },
        _ => Err(Error::invalid(
            field,
            format!("`{field}` is not a JSON Schema"),
        )),
    }
}

/// One of a few literal texts, as a regular expression.
fn any_of(field: &str, choices: &[String]) -> Result<OutputFormat, Error> {
    if choices.is_empty() || choices.len() > GUIDED_CHOICES_MAX {
        return Err(Error::invalid(
            field,
            format!("`{field}` takes 1 to {GUIDED_CHOICES_MAX} texts"),
        ));
    }
    let mut pattern = String::from("(");
    for (index, choice) in choices.iter().enumerate() {
        if index > 0 {
            pattern.push('|');
        }
        for character in choice.chars() {
            if r"\.+*?()|[]{}^$#&-~/".contains(character) {
                pattern.push('\\');
            }
            pattern.push(character);
        }
    }
    pattern.push(')');
    Ok(OutputFormat::Regex(pattern))
}

/// Schema of a tool that takes nothing.
pub fn no_parameters() -> Value {
    json!({"type": "object", "properties": {}})
}
