//! Handlers of aliases.

use axum::extract::{Extension, State};
use axum::response::Response;
use serde_json::{Value, json};
use service::Identity;
use service::collections::{Alias, AliasChange};

use super::super::envelope::answer;
use super::routes::{Name, name_of};
use super::types::{AliasAction, AliasesBody};
use crate::body::{JsonObject, read};
use crate::state::App;

/// `GET /aliases`
pub async fn aliases(State(app): State<App>, Extension(identity): Extension<Identity>) -> Response {
    answer(async { Ok(shown(app.service.aliases_list(&identity, None).await?)) }).await
}

/// `GET /collections/{collection}/aliases`
pub async fn aliases_of(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    name: Name,
) -> Response {
    answer(async {
        let name = name_of(name)?;
        let aliases = app.service.aliases_list(&identity, Some(&name)).await?;
        Ok(shown(aliases))
    })
    .await
}

/// `POST /collections/aliases`: all changes at one moment, or none.
pub async fn change_aliases(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Response {
    answer(async {
        let body = read::<AliasesBody>(&body)?;
        let changes = body.actions.into_iter().map(change).collect();
        app.service.aliases_change(&identity, changes).await?;
        Ok(true)
    })
    .await
}

fn change(action: AliasAction) -> AliasChange {
    match action {
        AliasAction::Create {
            collection_name,
            alias_name,
        } => AliasChange::Create {
            alias: alias_name,
            collection: collection_name,
        },
        AliasAction::Delete { alias_name } => AliasChange::Delete { alias: alias_name },
        AliasAction::Rename {
            old_alias_name,
            new_alias_name,
        } => AliasChange::Rename {
            from: old_alias_name,
            to: new_alias_name,
        },
    }
}

fn shown(aliases: Vec<Alias>) -> Value {
    let aliases: Vec<Value> = aliases
        .into_iter()
        .map(|one| json!({"alias_name": one.alias, "collection_name": one.collection}))
        .collect();
    json!({"aliases": aliases})
}
