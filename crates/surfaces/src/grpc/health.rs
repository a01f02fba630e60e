//! `grpc.health.v1`: whether the server takes requests, for load balancers, without a key.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use service::{Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::descriptors::DESCRIPTORS;
use super::protocol::health::health_check_response::ServingStatus;
use super::protocol::health::{HealthCheckRequest, HealthCheckResponse};
use super::{Call, frame};
use crate::body;
use crate::failure::{self, Failure, Surface};
use crate::state::App;

/// How often a watcher's state is looked at. A draining server ends before most probes would notice more.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Watchers at once. They need no key, so they must not add up.
const WATCHERS_MAX: usize = 64;

/// Places for watchers, one set per router.
pub struct Watchers(std::sync::Arc<Semaphore>);

impl Default for Watchers {
    fn default() -> Self {
        Watchers(std::sync::Arc::new(Semaphore::new(WATCHERS_MAX)))
    }
}

/// Whether there is a service of this name; the empty name is the whole server.
fn is_known(service: &str) -> bool {
    service.is_empty() || DESCRIPTORS.services().iter().any(|name| name == service)
}

fn status(app: &App) -> ServingStatus {
    if app.service.is_draining() {
        ServingStatus::NotServing
    } else {
        ServingStatus::Serving
    }
}

fn reply(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// `Check`.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a service that is not here.
pub async fn check(call: Call, request: HealthCheckRequest) -> Result<HealthCheckResponse, Error> {
    if !is_known(&request.service) {
        let message = format!("there is no service `{}`", request.service);
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(reply(status(&call.app)))
}

/// `Watch`: the state now and whenever it changes, until the client goes or the server has said that it goes.
pub async fn watch(State(app): State<App>, request: Request) -> Response {
    match watching(app, request).await {
        Ok(body) => frame::response(body),
        Err(failure) => failure.into_response(),
    }
}

struct Watch {
    app: App,
    service: String,
    told: Option<ServingStatus>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

async fn watching(app: App, request: Request) -> Result<Body, Failure> {
    let failed = |error| Failure::new(Surface::Grpc, error);
    super::check_transport(&request).map_err(failed)?;
    let place =
        Semaphore::try_acquire_owned(std::sync::Arc::clone(&app.watchers.0)).map_err(|_| {
            let message = "too many clients watch the health of this server";
            failed(Error::new(ErrorKind::Overloaded, message))
        })?;
    let received = body::received(request, &app, Surface::Grpc).await?;
    let request = frame::single(&received.bytes).map_err(failed)?;
    let request = HealthCheckRequest::decode(request).map_err(|error| {
        let message = format!("the message is not a valid HealthCheckRequest: {error}");
        failed(Error::new(ErrorKind::InvalidRequest, message))
    })?;
    let watch = Watch {
        app,
        service: request.service,
        told: None,
        ended: false,
        _place: place,
    };
    Ok(Body::new(StreamBody::new(stream::unfold(watch, next))))
}

/// The next thing to tell; behind it the trailers, and then nothing.
async fn next(mut watch: Watch) -> Option<(Result<Frame<Bytes>, axum::Error>, Watch)> {
    if watch.ended {
        return None;
    }
    if watch.told == Some(ServingStatus::NotServing) {
        watch.ended = true;
        let gone = Error::new(ErrorKind::Unavailable, "the server is shutting down");
        return Some((Ok(Frame::trailers(failure::grpc_status(&gone))), watch));
    }
    loop {
        let now = if is_known(&watch.service) {
            status(&watch.app)
        } else {
            ServingStatus::ServiceUnknown
        };
        if watch.told != Some(now) {
            watch.told = Some(now);
            return Some((Ok(Frame::data(frame::framed(&reply(now)))), watch));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
