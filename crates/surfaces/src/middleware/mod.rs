//! The one stack before every route, outermost first:
//!
//! 1. `observe`: request id, span and `traceparent`, metrics, access log, constant headers. Sees every answer, even ours.
//! 2. `contain`: a panic in a handler becomes a 500 in the protocol's own shape.
//! 3. `cross_origin`: preflights of allowed origins; off unless origins are configured.
//! 4. `admit`: 503 while draining, 429 when too many requests are being answered.
//! 5. `authorize`: key to Identity, and the scope that the route table asks. Unknown paths ask for a key too.
//!
//! The answer's body goes through `patience` last: a reader that takes nothing for too long is given up.
//! The body's size and time limits are enforced where it is read, in `body`.

mod admit;
mod authorize;
mod contain;
mod cross_origin;
mod observe;
mod patience;

use axum::Router;
use axum::middleware::from_fn_with_state;

use crate::state::App;

/// `router` behind the stack.
pub fn stack(router: Router<App>, app: &App) -> Router<App> {
    // The last layer added is the first that runs.
    router
        .layer(from_fn_with_state(app.clone(), authorize::authorize))
        .layer(from_fn_with_state(app.clone(), admit::admit))
        .layer(from_fn_with_state(app.clone(), cross_origin::cross_origin))
        .layer(axum::middleware::from_fn(contain::contain))
        .layer(from_fn_with_state(app.clone(), observe::observe))
}
