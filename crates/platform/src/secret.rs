//! Text that must never be printed: keys, tokens, passwords.
//!
//! `Debug` and `Display` show a fixed mark, comparison takes the same time whatever the contents, and the memory is
//! overwritten when the value is dropped. The only way to the text is [`Secret::expose`], which is easy to search for.

use std::fmt;
use std::sync::atomic::{Ordering, compiler_fence};

/// What stands where a secret would have been printed.
pub const REDACTED: &str = "[secret]";

/// A string that does not show itself.
#[derive(Clone, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes ownership of `text`; its buffer is moved, not copied.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into().into_bytes())
    }

    /// The text itself. Never hand this to a log, an error message or a `Debug` field.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        // The length is not secret; the bytes are compared without an early exit.
        self.0.len() == other.0.len()
            && std::hint::black_box(
                self.0
                    .iter()
                    .zip(&other.0)
                    .fold(0u8, |difference, (a, b)| difference | (a ^ b)),
            ) == 0
    }
}

impl Eq for Secret {}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Best effort without `unsafe`: keeps the compiler from treating the writes above as dead.
        std::hint::black_box(&self.0);
        compiler_fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shows_its_text() {
        let secret = Secret::new("fx-hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "[secret] [secret] Some([secret])"
        );
        assert_eq!(secret.expose(), "fx-hunter2");
    }

    #[test]
    fn compares_by_contents() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
        assert!(Secret::default().is_empty());
    }
}
