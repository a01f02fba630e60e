//! Who a request acts for: a tenant, a key of that tenant, and the scopes of the key.

use std::fmt;
use std::str::FromStr;

/// Longest tenant name, in bytes. It appears in labels, paths and cache salts.
const TENANT_BYTES_MAX: usize = 64;

/// The one whose data and shares are kept apart from all others': 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter
/// or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(String);

impl TenantId {
    /// The tenant of keys that name none.
    pub const DEFAULT: &'static str = "default";

    /// Checks `text` and takes it as a tenant's name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let reason = if text.is_empty() {
            "is empty"
        } else if text.len() > TENANT_BYTES_MAX {
            "is longer than 64 characters"
        } else if !text.bytes().all(allowed) {
            "may hold only a-z, 0-9, '.', '_' and '-'"
        } else if !text.as_bytes()[0].is_ascii_alphanumeric() {
            "must begin with a letter or digit"
        } else {
            return Ok(TenantId(text.to_owned()));
        };
        Err(InvalidName {
            what: "tenant",
            reason,
        })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    fn default() -> Self {
        TenantId(TenantId::DEFAULT.to_owned())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for TenantId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        TenantId::new(text)
    }
}

/// A name that does not fit its rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {reason}")]
pub struct InvalidName {
    /// Which name: `tenant`, `name`, `scope`.
    pub what: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// One group of actions that a key may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Use models: generate, embed, rerank, tokenise, list.
    Inference,
    /// Change which models there are: pull, load, unload, delete.
    Models,
    /// Everything, keys included.
    Admin,
    /// Read the metrics.
    Metrics,
    /// See and search the collections of the own tenant.
    CollectionsRead,
    /// Also write and delete their points.
    CollectionsWrite,
    /// Also make, change and delete collections, their aliases and snapshots.
    CollectionsManage,
}

impl Scope {
    /// Every scope, in the order they are printed.
    pub const ALL: [Scope; 7] = [
        Scope::Inference,
        Scope::Models,
        Scope::Admin,
        Scope::Metrics,
        Scope::CollectionsRead,
        Scope::CollectionsWrite,
        Scope::CollectionsManage,
    ];

    /// Stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Inference => "inference",
            Scope::Models => "models",
            Scope::Admin => "admin",
            Scope::Metrics => "metrics",
            Scope::CollectionsRead => "collections:read",
            Scope::CollectionsWrite => "collections:write",
            Scope::CollectionsManage => "collections:manage",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.name() == text)
            .ok_or(InvalidName {
                what: "scope",
                reason: "must be one of inference, models, admin, metrics, collections:read, collections:write, \
                         collections:manage",
            })
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u16);

impl Scopes {
    /// No scope.
    pub const NONE: Scopes = Scopes(0);

    /// Whether `scope` is in the set itself; [`decide`](crate::decide) also knows that `admin` implies the others.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The set with `scope`.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Scopes(self.0 | scope.bit())
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes, in [`Scope::ALL`]'s order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Scopes::NONE, Scopes::with)
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Scopes::NONE.with(scope)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{scope}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Scopes({self})")
    }
}

impl FromStr for Scopes {
    type Err = InvalidName;

    /// Reads a comma-separated list; empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(Scope::from_str)
            .collect()
    }
}

/// Who a request acts for. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Public part of the key.
    pub key_id: String,
    /// What the key's owner calls it.
    pub key_name: String,
    /// Whose it is: decides the prefix-cache salt, the share, the labels.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_checked() {
        let long = "a".repeat(65);
        for (text, fine) in [
            ("default", true),
            ("a", true),
            ("9-b_c.d", true),
            ("", false),
            ("A", false),
            ("-a", false),
            ("a/b", false),
            (&long, false),
        ] {
            assert_eq!(TenantId::new(text).is_ok(), fine, "{text:?}");
        }
    }

    #[test]
    fn scopes_print_and_parse() {
        let scopes: Scopes = [Scope::Models, Scope::Inference].into_iter().collect();
        assert_eq!(scopes.to_string(), "inference,models");
        assert_eq!("models, inference".parse::<Scopes>(), Ok(scopes));
        assert_eq!("".parse::<Scopes>(), Ok(Scopes::NONE));
        assert!("root".parse::<Scopes>().is_err());
        assert!(!scopes.contains(Scope::Admin));
    }
}
