//! The list of models in Anthropic's shape, in pages.

use service::{Error, ModelSummary};

use super::replies::{ModelPage, ModelReply};
use super::types::PageQuery;
use crate::moments::rfc3339;

/// Models of a page when the query is silent, and the most that it may ask for: the protocol's own.
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 1000;

/// One model.
pub fn reply(model: ModelSummary) -> ModelReply {
    ModelReply {
        kind: "model",
        display_name: model.name.clone(),
        created_at: rfc3339(model.created_unix),
        id: model.name,
    }
}

/// The page of `all` that `query` asks for.
///
/// # Errors
/// A limit that is none, both ends of a page, or an id that is not in the list.
pub fn page(all: Vec<ModelSummary>, query: &PageQuery) -> Result<ModelPage, Error> {
    let limit = match query.limit.as_deref().map(str::parse::<usize>) {
        None => LIMIT_DEFAULT,
        Some(Ok(limit @ 1..=LIMIT_MAX)) => limit,
        Some(_) => {
            return Err(Error::invalid(
                "limit",
                format!("`limit` must be between 1 and {LIMIT_MAX}"),
            ));
        }
    };
    let place = |field: &str, id: &str| {
        all.iter()
            .position(|model| model.name == id)
            .ok_or_else(|| {
                Error::invalid(
                    field,
                    format!("`{field}`: there is no model {id:?} in the list"),
                )
            })
    };
    let (start, end) = match (&query.after_id, &query.before_id) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "before_id",
                "`before_id` and `after_id` cannot be used together",
            ));
        }
        (Some(id), None) => {
            let start = place("after_id", id)? + 1;
            (start, all.len().min(start + limit))
        }
        (None, Some(id)) => {
            let end = place("before_id", id)?;
            (end.saturating_sub(limit), end)
        }
        (None, None) => (0, all.len().min(limit)),
    };
    let has_more = match query.before_id {
        Some(_) => start > 0,
        None => end < all.len(),
    };
    let data: Vec<ModelReply> = all.into_iter().take(end).skip(start).map(reply).collect();
    Ok(ModelPage {
        has_more,
        first_id: data.first().map(|model| model.id.clone()),
        last_id: data.last().map(|model| model.id.clone()),
        data,
    })
}
