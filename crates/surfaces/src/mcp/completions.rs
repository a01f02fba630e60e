//! Suggestions for the arguments of prompts and for the names in resource addresses.

use rmcp::ErrorData;
use rmcp::model::{CompleteRequestParams, CompletionInfo, Reference};
use service::Identity;

use super::resources::{COLLECTION_TEMPLATE, DOCUMENT_TEMPLATE, MODEL_TEMPLATE};
use super::{convert, prompts};
use crate::state::App;

/// Suggestions for what `request` has begun to type.
///
/// # Errors
/// It names no prompt or template of ours.
pub async fn complete(
    app: &App,
    identity: &Identity,
    request: &CompleteRequestParams,
) -> Result<CompletionInfo, ErrorData> {
    let typed = &request.argument.value;
    match &request.r#ref {
        Reference::Prompt(prompt) => {
            let template = prompts::find(&prompt.name).ok_or_else(|| {
                ErrorData::invalid_params(format!("there is no prompt `{}`", prompt.name), None)
            })?;
            let choices = template
                .arguments
                .iter()
                .find(|argument| argument.name == request.argument.name)
                .map_or(&[][..], |argument| argument.choices);
            matching(choices.iter().map(|choice| (*choice).to_owned()), typed)
        }
        Reference::Resource(resource)
            if resource.uri == MODEL_TEMPLATE && request.argument.name == "name" =>
        {
            let models = app.service.models(identity).await;
            let models = models.map_err(convert::protocol_error)?;
            matching(models.into_iter().map(|model| model.name), typed)
        }
        Reference::Resource(resource)
            if [COLLECTION_TEMPLATE, DOCUMENT_TEMPLATE].contains(&resource.uri.as_str())
                && request.argument.name == "name" =>
        {
            let names = app.service.collections_list(identity).await;
            matching(names.map_err(convert::protocol_error)?.into_iter(), typed)
        }
        _ => Err(ErrorData::invalid_params(
            "there is nothing to complete here",
            None,
        )),
    }
}

/// Those of `values` that begin with what was typed, as many as the protocol takes.
fn matching(
    values: impl Iterator<Item = String>,
    typed: &str,
) -> Result<CompletionInfo, ErrorData> {
    let mut matching: Vec<String> = values.filter(|value| value.starts_with(typed)).collect();
    let total = u32::try_from(matching.len()).unwrap_or(u32::MAX);
    let more = matching.len() > CompletionInfo::MAX_VALUES;
    matching.truncate(CompletionInfo::MAX_VALUES);
    CompletionInfo::with_pagination(matching, Some(total), more)
        .map_err(|error| ErrorData::internal_error(error, None))
}
