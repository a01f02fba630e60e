//! Whose a session is. `rmcp` keeps the sessions of the older revisions; this remembers the key that began each, so that
//! an id that leaked is of no use with another key, and bounds how many there are.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::local::SessionConfig;
use service::{Error, ErrorKind, Identity};

/// Sessions at once, of all keys. One takes a task and some kilobytes while it is idle.
const SESSIONS_MAX: usize = 1024;
/// Sessions at once of one key, so that one client that never ends its sessions leaves room for the others.
const SESSIONS_PER_KEY_MAX: usize = 256;
/// A session that nobody uses ends after this long. A person comes back from a meeting within it, and a client that comes
/// later is told 404 and begins a new one.
const IDLE: Duration = Duration::from_secs(3600);

/// The key of every session.
#[derive(Default)]
pub struct Sessions {
    owners: Mutex<HashMap<String, String>>,
}

/// How `rmcp` keeps sessions.
pub fn manager() -> LocalSessionManager {
    let mut config = SessionConfig::default();
    config.keep_alive = Some(IDLE);
    let mut manager = LocalSessionManager::default();
    manager.session_config = config;
    manager
}

impl Sessions {
    fn owners(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `identity` may begin one more session. Forgets those that ended by themselves.
    ///
    /// # Errors
    /// `Overloaded`.
    pub async fn room(
        &self,
        identity: &Identity,
        manager: &LocalSessionManager,
    ) -> Result<(), Error> {
        let alive = manager.sessions.read().await;
        let mut owners = self.owners();
        owners.retain(|id, _| alive.contains_key(id.as_str()));
        let own = owners
            .values()
            .filter(|key| **key == identity.key_id)
            .count();
        if own < SESSIONS_PER_KEY_MAX && owners.len() < SESSIONS_MAX {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Overloaded,
            "too many MCP sessions are open; end those that are not used",
        ))
    }

    /// The session `id` was begun by `identity`.
    pub fn begun(&self, id: &str, identity: &Identity) {
        self.owners().insert(id.to_owned(), identity.key_id.clone());
    }

    /// Whether `identity` began the session `id`.
    pub fn owns(&self, id: &str, identity: &Identity) -> bool {
        self.owners()
            .get(id)
            .is_some_and(|key| *key == identity.key_id)
    }

    /// The session `id` was ended.
    pub fn ended(&self, id: &str) {
        self.owners().remove(id);
    }
}
