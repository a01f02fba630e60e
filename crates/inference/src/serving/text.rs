//! Bytes of tokens to text, without ever showing half a character.
//!
//! Tokens are bytes: one character may be spread over several tokens, and a model may emit bytes that are no
//! character at all. [`Utf8Decoder`] holds back an incomplete tail until the next bytes decide it.
//!
//! Invariant: for any chunking, the pushed chunks and `finish` together give what
//! [`String::from_utf8_lossy`] gives for the whole.

/// Incremental UTF-8 decoder of one stream.
#[derive(Debug, Clone, Default)]
pub struct Utf8Decoder {
    /// Start of a character whose end has not come yet.
    tail: [u8; TAIL_BYTES_MAX],
    tail_bytes: usize,
}

/// The longest beginning of a character that can still be completed: three of four bytes.
const TAIL_BYTES_MAX: usize = 3;

impl Utf8Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes held back because they do not make a whole character yet; at most three.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.tail_bytes
    }

    /// Appends to `out` every character that `bytes` completes. Bytes that can no longer become a character
    /// are written as U+FFFD, one for each longest broken prefix, as the Unicode standard recommends.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let mut rest = bytes;
        // A held character is completed byte by byte: at most three rounds.
        while self.tail_bytes > 0 {
            let Some((&next, after)) = rest.split_first() else {
                return;
            };
            let mut candidate = [0u8; TAIL_BYTES_MAX + 1];
            candidate[..self.tail_bytes].copy_from_slice(&self.tail[..self.tail_bytes]);
            candidate[self.tail_bytes] = next;
            let candidate = &candidate[..=self.tail_bytes];
            match std::str::from_utf8(candidate) {
                Ok(character) => {
                    out.push_str(character);
                    self.tail_bytes = 0;
                    rest = after;
                }
                Err(error) if error.error_len().is_none() => {
                    self.tail[self.tail_bytes] = next;
                    self.tail_bytes += 1;
                    rest = after;
                }
                Err(_) => {
                    // `next` cannot continue the held bytes, so they are broken and `next` starts afresh.
                    out.push(char::REPLACEMENT_CHARACTER);
                    self.tail_bytes = 0;
                }
            }
        }
        let mut chunks = rest.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            out.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            // Only at the very end can bytes be incomplete: anything after them has decided them.
            let incomplete = chunks.peek().is_none()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if incomplete {
                self.tail[..invalid.len()].copy_from_slice(invalid);
                self.tail_bytes = invalid.len();
            } else {
                out.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    /// Ends the stream: a character that never came to its end becomes one U+FFFD.
    pub fn finish(&mut self, out: &mut String) {
        if self.tail_bytes > 0 {
            out.push(char::REPLACEMENT_CHARACTER);
            self.tail_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]]) -> String {
        let mut decoder = Utf8Decoder::new();
        let mut out = String::new();
        for chunk in chunks {
            decoder.push(chunk, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn a_character_is_shown_only_when_whole() {
        let mut decoder = Utf8Decoder::new();
        let mut out = String::new();
        for (byte, shown) in "a🦀".bytes().zip(["a", "a", "a", "a", "a🦀"]) {
            decoder.push(&[byte], &mut out);
            assert_eq!(out, shown);
        }
        assert_eq!(decoder.held_bytes(), 0);
    }

    #[test]
    fn broken_bytes_become_replacement_characters() {
        assert_eq!(decode(&[b"\xff"]), "\u{fffd}");
        assert_eq!(decode(&[b"\xe2\x82", b"a"]), "\u{fffd}a");
        assert_eq!(decode(&[b"\xe2\x82", b"\xe2\x82\xac"]), "\u{fffd}€");
        assert_eq!(decode(&[b"ok\xf0\x9f"]), "ok\u{fffd}");
        assert_eq!(decode(&[b"\xed\xa0\x80"]), "\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(decode(&[]), "");
    }

    /// Bytes that often are nearly UTF-8: random bytes, real characters and their pieces.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..4),
            any::<char>().prop_map(|character| character.to_string().into_bytes()),
            (any::<char>(), 0usize..4).prop_map(|(character, cut)| {
                let mut bytes = character.to_string().into_bytes();
                bytes.truncate(cut);
                bytes
            }),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_lossy_text_of_the_whole(
            bytes in bytes(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&chunks), String::from_utf8_lossy(&bytes));
        }
    }
}
