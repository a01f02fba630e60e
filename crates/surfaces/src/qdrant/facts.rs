//! What a client asks about the server itself.

use axum::extract::{Extension, State};
use axum::response::Response;
use serde_json::json;
use service::Identity;

use super::envelope::answer;
use crate::state::App;

/// `GET /telemetry`: the little that is both known and the caller's own.
pub async fn telemetry(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
) -> Response {
    answer(async {
        let collections = app.service.collections_list(&identity).await?;
        Ok(json!({
            "id": "fornax",
            "app": {
                "name": "fornax",
                "version": app.options.version,
                "startup": super::moment::date_time(app.started_unix.saturating_mul(1000)),
            },
            "collections": {"number_of_collections": collections.len()},
        }))
    })
    .await
}

/// `GET /cluster`: there is none.
pub async fn cluster() -> Response {
    answer(async { Ok(json!({"status": "disabled"})) }).await
}
