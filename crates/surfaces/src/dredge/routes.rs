//! `GET /dredge` and `POST /lift`; the operations arrive through `/mcp`.

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use service::Identity;

use super::operations::operate;
use crate::body::JsonObject;
use crate::failure::{Failure, Surface};
use crate::state::App;

/// `GET /dredge`: the capabilities, which DREDGE has at `GET /`.
pub async fn capabilities(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
) -> Response {
    let asked = json!({"operation": "list_capabilities"});
    Json(operate(&app, &identity, &asked, false).await).into_response()
}

/// `POST /lift`
pub async fn lift(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    JsonObject(body): JsonObject,
) -> Response {
    let text = body["insight_text"].as_str().unwrap_or_default();
    if text.is_empty() {
        let error = json!({"error": "Missing required field: insight_text"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    match app.service.science_lift(&identity, text, None).await {
        Ok(lifted) => {
            let reply: Value = json!({
                "id": lifted.id, "text": text, "lifted": true,
                "message": "Insight lifted", "vector": lifted.vector,
            });
            Json(reply).into_response()
        }
        Err(error) => Failure::new(Surface::Native, error).into_response(),
    }
}
