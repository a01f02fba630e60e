//! The protocol's server: `rmcp`'s, with our handler, our bounds and no checks of its own where ours come first.

use std::sync::Arc;

use http::Request;
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use service::{Error, Identity};

use super::handler::{Handler, Parts};
use super::sessions::{self, Sessions};
use crate::options::SurfaceOptions;

/// What `rmcp` answers with.
pub type Answer = http::Response<BoxBody<bytes::Bytes, std::convert::Infallible>>;

/// The protocol's server; one per router.
pub struct Endpoint {
    service: StreamableHttpService<Handler, LocalSessionManager>,
    manager: Arc<LocalSessionManager>,
    /// Whose each session is.
    pub sessions: Sessions,
}

impl Endpoint {
    /// A server with no sessions yet.
    pub fn new(options: &SurfaceOptions) -> Self {
        let manager = Arc::new(sessions::manager());
        let parts = Arc::new(Parts::new(options));
        // The router checks the origin itself, for this path and the others alike; every request carries a key, so a name
        // that resolves to us by a trick gains nothing, and behind a proxy the host is whatever the proxy is called.
        let config = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_json_response(true)
            .with_sse_keep_alive(Some(options.keep_alive_interval))
            // The body was read under our own limit; written again it may be a little longer.
            .with_max_request_body_bytes(options.body_bytes_max.saturating_mul(2));
        let service = StreamableHttpService::new(
            move || Ok(Handler::new(Arc::clone(&parts))),
            Arc::clone(&manager),
            config,
        );
        Endpoint {
            service,
            manager,
            sessions: Sessions::default(),
        }
    }

    /// Answers one request whose body and extensions are ours.
    pub async fn answer(&self, request: Request<Full<bytes::Bytes>>) -> Answer {
        self.service.handle(request).await
    }

    /// Whether `identity` may begin one more session.
    ///
    /// # Errors
    /// `Overloaded`.
    pub async fn room(&self, identity: &Identity) -> Result<(), Error> {
        self.sessions.room(identity, &self.manager).await
    }
}
