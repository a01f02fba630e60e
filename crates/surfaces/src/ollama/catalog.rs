//! How Ollama shows models: lists, what is in memory, and one in full.

use serde::Serialize;
use serde_json::{Map, Value};
use service::{ModelDefaults, ModelDetails, ModelSummary, ResidentModel};

use crate::moments::rfc3339;

#[derive(Debug, Serialize)]
pub struct Tags {
    pub models: Vec<Tag>,
}

/// A model of the store.
#[derive(Debug, Serialize)]
pub struct Tag {
    pub name: String,
    pub model: String,
    pub modified_at: String,
    pub size: u64,
    pub digest: String,
    pub details: Details,
}

#[derive(Debug, Clone, Serialize)]
pub struct Details {
    pub parent_model: &'static str,
    pub format: &'static str,
    pub family: String,
    pub families: Vec<String>,
    pub parameter_size: String,
    pub quantization_level: String,
    pub context_length: u32,
    pub embedding_length: u32,
}

#[derive(Debug, Serialize)]
pub struct Running {
    pub models: Vec<RunningModel>,
}

/// A model in memory. How much of it lies on a graphics processor is not known here, so `size_vram` is left out.
#[derive(Debug, Serialize)]
pub struct RunningModel {
    pub name: String,
    pub model: String,
    pub size: u64,
    pub digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    pub expires_at: String,
}

#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    pub modelfile: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parameters: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    pub details: Details,
    pub model_info: Map<String, Value>,
    pub capabilities: Vec<&'static str>,
    pub modified_at: String,
}

/// "For ever", as Ollama writes the end of a model that is never unloaded: far away, and a date every client can read.
const NEVER: u64 = 9_223_372_036;

/// A model of the store.
pub fn tag(model: ModelSummary) -> Tag {
    Tag {
        modified_at: rfc3339(model.created_unix),
        size: model.size_bytes,
        digest: bare(&model.digest),
        details: details(&model),
        model: model.name.clone(),
        name: model.name,
    }
}

/// A model in memory; `known` are the models of the store.
pub fn running(resident: ResidentModel, known: &[ModelSummary]) -> RunningModel {
    let summary = known.iter().find(|model| model.name == resident.name);
    RunningModel {
        size: resident.memory_bytes,
        digest: bare(&resident.digest),
        details: summary.map(details),
        expires_at: rfc3339(resident.expires_unix.unwrap_or(NEVER)),
        model: resident.name.clone(),
        name: resident.name,
    }
}

/// One model in full.
pub fn shown(model: ModelDetails) -> Shown {
    let capabilities = model.capabilities;
    let words = [
        ("completion", capabilities.generates),
        ("tools", capabilities.generates),
        ("thinking", capabilities.generates && capabilities.reasons),
        ("embedding", capabilities.embeds),
    ];
    let mut model_info: Map<String, Value> = model.metadata.into_iter().collect();
    model_info.insert(
        "general.parameter_count".into(),
        model.summary.parameters.into(),
    );
    Shown {
        modelfile: modelfile(&model.summary.name, &model.defaults),
        parameters: parameters(&model.defaults),
        template: model.template,
        system: model.defaults.system,
        details: details(&model.summary),
        model_info,
        capabilities: words
            .into_iter()
            .filter_map(|(word, true_here)| true_here.then_some(word))
            .collect(),
        modified_at: rfc3339(model.summary.created_unix),
        license: model.summary.license,
    }
}

fn details(model: &ModelSummary) -> Details {
    Details {
        parent_model: "",
        format: "gguf",
        family: model.architecture.clone(),
        families: vec![model.architecture.clone()],
        parameter_size: parameter_size(model.parameters),
        quantization_level: model.quantization.clone(),
        context_length: model.context_length,
        embedding_length: model.embedding_length,
    }
}

/// Ollama gives digests as bare digits.
fn bare(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).to_owned()
}

/// `8.0B`, `22.71M`, `512K`: as Ollama counts parameters.
pub fn parameter_size(count: u64) -> String {
    let number = count as f64;
    match count {
        1_000_000_000.. => format!("{:.1}B", number / 1e9),
        1_000_000.. => format!("{:.2}M", number / 1e6),
        1_000.. => format!("{:.0}K", number / 1e3),
        _ => count.to_string(),
    }
}

/// What was chosen for a model, name and value.
fn chosen(defaults: &ModelDefaults) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let mut row = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    row(
        "num_ctx",
        defaults.context_tokens.map(|value| value.to_string()),
    );
    row(
        "temperature",
        defaults.temperature.map(|value| value.to_string()),
    );
    row("top_p", defaults.top_p.map(|value| value.to_string()));
    row("top_k", defaults.top_k.map(|value| value.to_string()));
    row("min_p", defaults.min_p.map(|value| value.to_string()));
    row(
        "repeat_penalty",
        defaults.repeat_penalty.map(|value| value.to_string()),
    );
    for stop in &defaults.stop {
        row("stop", Some(Value::from(stop.as_str()).to_string()));
    }
    rows
}

/// One line per setting, the values in a column.
fn parameters(defaults: &ModelDefaults) -> String {
    chosen(defaults)
        .into_iter()
        .map(|(name, value)| format!("{name:<30} {value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The settings as a Modelfile that gives this model again.
fn modelfile(name: &str, defaults: &ModelDefaults) -> String {
    let mut text = format!("FROM {name}\n");
    for (name, value) in chosen(defaults) {
        text.push_str(&format!("PARAMETER {name} {value}\n"));
    }
    if let Some(system) = &defaults.system {
        text.push_str(&format!("SYSTEM \"\"\"{system}\"\"\"\n"));
    }
    text
}
