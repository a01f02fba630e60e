//! What every handler and middleware shares.

use std::sync::Arc;

use service::Service;
use tokio::sync::Semaphore;

use crate::dredge;
use crate::grpc;
use crate::mcp;
use crate::options::SurfaceOptions;

/// Shared by all requests; built once per router.
pub struct Shared {
    /// The use cases.
    pub service: Arc<Service>,
    /// Settings and hooks.
    pub options: SurfaceOptions,
    /// One permit per request being answered.
    pub capacity: Arc<Semaphore>,
    /// Room for the bodies that are being read.
    pub bodies: Arc<Semaphore>,
    /// The Model Context Protocol's server: its sessions and tasks.
    pub mcp: mcp::Endpoint,
    /// When the router was built, in seconds since 1970.
    pub started_unix: u64,
    /// Clients that watch the health over gRPC.
    pub watchers: grpc::health::Watchers,
    /// What DREDGE's `get_metrics` shows.
    pub dredge: dredge::Meters,
}

/// Handle that axum clones per request.
pub type App = Arc<Shared>;
