//! The text of a key: `fx-<id>-<secret>`, 12 and 52 characters of base32 (`a-z`, `2-7`).
//!
//! The id is public: it is the row's key and appears in logs. The secret carries 256 bits. Base32 keeps the text free of
//! characters that double-click selection, shells, URLs or YAML treat specially.

use platform::Secret;
use platform::entropy::{self, EntropyError};
use sha2::{Digest, Sha256};

/// First characters of every key, so that scanners can recognise one that leaked.
const PREFIX: &str = "fx-";
/// Characters of the id: 60 bits, so that ten thousand keys meet with probability 4e-11.
const ID_CHARACTERS: usize = 12;
/// Characters of the secret: 32 bytes.
const SECRET_CHARACTERS: usize = 52;
/// Length of a whole key, in bytes.
pub const KEY_LENGTH: usize = PREFIX.len() + ID_CHARACTERS + 1 + SECRET_CHARACTERS;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A key's text in its two parts, borrowed from what was presented.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyText<'a> {
    id: &'a str,
    secret: &'a str,
}

impl<'a> KeyText<'a> {
    /// Splits `text`; `None` unless it has exactly the shape of a key.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('-')?;
        let base32 = |part: &str| part.bytes().all(|byte| ALPHABET.contains(&byte));
        (id.len() == ID_CHARACTERS
            && secret.len() == SECRET_CHARACTERS
            && base32(id)
            && base32(secret))
        .then_some(KeyText { id, secret })
    }

    /// The public part.
    pub fn id(&self) -> &'a str {
        self.id
    }

    /// SHA-256 of the secret part, which is what is stored. A plain hash is enough: the secret is 256 random bits, not
    /// a password that could be guessed.
    pub(super) fn secret_hash(&self) -> [u8; 32] {
        hash(self.secret)
    }
}

impl std::fmt::Debug for KeyText<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "fx-{}-{}", self.id, platform::secret::REDACTED)
    }
}

/// SHA-256 of a secret's text.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A key that exists nowhere yet.
pub(super) struct FreshKey {
    pub(super) id: String,
    pub(super) secret_hash: [u8; 32],
    pub(super) text: Secret,
}

impl FreshKey {
    /// Draws a key from the system's entropy.
    pub(super) fn draw() -> Result<Self, EntropyError> {
        let mut bytes = [0u8; 40];
        entropy::fill(&mut bytes)?;
        let (for_id, for_secret) = bytes.split_at(8);
        let mut id = base32(for_id);
        id.truncate(ID_CHARACTERS);
        let secret = base32(for_secret);
        let fresh = FreshKey {
            secret_hash: hash(&secret),
            text: Secret::new(format!("{PREFIX}{id}-{secret}")),
            id,
        };
        bytes.fill(0);
        Ok(fresh)
    }
}

/// Base32 without padding: five bits per character, the last one filled with zero bits.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut window, mut bits) = (0u32, 0u32);
    for byte in bytes {
        window = (window << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(window >> bits) as usize & 31]));
        }
        window &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(window << (5 - bits)) as usize & 31]));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base32_matches_rfc_4648() {
        // Section 10 of the RFC, in lower case and without padding.
        for (plain, encoded) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(base32(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_fresh_key_parses_to_its_own_parts() {
        let fresh = FreshKey::draw().expect("entropy");
        assert_eq!(fresh.text.expose().len(), KEY_LENGTH);
        let parsed = KeyText::parse(fresh.text.expose()).expect("own text");
        assert_eq!(parsed.id(), fresh.id);
        assert_eq!(parsed.secret_hash(), fresh.secret_hash);
        assert!(!format!("{parsed:?}").contains(&fresh.text.expose()[16..]));
        assert_ne!(FreshKey::draw().expect("entropy").text, fresh.text);
    }

    proptest! {
        /// Any text whatever: no panic, and only the exact shape is taken.
        #[test]
        fn arbitrary_text_is_taken_only_in_shape(text in "\\PC{0,100}") {
            if let Some(parsed) = KeyText::parse(&text) {
                prop_assert_eq!(format!("fx-{}-{}", parsed.id, parsed.secret), text);
            }
        }

        /// A key with one byte inserted, removed or changed to something outside the alphabet is not a key.
        #[test]
        fn damaged_keys_are_refused(position in 0..KEY_LENGTH, how in 0..3usize, byte in "[A-Z018 /.=é]") {
            let mut text = FreshKey::draw().expect("entropy").text.expose().to_owned();
            match how {
                0 => { text.remove(position); }
                1 => text.insert_str(position, &byte),
                _ => text.replace_range(position..=position, &byte),
            }
            prop_assert_eq!(KeyText::parse(&text), None);
        }
    }
}
