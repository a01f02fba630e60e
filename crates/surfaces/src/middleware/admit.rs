//! Refuses what cannot be served now, before any work is done for it. A permit is held until the last byte of the answer
//! is written, so streams count for as long as they run.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::{Action, Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Failure, Surface};
use crate::state::App;
use crate::table::{self, Access};

/// A client of a draining server should find the next one up by then.
const DRAINING_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Kept beside the response's body by `observe`.
#[derive(Clone)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] Arc<OwnedSemaphorePermit>);

/// Lets a request in, or says when to come back. Health and metrics always pass: they are how the refusal is seen.
pub async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let rule = request
        .extensions()
        .get::<MatchedPath>()
        .and_then(|matched| table::rule(request.method(), matched.as_str()));
    if rule.is_some_and(|rule| {
        matches!(
            rule.access,
            Access::Public | Access::Action(Action::ReadMetrics)
        )
    }) {
        return next.run(request).await;
    }
    let surface = Surface::of_request(&request);
    if app.service.is_draining() {
        let error = Error::new(ErrorKind::Unavailable, "the server is shutting down")
            .retry_after(DRAINING_RETRY_AFTER);
        return Failure::new(surface, error).into_response();
    }
    let Ok(permit) = Semaphore::try_acquire_owned(app.capacity.clone()) else {
        let error = Error::new(
            ErrorKind::Overloaded,
            "too many requests are being answered at once",
        );
        return Failure::new(surface, error).into_response();
    };
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Permit(Arc::new(permit)));
    response
}
