//! Names of cached results.

use std::fmt;

/// Whose result and of what: a tenant and a name such as `embed:3fa1…:9c0d…`. The part of the name before the first
/// colon is its *kind*, by which statistics are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    text: String,
    name_from: usize,
}

impl Key {
    /// The key of `name` for `tenant`. A slash in the tenant's name is escaped, so that no two tenants share a key.
    pub fn new(tenant: &str, name: &str) -> Self {
        let tenant = tenant.replace('%', "%25").replace('/', "%2F");
        let name_from = tenant.len() + 1;
        Key {
            text: format!("{tenant}/{name}"),
            name_from,
        }
    }

    /// The key of a request: `kind:digest:hash`, where `hash` is BLAKE3 over the model's digest and the canonical request.
    pub fn of_request(tenant: &str, kind: &str, model_digest: &str, canonical: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(model_digest.len() as u64).to_le_bytes());
        hasher.update(model_digest.as_bytes());
        hasher.update(canonical);
        Key::new(tenant, &format!("{kind}:{}", hasher.finalize().to_hex()))
    }

    /// Tenant and name in one text, unique to both.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name without the tenant.
    pub fn name(&self) -> &str {
        &self.text[self.name_from..]
    }

    /// What kind of result it is.
    pub fn kind(&self) -> &str {
        kind_of(&self.text)
    }

    /// 256 bits that stand for this key: the name of its file.
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(self.text.as_bytes()).as_bytes()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The kind inside a key's text: between the tenant and the first colon.
pub(crate) fn kind_of(text: &str) -> &str {
    let name = text.split_once('/').map_or(text, |(_, name)| name);
    name.split(':').next().unwrap_or(name)
}

/// The beginning of every key text of `tenant` (all tenants when `None`) whose name begins with `prefix`, as a test.
pub(crate) fn matches(text: &str, tenant: Option<&str>, prefix: &str) -> bool {
    match tenant {
        Some(tenant) => text.starts_with(Key::new(tenant, prefix).text()),
        None => text
            .split_once('/')
            .is_some_and(|(_, name)| name.starts_with(prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_never_share_a_key_and_kinds_are_read_back() {
        let key = Key::new("a/b", "embed:1");
        assert_ne!(key, Key::new("a", "b/embed:1"));
        assert_ne!(key.text(), Key::new("a%2Fb", "embed:1").text());
        assert_eq!((key.kind(), key.name()), ("embed", "embed:1"));
        let request = Key::of_request("t", "embed", "sha256:00", b"{}");
        assert_ne!(
            request,
            Key::of_request("t", "embed", "sha256:0", b"0{}"),
            "digest and request must not run together"
        );
        assert!(matches(key.text(), Some("a/b"), "emb") && matches(key.text(), None, "embed:"));
        assert!(!matches(key.text(), Some("a"), "") && !matches(key.text(), None, "spectrum"));
    }
}
