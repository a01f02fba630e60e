//! What clients can read: the models of the store, the collections, and the documents in them.

mod collections;

use rmcp::ErrorData;
use rmcp::model::{Resource, ResourceContents, ResourceTemplate};
use serde::Serialize;
use serde_json::json;
use service::{ErrorKind, Identity, ModelSummary};

use super::convert;
use super::types::ModelsAnswer;
use crate::state::App;

pub use collections::{COLLECTION_TEMPLATE, DOCUMENT_TEMPLATE};

/// The list of models.
pub const MODELS: &str = "fornax://models";
/// What a model's address begins with; its name follows as it is, slashes and colons included.
const MODEL: &str = "fornax://models/";
/// The template of a model's address.
pub const MODEL_TEMPLATE: &str = "fornax://models/{+name}";
/// All of these are JSON.
const JSON: &str = "application/json";

/// Every resource that `identity` may read.
pub async fn list(app: &App, identity: &Identity) -> Result<Vec<Resource>, ErrorData> {
    let mut listed = models(app, identity).await?;
    listed.extend(collections::list(app, identity).await?);
    Ok(listed)
}

/// The models; none for a key that may not see them.
async fn models(app: &App, identity: &Identity) -> Result<Vec<Resource>, ErrorData> {
    let models = match app.service.models(identity).await {
        Ok(models) => models,
        Err(error) if error.kind == ErrorKind::Forbidden => return Ok(Vec::new()),
        Err(error) => return Err(convert::protocol_error(error)),
    };
    let all = Resource::new(MODELS, "models")
        .with_title("Models")
        .with_description("The models of this server and what each was made for")
        .with_mime_type(JSON);
    Ok(std::iter::once(all)
        .chain(models.iter().map(listed))
        .collect())
}

fn listed(model: &ModelSummary) -> Resource {
    let description = format!(
        "{} model, {} parameters, {}",
        model.kind.name(),
        model.parameters,
        model.quantization
    );
    Resource::new(address(&model.name), model.name.clone())
        .with_description(description)
        .with_mime_type(JSON)
}

/// The address of a model.
pub fn address(name: &str) -> String {
    format!("{MODEL}{name}")
}

/// The addresses that can be made.
pub fn templates() -> Vec<ResourceTemplate> {
    let model = ResourceTemplate::new(MODEL_TEMPLATE, "model")
        .with_title("A model")
        .with_description("Everything that is known of one model, by its name")
        .with_mime_type(JSON);
    std::iter::once(model)
        .chain(collections::templates())
        .collect()
}

/// What stands at `uri`.
///
/// # Errors
/// Nothing does, or the key may not read it.
pub async fn read(
    app: &App,
    identity: &Identity,
    uri: &str,
) -> Result<Vec<ResourceContents>, ErrorData> {
    let service = &app.service;
    if uri == MODELS {
        let models = service.models(identity).await;
        let models = models.map_err(convert::protocol_error)?;
        let answer = ModelsAnswer {
            models: models.iter().map(convert::model_entry).collect(),
        };
        return json_contents(uri, &answer);
    }
    let Some(name) = uri.strip_prefix(MODEL) else {
        return collections::read(app, identity, uri).await;
    };
    match service.model(identity, name).await {
        Ok(model) => json_contents(uri, &convert::model_answer(model)),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::InvalidRequest) => {
            Err(not_found(uri))
        }
        Err(error) => Err(convert::protocol_error(error)),
    }
}

/// The error of an address at which nothing stands.
pub fn not_found(uri: &str) -> ErrorData {
    ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri })))
}

fn json_contents(uri: &str, value: &impl Serialize) -> Result<Vec<ResourceContents>, ErrorData> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    Ok(vec![
        ResourceContents::text(text, uri.to_owned()).with_mime_type(JSON),
    ])
}
