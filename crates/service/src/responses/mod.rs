//! Responses: turns that are kept, continued, searched for and written in the background. They stand on [`Service::chat`]
//! and add what it does not have: items instead of messages, a state, a place in the database, and citations.
//!
//! ```text
//!            create ──► queued ──► in progress ──► completed | incomplete | failed
//!                          └────────────┴────────► cancelled
//! ```
//! A foreground response begins in progress, lives as long as its reader, and is kept only when it is whole; a background
//! response is on disk before its id is shown. One whose server ended is failed by whoever reads it next.
//!
//! Invariants: a response belongs to its tenant, and to every other it does not exist; a final state never changes; what
//! is told at the end of the events is what lies in the database.
//!
//! [`Service::chat`]: crate::Service::chat

mod calls;
mod conversation;
mod driving;
mod following;
mod types;
mod writer;

use std::sync::OnceLock;
use std::time::Duration;

use crate::error::Result;
use crate::identifiers;

pub use calls::StartedResponse;
pub use types::*;

/// How responses are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseOptions {
    /// For how long.
    pub keep_for: Duration,
    /// Most of one tenant; the oldest go first.
    pub tenant_count_max: u32,
}

impl Default for ResponseOptions {
    /// As long as OpenAI keeps them, 30 days; a hundred thousand take some 300 MB of database.
    fn default() -> Self {
        ResponseOptions {
            keep_for: Duration::from_secs(30 * 24 * 3600),
            tenant_count_max: 100_000,
        }
    }
}

/// The parts behind the use cases.
pub(crate) struct Responses {
    following: following::Following,
    options: ResponseOptions,
    /// Which server this is; rows of others are not ours to write.
    owner: OnceLock<String>,
}

impl Responses {
    pub(crate) fn new(options: ResponseOptions) -> Self {
        Responses {
            following: following::Following::default(),
            options,
            owner: OnceLock::new(),
        }
    }

    /// This server's name in rows.
    fn owner(&self) -> Result<&str> {
        if let Some(owner) = self.owner.get() {
            return Ok(owner);
        }
        let owner = identifiers::item("server_")?;
        // Whoever was quicker has named it.
        Ok(self.owner.get_or_init(|| owner))
    }
}
