//! A tiny matcher over a growing text: does it begin with these parts, may it still, or can it no longer?

use std::ops::Range;

/// Longest tool name that is read as one.
const NAME_BYTES_MAX: usize = 64;
/// Most white space between two parts: more is no call, and would be held back without end.
const SPACE_BYTES_MAX: usize = 64;

/// One piece of what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Any white space, also none.
    Space,
    /// Exactly this.
    Text(&'static str),
    /// A tool's name: letters, digits, `_`, `-`, `.`, one to 64 of them.
    Name,
    /// This character comes next; it is not consumed.
    Ahead(char),
}

/// What is known so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The text begins with the parts.
    Match {
        /// Bytes they take.
        end: usize,
        /// Where the name is; empty when the parts have none.
        name: Range<usize>,
    },
    /// The text ends before that can be told.
    Partial,
    /// It does not.
    Mismatch,
}

/// Compares the beginning of `text` with `parts`.
pub(super) fn match_parts(parts: &[Part], text: &str) -> Outcome {
    let mut at = 0;
    let mut name = 0..0;
    for part in parts {
        let rest = &text[at..];
        match part {
            Part::Space => {
                let space = rest.len() - rest.trim_start_matches([' ', '\n', '\r', '\t']).len();
                if space > SPACE_BYTES_MAX {
                    return Outcome::Mismatch;
                }
                at += space;
            }
            Part::Text(expected) => {
                if rest.starts_with(expected) {
                    at += expected.len();
                } else if expected.starts_with(rest) {
                    return Outcome::Partial;
                } else {
                    return Outcome::Mismatch;
                }
            }
            Part::Name => {
                let length = rest
                    .bytes()
                    .take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte))
                    .count();
                if length > NAME_BYTES_MAX || (length == 0 && !rest.is_empty()) {
                    return Outcome::Mismatch;
                }
                if length == rest.len() {
                    return Outcome::Partial;
                }
                name = at..at + length;
                at += length;
            }
            Part::Ahead(expected) => match rest.chars().next() {
                Some(found) if found == *expected => {}
                Some(_) => return Outcome::Mismatch,
                None => return Outcome::Partial,
            },
        }
    }
    Outcome::Match { end: at, name }
}

/// Length of the longest end of `text` that is a proper beginning of `mark`.
pub(super) fn held_back(text: &str, mark: &str) -> usize {
    let longest = mark.len().saturating_sub(1).min(text.len());
    (1..=longest)
        .rev()
        .find(|length| {
            let from = text.len() - length;
            text.is_char_boundary(from) && mark.starts_with(&text[from..])
        })
        .unwrap_or(0)
}

/// Follows one JSON value through pieces of text, without checking more than its nesting.
#[derive(Debug, Clone, Default)]
pub(super) struct ValueScanner {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl ValueScanner {
    /// Bytes of `text` that still belong to the value, and whether it ends there.
    pub(super) fn scan(&mut self, text: &str) -> (usize, bool) {
        for (at, byte) in text.bytes().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ => {}
            }
        }
        (text.len(), false)
    }
}
