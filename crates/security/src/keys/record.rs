//! What the store tells about a key, and what it takes to make one.

use platform::Secret;

use crate::identity::{Identity, Scopes, TenantId};

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What its owner calls it: 1 to 64 printable characters, unique among the tenant's keys that are not revoked.
    pub name: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do; not empty.
    pub scopes: Scopes,
    /// When it ends, in seconds since 1970; none: never.
    pub expires_unix: Option<i64>,
}

/// A key as stored; its secret is not here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Public part.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made, in seconds since 1970.
    pub created_unix: i64,
    /// When it ends by itself.
    pub expires_unix: Option<i64>,
    /// When it was ended.
    pub revoked_unix: Option<i64>,
    /// When it was last used, give or take [`LAST_USED_WRITE_SECONDS`](crate::LAST_USED_WRITE_SECONDS).
    pub last_used_unix: Option<i64>,
}

/// Whether a key works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// It works.
    Live,
    /// Its time is over.
    Expired,
    /// It was ended.
    Revoked,
}

impl KeyStatus {
    /// Stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            KeyStatus::Live => "live",
            KeyStatus::Expired => "expired",
            KeyStatus::Revoked => "revoked",
        }
    }
}

impl KeyRecord {
    /// Whether it works at `now_unix`.
    pub fn status(&self, now_unix: i64) -> KeyStatus {
        if self.revoked_unix.is_some() {
            KeyStatus::Revoked
        } else if self.expires_unix.is_some_and(|end| now_unix >= end) {
            KeyStatus::Expired
        } else {
            KeyStatus::Live
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            key_id: self.id.clone(),
            key_name: self.name.clone(),
            tenant: self.tenant.clone(),
            scopes: self.scopes,
        }
    }
}

/// A key that was just made. Its text exists only here.
#[derive(Debug, Clone)]
pub struct CreatedKey {
    /// What is stored.
    pub record: KeyRecord,
    /// The whole key, to be shown once.
    pub key: Secret,
}
