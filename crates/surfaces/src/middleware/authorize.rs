//! Deny by default. A route is public only if the table says so; everything else, unknown paths and wrong methods
//! included, needs a valid key before it learns anything.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use service::{Action, Error, ErrorKind, Identity};

use crate::failure::{Failure, Surface};
use crate::state::App;
use crate::table::{self, Access};

/// Puts an [`Identity`] into the request's extensions, or answers 401 or 403.
pub async fn authorize(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let rule = request
        .extensions()
        .get::<MatchedPath>()
        .and_then(|matched| table::rule(request.method(), matched.as_str()));
    let action = match rule.map(|rule| rule.access) {
        Some(Access::Public) => return next.run(request).await,
        Some(Access::Action(Action::ReadMetrics)) if app.options.metrics_public => {
            return next.run(request).await;
        }
        Some(Access::Action(action)) => Some(action),
        Some(Access::Key) | None => None,
    };
    let surface = Surface::of_request(&request);
    let identity = match identify(&app, request.headers()).await {
        Ok(identity) => identity,
        Err(error) => return Failure::new(surface, error).into_response(),
    };
    let span = tracing::Span::current();
    span.record("tenant", tracing::field::display(&identity.tenant));
    span.record("key", identity.key_id.as_str());
    if let Some(action) = action
        && let Err(error) = app.service.authorize(Some(&identity), action)
    {
        return Failure::new(surface, error).into_response();
    }
    request.extensions_mut().insert(identity.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(identity);
    response
}

async fn identify(app: &App, headers: &HeaderMap) -> Result<Identity, Error> {
    let Some(key) = presented(headers) else {
        return Err(Error::new(
            ErrorKind::Unauthenticated,
            "no API key was given; send `Authorization: Bearer <key>`",
        ));
    };
    app.service.authenticate(key).await
}

/// The key that the request presents, in the three spellings that clients use.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer
        .or_else(|| text("x-api-key"))
        .or_else(|| text("api-key"))
        .filter(|key| !key.is_empty())
}
