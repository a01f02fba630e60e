//! The shelf: cached prefixes that gave up their cells, kept in ordinary memory.
//!
//! A cell that nobody computes in still costs every step on a processor (the attention looks at its mask), so prefixes
//! that wait for their next request are better kept elsewhere. Putting 1,000 tokens of a 135M model back takes a few
//! milliseconds, computing them anew a second. What is evicted from the cache comes here; what a prompt needs goes back.
//!
//! Invariants:
//!  1. The states kept together have at most `bytes_max` bytes; the least recently used go first.
//!  2. No entry is the beginning of another of the same salt.
//!  3. Only prompts of the same salt find an entry: tenants never meet.

use super::prefix::{Salt, common_prefix};
use crate::engine::Token;

/// Most entries, so that a lookup stays short whatever the size of a state.
const ENTRIES_MAX: usize = 512;

/// One sequence that left the cache.
#[derive(Debug)]
pub struct Shelved {
    /// Whose it is.
    pub salt: Salt,
    /// Its content.
    pub tokens: Vec<Token>,
    /// What the engine needs to have it back.
    pub state: Vec<u8>,
}

/// Sequences by salt and content, oldest use first.
#[derive(Debug, Default)]
pub struct PrefixShelf {
    entries: Vec<Shelved>,
    bytes: u64,
    bytes_max: u64,
}

impl PrefixShelf {
    /// An empty shelf for states of at most `bytes_max` bytes together; 0 keeps nothing.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }

    /// Whether keeping this content would add anything.
    #[must_use]
    pub fn wants(&self, salt: &Salt, tokens: &[Token]) -> bool {
        let covered = |entry: &Shelved| entry.salt == *salt && entry.tokens.starts_with(tokens);
        self.bytes_max > 0 && !self.entries.iter().any(covered)
    }

    /// Keeps a sequence, in the place of its own beginnings and of the least recently used.
    pub fn put(&mut self, entry: Shelved) {
        let size = entry.state.len() as u64;
        if size > self.bytes_max {
            return;
        }
        let replaced =
            |old: &Shelved| old.salt == entry.salt && entry.tokens.starts_with(&old.tokens);
        self.entries.retain(|old| !replaced(old));
        self.entries.push(entry);
        self.bytes = self
            .entries
            .iter()
            .map(|entry| entry.state.len() as u64)
            .sum();
        while self.bytes > self.bytes_max || self.entries.len() > ENTRIES_MAX {
            self.bytes -= self.entries.remove(0).state.len() as u64;
        }
    }

    /// The entry that shares the longest beginning with `prompt`: its place, how much it shares, and its whole length.
    #[must_use]
    pub fn longest(&self, salt: &Salt, prompt: &[Token]) -> Option<(usize, usize, usize)> {
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.salt == *salt)
            .map(|(place, entry)| {
                (
                    place,
                    common_prefix(&entry.tokens, prompt),
                    entry.tokens.len(),
                )
            })
            .max_by_key(|(_, common, _)| *common)
    }

    /// Takes an entry off the shelf.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn take(&mut self, place: usize) -> Shelved {
        let entry = self.entries.remove(place);
        self.bytes -= entry.state.len() as u64;
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salt(tenant: &str) -> Salt {
        Salt {
            tenant: tenant.into(),
            salt: "".into(),
        }
    }

    fn entry(tenant: &str, tokens: &[Token], bytes: usize) -> Shelved {
        Shelved {
            salt: salt(tenant),
            tokens: tokens.to_vec(),
            state: vec![0; bytes],
        }
    }

    #[test]
    fn the_longest_beginning_of_the_same_tenant_is_found() {
        let mut shelf = PrefixShelf::new(100);
        shelf.put(entry("a", &[1, 2, 3], 10));
        shelf.put(entry("a", &[1, 2, 9, 9], 10));
        shelf.put(entry("b", &[1, 2, 3, 4, 5], 10));
        assert_eq!(shelf.longest(&salt("a"), &[1, 2, 3, 4, 5]), Some((0, 3, 3)));
        assert_eq!(shelf.longest(&salt("c"), &[1, 2, 3]), None);
        assert_eq!(shelf.take(0).tokens, [1, 2, 3]);
        assert_eq!(shelf.longest(&salt("a"), &[1, 2, 3]), Some((0, 2, 4)));
    }

    #[test]
    fn a_longer_sequence_takes_the_place_of_its_beginning() {
        let mut shelf = PrefixShelf::new(100);
        shelf.put(entry("a", &[1, 2], 10));
        shelf.put(entry("a", &[1, 2, 3], 10));
        assert_eq!((shelf.entries.len(), shelf.bytes), (1, 10));
        assert!(!shelf.wants(&salt("a"), &[1, 2]));
        assert!(shelf.wants(&salt("a"), &[1, 3]));
        assert!(shelf.wants(&salt("b"), &[1, 2]));
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room() {
        let mut shelf = PrefixShelf::new(25);
        for first in 0..4 {
            shelf.put(entry("a", &[first, 7], 10));
        }
        assert_eq!((shelf.entries.len(), shelf.bytes), (2, 20));
        assert_eq!(
            shelf
                .longest(&salt("a"), &[0, 7])
                .map(|(_, common, _)| common),
            Some(0)
        );
        shelf.put(entry("a", &[9], 26));
        assert_eq!(shelf.entries.len(), 2, "what never fits is not kept");
        assert!(!PrefixShelf::new(0).wants(&salt("a"), &[1]));
    }
}
