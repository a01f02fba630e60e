//! Stop strings, matched on bytes across token borders.
//!
//! A stop string may begin in one token and end in another, so text that could still turn out to be the start
//! of one is held back, and everything else is released at once.
//!
//! Invariants, for any chunking of the same bytes:
//!  1. Released bytes never contain a byte at or after the start of the matched stop string.
//!  2. The match that *ends* first wins; of those that end together the longest. (Waiting for a match that
//!     starts earlier but ends later would hold text back for a stop string that may never come.)
//!  3. No more is held than the longest tail that is a proper beginning of some stop string.

/// Matcher of one stream. A stream without stop strings costs nothing: bytes pass straight through.
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    patterns: Vec<Pattern>,
    held: Vec<u8>,
    matched: Option<usize>,
}

/// One stop string with its Knuth-Morris-Pratt table.
#[derive(Debug, Clone)]
struct Pattern {
    bytes: Vec<u8>,
    /// `borders[i]`: length of the longest proper prefix of `bytes[..=i]` that is also its suffix.
    borders: Vec<usize>,
    /// How many bytes of the pattern the text seen so far ends with.
    progress: usize,
    /// Place in the caller's list.
    index: usize,
}

impl Pattern {
    fn new(index: usize, bytes: &[u8]) -> Self {
        let mut borders = vec![0; bytes.len()];
        let mut border = 0;
        for position in 1..bytes.len() {
            while border > 0 && bytes[position] != bytes[border] {
                border = borders[border - 1];
            }
            if bytes[position] == bytes[border] {
                border += 1;
            }
            borders[position] = border;
        }
        Self {
            bytes: bytes.to_vec(),
            borders,
            progress: 0,
            index,
        }
    }

    /// Feeds one byte; true when the pattern is complete with it.
    fn advance(&mut self, byte: u8) -> bool {
        while self.progress > 0 && self.bytes[self.progress] != byte {
            self.progress = self.borders[self.progress - 1];
        }
        if self.bytes[self.progress] == byte {
            self.progress += 1;
        }
        self.progress == self.bytes.len()
    }
}

impl StopMatcher {
    /// A matcher for `stops`; empty strings are passed over (they would match everywhere).
    #[must_use]
    pub fn new<S: AsRef<[u8]>>(stops: &[S]) -> Self {
        let patterns = stops
            .iter()
            .enumerate()
            .filter(|(_, stop)| !stop.as_ref().is_empty())
            .map(|(index, stop)| Pattern::new(index, stop.as_ref()))
            .collect();
        Self {
            patterns,
            held: Vec::new(),
            matched: None,
        }
    }

    /// Index (in the list given to [`StopMatcher::new`]) of the stop string that matched, if one has.
    #[must_use]
    pub fn matched(&self) -> Option<usize> {
        self.matched
    }

    /// Bytes held back because they may be the start of a stop string.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Takes the next bytes of the stream and appends to `out` all that is certain to come before any stop
    /// string. Returns the index of the stop string that has matched; from then on nothing more is released.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        if self.matched.is_some() {
            return self.matched;
        }
        if self.patterns.is_empty() {
            out.extend_from_slice(bytes);
            return None;
        }
        for &byte in bytes {
            self.held.push(byte);
            let mut longest: Option<(usize, usize)> = None;
            for pattern in &mut self.patterns {
                let length = pattern.bytes.len();
                if pattern.advance(byte) && longest.is_none_or(|(best, _)| length > best) {
                    longest = Some((length, pattern.index));
                }
            }
            if let Some((length, index)) = longest {
                // The held tail is at least as long as the pattern just completed (invariant 3).
                let text = self.held.len() - length;
                out.extend_from_slice(&self.held[..text]);
                self.held.clear();
                self.matched = Some(index);
                return self.matched;
            }
        }
        let hold = self.patterns.iter().map(|pattern| pattern.progress).max();
        let release = self.held.len() - hold.unwrap_or(0);
        out.extend(self.held.drain(..release));
        None
    }

    /// Ends the stream: what was held back is text after all.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        for pattern in &mut self.patterns {
            pattern.progress = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], chunks: &[&[u8]]) -> (Vec<u8>, Option<usize>) {
        let mut matcher = StopMatcher::new(stops);
        let mut out = Vec::new();
        for chunk in chunks {
            matcher.push(chunk, &mut out);
        }
        if matcher.matched().is_none() {
            matcher.finish(&mut out);
        }
        (out, matcher.matched())
    }

    fn check(stops: &[&str], text: &str, expected: &str, matched: Option<usize>) {
        let whole = run(stops, &[text.as_bytes()]);
        assert_eq!(whole, (expected.as_bytes().to_vec(), matched), "{text}");
    }

    #[test]
    fn text_before_the_stop_is_kept_and_nothing_after() {
        check(&[], "hello", "hello", None);
        check(&["\n"], "one\ntwo", "one", Some(0));
        check(&["User:"], "hi User", "hi User", None);
        check(&["aab"], "aaaab!", "aa", Some(0));
        check(&["", "b"], "abc", "a", Some(1));
    }

    #[test]
    fn the_match_that_ends_first_wins_and_then_the_longest() {
        check(&["abcd", "bc"], "xabcd", "xa", Some(1));
        check(&["c", "abc"], "xabc", "x", Some(1));
        check(&["ab", "ab"], "ab", "", Some(0));
    }

    #[test]
    fn a_possible_start_is_held_and_released_when_it_fails() {
        let mut matcher = StopMatcher::new(&["STOP"]);
        let mut out = Vec::new();
        assert_eq!(matcher.push(b"a ST", &mut out), None);
        assert_eq!((out.as_slice(), matcher.held_bytes()), (&b"a "[..], 2));
        assert_eq!(matcher.push(b"ST", &mut out), None);
        assert_eq!((out.as_slice(), matcher.held_bytes()), (&b"a ST"[..], 2));
        assert_eq!(matcher.push(b"OP and more", &mut out), Some(0));
        assert_eq!(matcher.push(b"even more", &mut out), Some(0));
        assert_eq!(out, b"a ST");
    }

    /// The rule by brute force: the smallest end at which some stop string ends, then the longest of them.
    fn oracle(stops: &[Vec<u8>], text: &[u8]) -> (Vec<u8>, Option<usize>) {
        for end in 1..=text.len() {
            let ending = stops
                .iter()
                .enumerate()
                .filter(|(_, stop)| !stop.is_empty() && text[..end].ends_with(stop))
                .max_by_key(|(index, stop)| (stop.len(), std::cmp::Reverse(*index)));
            if let Some((index, stop)) = ending {
                return (text[..end - stop.len()].to_vec(), Some(index));
            }
        }
        (text.to_vec(), None)
    }

    proptest! {
        // Two letters only, so that matches, near misses and overlaps are common.
        #[test]
        fn any_chunking_gives_the_brute_force_answer(
            stops in proptest::collection::vec("[ab]{0,4}", 0..4),
            text in "[abc]{0,24}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let stops: Vec<Vec<u8>> = stops.into_iter().map(String::into_bytes).collect();
            let text = text.into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut matcher = StopMatcher::new(&stops);
            let mut out = Vec::new();
            for pair in cuts.windows(2) {
                matcher.push(&text[pair[0]..pair[1]], &mut out);
                let longest = stops.iter().map(Vec::len).max().unwrap_or(0);
                prop_assert!(matcher.held_bytes() < longest.max(1));
            }
            if matcher.matched().is_none() {
                matcher.finish(&mut out);
            }
            prop_assert_eq!((out, matcher.matched()), oracle(&stops, &text));
        }
    }
}
