//! Who asks, and what that one may do.
//!
//! [`KeyStore`] turns a presented API key into an [`Identity`]; [`decide`] says whether an identity may do an
//! [`Action`]. Nothing here knows a protocol. Invariants:
//!
//! 1. A secret is never stored and never printed: the store keeps its SHA-256, the caller gets it once, as
//!    [`platform::Secret`].
//! 2. A key is durable before it is shown.
//! 3. Without an identity nothing is allowed but [`Action::ReadHealth`].
//! 4. An unknown key costs the same work as a known one, and the comparison takes the same time wherever the first
//!    difference is.

mod decide;
mod identity;
mod keys;

pub use decide::{Action, Decision, decide};
pub use identity::{Identity, InvalidName, Scope, Scopes, TenantId};
pub use keys::error::{AuthenticationError, KeyStoreError};
pub use keys::record::{CreatedKey, KeyRecord, KeyStatus, NewKey};
pub use keys::store::{
    CACHE_TTL, FIRST_ADMIN_NAME, KEY_NAME_CHARACTERS_MAX, KEYS_MAX, KeyStore, KeyStoreOptions,
    LAST_USED_WRITE_SECONDS,
};
pub use keys::token::{KEY_LENGTH, KeyText};
