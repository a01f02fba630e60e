//! What a client may name as the source of a pull or of a new model, and what that means here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use service::{Error, ModelDefaults, NewModel, NewModelSource, PullRequest};

use super::types::CreateBody;
use super::{convert, options, unsupported};

/// Hosts under which clients name a repository of the hub.
const HUBS: [&str; 2] = ["hf.co/", "huggingface.co/"];

/// The pull that `name` asks for; `None` for a short name, which only a registry could resolve.
pub fn pull_request(name: &str) -> Option<PullRequest> {
    let place = name.strip_prefix("https://").unwrap_or(name);
    for hub in HUBS {
        if let Some(rest) = place.strip_prefix(hub)
            && rest
                .split(':')
                .next()
                .is_some_and(|path| path.matches('/').count() == 1)
        {
            return Some(PullRequest {
                source: format!("hf:{rest}"),
                // The client will ask for the model by the name that it pulled.
                name: Some(place.to_owned()),
            });
        }
    }
    let remote = ["hf:", "https://", "http://"]
        .iter()
        .any(|scheme| name.starts_with(scheme));
    remote.then(|| PullRequest {
        source: name.to_owned(),
        name: None,
    })
}

/// The model that a body describes.
///
/// # Errors
/// `InvalidRequest` for what the store cannot keep: nothing of a model is dropped in silence.
pub fn new_model(body: CreateBody) -> Result<NewModel, Error> {
    let name = convert::model(body.model.or(body.name))?;
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let something = |value: &Option<Value>| match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        Some(_) => true,
    };
    for (field, there, why) in [
        (
            "modelfile",
            given(&body.modelfile),
            "send its parts: from, files, parameters, system",
        ),
        (
            "template",
            given(&body.template),
            "the template in the model's file is used",
        ),
        (
            "quantize",
            given(&body.quantize),
            "send a file that is quantised already",
        ),
        (
            "adapters",
            something(&body.adapters),
            "adapters are not supported",
        ),
        (
            "license",
            something(&body.license),
            "the licence in the model's file is shown",
        ),
        (
            "messages",
            body.messages
                .as_ref()
                .is_some_and(|messages| !messages.is_empty()),
            "send them with each conversation",
        ),
    ] {
        if there {
            return Err(unsupported(field, why));
        }
    }
    Ok(NewModel {
        name,
        source: source(body.from, body.files.unwrap_or_default())?,
        defaults: ModelDefaults {
            system: body.system.filter(|text| !text.is_empty()),
            ..defaults(body.parameters.as_ref())?
        },
    })
}

fn source(from: Option<String>, files: BTreeMap<String, String>) -> Result<NewModelSource, Error> {
    let from = from.filter(|from| !from.is_empty());
    let mut files = files.into_iter();
    match (from, files.next()) {
        (Some(_), Some(_)) => Err(Error::invalid(
            "files",
            "`from` and `files` cannot be used together",
        )),
        (Some(from), None) => Ok(NewModelSource::Model(from)),
        (None, Some((file, digest))) => {
            if files.next().is_some() {
                return Err(unsupported("files", "a model is one GGUF file here"));
            }
            if !file.to_ascii_lowercase().ends_with(".gguf") {
                return Err(unsupported(
                    "files",
                    "only GGUF files become models here; `fornax convert` makes one of safetensors",
                ));
            }
            Ok(NewModelSource::Upload { digest, file })
        }
        (None, None) => Err(Error::invalid(
            "from",
            "neither `from` nor `files` was given",
        )),
    }
}

/// The settings that the store keeps for a model, from Ollama's parameters.
fn defaults(parameters: Option<&Map<String, Value>>) -> Result<ModelDefaults, Error> {
    const KEPT: [&str; 7] = [
        "min_p",
        "num_ctx",
        "repeat_penalty",
        "stop",
        "temperature",
        "top_k",
        "top_p",
    ];
    if let Some(name) =
        parameters.and_then(|map| map.keys().find(|name| !KEPT.contains(&name.as_str())))
    {
        return Err(unsupported(
            &format!("parameters.{name}"),
            "a model keeps temperature, top_p, top_k, min_p, repeat_penalty, num_ctx and stop",
        ));
    }
    let read = options::read(parameters)?;
    Ok(ModelDefaults {
        system: None,
        context_tokens: read.context_tokens,
        stop: read.stop,
        temperature: read.sampling.temperature,
        top_p: read.sampling.top_p,
        top_k: read.sampling.top_k,
        min_p: read.sampling.min_p,
        repeat_penalty: read.sampling.repeat_penalty,
    })
}
