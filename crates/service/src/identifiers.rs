//! Identifiers and salts.

use platform::entropy;
use security::Identity;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::failures;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` random letters and digits (5.9 bits each, nearly uniform).
fn random(length: usize) -> Result<String> {
    let mut bytes = vec![0u8; length];
    entropy::fill(&mut bytes).map_err(failures::internal)?;
    Ok(bytes
        .into_iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
        .collect())
}

/// The id of a request.
pub(crate) fn request() -> Result<String> {
    random(29)
}

/// The id of something that is kept: `prefix` and 24 letters and digits (142 bits).
pub(crate) fn prefixed(prefix: &str) -> Result<String> {
    random(24).map(|text| format!("{prefix}{text}"))
}

/// The id of a training: 128 random bits, so that nobody guesses another's.
pub(crate) fn task() -> Result<String> {
    let mut bytes = [0u8; 16];
    entropy::fill(&mut bytes).map_err(failures::internal)?;
    Ok(hex::encode(bytes))
}

/// The id of a tool call. Some templates insist on nine letters and digits.
pub(crate) fn call(short: bool) -> Result<String> {
    if short {
        random(9)
    } else {
        random(24).map(|text| format!("call_{text}"))
    }
}

/// The id of a response or of one of its items: 48 random hexadecimal digits behind `prefix`, so that nobody guesses
/// another's.
pub(crate) fn item(prefix: &str) -> Result<String> {
    let mut bytes = [0u8; 24];
    entropy::fill(&mut bytes).map_err(failures::internal)?;
    Ok(format!("{prefix}{}", hex::encode(bytes)))
}

/// A seed nobody chose.
pub(crate) fn seed() -> Result<u64> {
    entropy::random_u64().map_err(failures::internal)
}

/// What separates one tenant's cached prefixes from another's, and within a tenant what the caller wants apart. The
/// lengths are hashed too, so that no pair of texts gives the salt of another pair.
pub(crate) fn cache_salt(identity: &Identity, extra: Option<&str>) -> String {
    let tenant = identity.tenant.as_str();
    let mut hash = Sha256::new();
    hash.update(b"fornax prefix cache 1");
    for part in [tenant, extra.unwrap_or_default()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// Short form of a digest: its first twelve hexadecimal digits. Protocols that want a prefix put their own before it.
pub(crate) fn fingerprint(digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex).to_owned()
}
