//! What one model is and can do, beyond its summary: for protocols that let a client look before it asks.

use inference::files::gguf::{GgufHeader, Value as FileValue};
use security::{Action, Identity};
use serde_json::Value;

use crate::administration::{ModelKind, ModelSummary};
use crate::catalog::{summary, summary_for};
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::service::Service;

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelCapabilities {
    /// It writes text. Calls of tools are then possible too: the grammar keeps them well formed whatever the model is.
    pub generates: bool,
    /// It is made to turn text into vectors.
    pub embeds: bool,
    /// Its template marks reasoning, which is then told apart from the answer.
    pub reasons: bool,
}

/// What the administrator chose for a model; what is absent falls back to the server's configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelDefaults {
    /// System message when a conversation has none.
    pub system: Option<String>,
    /// Context of each sequence, in tokens.
    pub context_tokens: Option<u32>,
    /// Texts that end a generation.
    pub stop: Vec<String>,
    /// Temperature; 0 is greedy.
    pub temperature: Option<f32>,
    /// Nucleus, 0 to 1.
    pub top_p: Option<f32>,
    /// Most likely tokens kept.
    pub top_k: Option<u32>,
    /// Least probability relative to the likeliest token.
    pub min_p: Option<f32>,
    /// Penalty on repeated tokens; 1 is none.
    pub repeat_penalty: Option<f32>,
}

/// One model in full.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelDetails {
    /// What lists show of it.
    pub summary: ModelSummary,
    /// What it can be asked for.
    pub capabilities: ModelCapabilities,
    /// What was chosen for it.
    pub defaults: ModelDefaults,
    /// Source of its chat template (Jinja), when its file has one.
    pub template: Option<String>,
    /// The metadata of its file in file order, without arrays: a vocabulary is no fact about a model.
    pub metadata: Vec<(String, Value)>,
}

impl Service {
    /// What a model can be asked for.
    ///
    /// # Errors
    /// `NotFound` (code `model_not_found`); `DataLoss` when its file is damaged.
    pub async fn model_capabilities(
        &self,
        identity: &Identity,
        name: &str,
    ) -> Result<ModelCapabilities> {
        self.authorize(Some(identity), Action::ListModels)?;
        let model = self.catalog.find(name).await?;
        let kind = summary(model.manifest).kind;
        Ok(ModelCapabilities {
            generates: kind == ModelKind::Generate,
            embeds: kind == ModelKind::Embed,
            reasons: model.profile.reasons(),
        })
    }

    /// One model with its template, its settings and the metadata of its file.
    ///
    /// # Errors
    /// As [`Service::model_capabilities`].
    pub async fn model_details(&self, identity: &Identity, name: &str) -> Result<ModelDetails> {
        let capabilities = self.model_capabilities(identity, name).await?;
        let model = self.catalog.find(name).await?;
        let path = model.source.path;
        let header = tokio::task::spawn_blocking(move || GgufHeader::read(&path))
            .await
            .map_err(failures::internal)?
            .map_err(|error| {
                Error::new(
                    ErrorKind::DataLoss,
                    format!("The weights of '{name}' are damaged ({error}); pull or import the model again."),
                )
            })?;
        let settings = &model.manifest.settings;
        Ok(ModelDetails {
            capabilities,
            defaults: ModelDefaults {
                system: settings.system.clone(),
                context_tokens: settings.context_tokens,
                stop: settings.stop.clone(),
                temperature: settings.sampling.temperature,
                top_p: settings.sampling.top_p,
                top_k: settings.sampling.top_k,
                min_p: settings.sampling.min_p,
                repeat_penalty: settings.sampling.repeat_penalty,
            },
            metadata: metadata(&header),
            template: header.chat_template,
            summary: summary_for(identity, model.manifest),
        })
    }
}

/// Scalars of the header; templates are given apart.
fn metadata(header: &GgufHeader) -> Vec<(String, Value)> {
    header
        .metadata
        .iter()
        .filter(|entry| !entry.key.starts_with("tokenizer.chat_template"))
        .filter_map(|entry| Some((entry.key.clone(), scalar(&entry.value)?)))
        .collect()
}

fn scalar(value: &FileValue) -> Option<Value> {
    match value {
        FileValue::String(text) => Some(text.clone().into()),
        FileValue::Bool(truth) => Some((*truth).into()),
        FileValue::Array(_) => None,
        number => match number.as_unsigned() {
            Some(count) => Some(count.into()),
            None => number.as_float().map(Value::from),
        },
    }
}
