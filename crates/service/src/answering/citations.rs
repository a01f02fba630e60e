//! Marks `[3]` and `[1, 2]` in a text that comes in pieces. What the model did not write is never found here.

use crate::responses::Citation;

use super::types::Passage;

/// Longest mark in bytes; anything longer in brackets is text.
const MARK_BYTES_MAX: usize = 40;

/// A number in a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// As written: passages count from 1.
    pub(crate) number: usize,
    /// Where the mark begins in the whole text, in characters.
    pub(crate) start: usize,
    /// Where it ends, the bracket included.
    pub(crate) end: usize,
}

/// Reads pieces of one text.
#[derive(Debug, Default)]
pub(crate) struct MarkReader {
    /// Characters before `pending`.
    characters: usize,
    /// The beginning of what may become a mark.
    pending: String,
}

impl MarkReader {
    /// The marks that this piece completes, in order.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<Mark> {
        let mut found = Vec::new();
        let text = std::mem::take(&mut self.pending) + piece;
        let mut rest = text.as_str();
        loop {
            let Some(bracket) = rest.find('[') else {
                self.characters += rest.chars().count();
                return found;
            };
            self.characters += rest[..bracket].chars().count();
            rest = &rest[bracket..];
            match mark(rest) {
                Reading::Whole { numbers, bytes } => {
                    // A mark is ASCII, so its bytes are its characters.
                    let (start, end) = (self.characters, self.characters + bytes);
                    found.extend(
                        numbers
                            .into_iter()
                            .map(|number| Mark { number, start, end }),
                    );
                    self.characters = end;
                    rest = &rest[bytes..];
                }
                Reading::Unfinished => {
                    self.pending = rest.to_owned();
                    return found;
                }
                Reading::Text => {
                    self.characters += 1;
                    rest = &rest[1..];
                }
            }
        }
    }
}

enum Reading {
    Whole { numbers: Vec<usize>, bytes: usize },
    Unfinished,
    Text,
}

/// What a text that begins with a bracket begins with.
fn mark(text: &str) -> Reading {
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b']' => {
                let numbers: Option<Vec<usize>> = text[1..index]
                    .split(',')
                    .map(|number| number.trim().parse().ok())
                    .collect();
                return match numbers {
                    Some(numbers) => Reading::Whole {
                        numbers,
                        bytes: index + 1,
                    },
                    None => Reading::Text,
                };
            }
            b'0'..=b'9' | b',' | b' ' if index < MARK_BYTES_MAX => {}
            _ => return Reading::Text,
        }
    }
    Reading::Unfinished
}

impl Citation {
    /// What a mark names; `None` for a number of no passage, which is text like any other.
    pub(crate) fn of(mark: Mark, passages: &[Passage]) -> Option<Self> {
        let passage = mark.number.checked_sub(1)?;
        let named = passages.get(passage)?;
        Some(Citation {
            passage,
            file_id: named.file_id.clone(),
            source: named.source.clone(),
            start: mark.start,
            end: mark.end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The marks of `text`, read whole and read byte by byte, which must agree.
    #[track_caller]
    fn check(text: &str, expected: &[(usize, usize, usize)]) {
        let expected: Vec<Mark> = expected
            .iter()
            .map(|(number, start, end)| Mark {
                number: *number,
                start: *start,
                end: *end,
            })
            .collect();
        assert_eq!(MarkReader::default().push(text), expected, "{text:?}");
        let mut reader = MarkReader::default();
        let pieces: Vec<Mark> = text
            .chars()
            .flat_map(|character| reader.push(&character.to_string()))
            .collect();
        assert_eq!(pieces, expected, "{text:?} in pieces");
    }

    #[test]
    fn marks_are_found_where_they_are_written() {
        check("", &[]);
        check("no mark", &[]);
        check("so [1].", &[(1, 3, 6)]);
        check("[2][3]", &[(2, 0, 3), (3, 3, 6)]);
        check("é [12] x", &[(12, 2, 6)]);
        check("both [1, 2]", &[(1, 5, 11), (2, 5, 11)]);
    }

    #[test]
    fn other_brackets_are_text() {
        check("a[i] and [] and [1 2] and [1,] and [x1]", &[]);
        check("[[1]]", &[(1, 1, 4)]);
        check("[1", &[]);
        check("[99999999999999999999999999]", &[]);
        check(&format!("[{}]", "1".repeat(100)), &[]);
    }
}
