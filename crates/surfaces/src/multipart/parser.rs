//! The format itself, without waiting: bytes in, events out.
//!
//! ```text
//! preamble  --boundary CRLF   headers CRLF CRLF   data   CRLF --boundary CRLF   headers …   CRLF --boundary--  epilogue
//! ```
//! Invariants:
//! 1. What is held is at most what was fed last and one boundary, or one head: data goes on at once but for a tail that may
//!    be the beginning of a boundary.
//! 2. Feeding a body in other pieces gives the same parts.

use bytes::{Buf, Bytes, BytesMut};
use service::Error;

use super::malformed;

/// Longest head of a part. Real ones have some 200 bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// What may stand before the first boundary; clients send nothing.
const PREAMBLE_BYTES_MAX: usize = 4 << 10;
/// Most parts of one body.
const PARTS_MAX: usize = 64;

/// What a part says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHead {
    /// Name of the form's field.
    pub name: String,
    /// Name of the file, when it is one.
    pub filename: Option<String>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Feed more.
    NeedsMore,
    /// A part begins.
    Begin(PartHead),
    /// Bytes of it; never none.
    Data(Bytes),
    /// It is whole.
    EndOfPart,
    /// The closing boundary was there; what follows is nobody's.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    /// Behind a boundary: `--` ends the body, a line's end begins a part.
    AfterBoundary,
    Head,
    Data,
    Done,
}

/// A body being read.
pub struct Parser {
    /// CRLF, two hyphens, and the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    state: State,
    parts: usize,
}

impl Parser {
    pub fn new(boundary: &str) -> Self {
        Parser {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first boundary has no line before it; one is lent to it, so that all look alike.
            buffer: BytesMut::from(&b"\r\n"[..]),
            state: State::Preamble,
            parts: 0,
        }
    }

    /// Adds bytes of the body.
    pub fn feed(&mut self, bytes: Bytes) {
        if self.state != State::Done {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// What comes next in what was fed.
    ///
    /// # Errors
    /// What breaks the format.
    pub fn next(&mut self) -> Result<Event, Error> {
        loop {
            match self.state {
                State::Preamble => match find(&self.buffer, &self.delimiter) {
                    Some(position) => {
                        self.buffer.advance(position + self.delimiter.len());
                        self.state = State::AfterBoundary;
                    }
                    None if self.buffer.len() > PREAMBLE_BYTES_MAX + self.delimiter.len() => {
                        return Err(malformed("the body does not begin with its boundary"));
                    }
                    None => return Ok(Event::NeedsMore),
                },
                State::AfterBoundary => match self.after_boundary()? {
                    Some(state) => self.state = state,
                    None => return Ok(Event::NeedsMore),
                },
                State::Head => {
                    return match self.head()? {
                        Some(head) => {
                            self.state = State::Data;
                            Ok(Event::Begin(head))
                        }
                        None => Ok(Event::NeedsMore),
                    };
                }
                State::Data => {
                    return Ok(match find(&self.buffer, &self.delimiter) {
                        Some(0) => {
                            self.buffer.advance(self.delimiter.len());
                            self.state = State::AfterBoundary;
                            Event::EndOfPart
                        }
                        Some(position) => Event::Data(self.buffer.split_to(position).freeze()),
                        None => {
                            let kept = tail(&self.buffer, &self.delimiter);
                            match self.buffer.len() - kept {
                                0 => Event::NeedsMore,
                                ready => Event::Data(self.buffer.split_to(ready).freeze()),
                            }
                        }
                    });
                }
                State::Done => {
                    self.buffer.clear();
                    return Ok(Event::Done);
                }
            }
        }
    }

    /// Reads the end of a boundary's line, which may be padded with blanks.
    fn after_boundary(&mut self) -> Result<Option<State>, Error> {
        if self.buffer.len() < 2 {
            return Ok(None);
        }
        if self.buffer.starts_with(b"--") {
            return Ok(Some(State::Done));
        }
        let blanks = self
            .buffer
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        if blanks > HEAD_BYTES_MAX {
            return Err(malformed("a boundary is followed by too many blanks"));
        }
        let rest = &self.buffer[blanks..];
        if rest.len() < 2 {
            return Ok(None);
        }
        if !rest.starts_with(b"\r\n") {
            return Err(malformed("a boundary is not at the end of its line"));
        }
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(malformed(&format!(
                "the body has more than {PARTS_MAX} parts"
            )));
        }
        // The line's end stays: a head without headers is then an empty line too.
        self.buffer.advance(blanks);
        Ok(Some(State::Head))
    }

    fn head(&mut self) -> Result<Option<PartHead>, Error> {
        let Some(end) = find(&self.buffer, b"\r\n\r\n") else {
            if self.buffer.len() > HEAD_BYTES_MAX {
                let message =
                    format!("the headers of a part have more than {HEAD_BYTES_MAX} bytes");
                return Err(malformed(&message));
            }
            return Ok(None);
        };
        if end > HEAD_BYTES_MAX {
            let message = format!("the headers of a part have more than {HEAD_BYTES_MAX} bytes");
            return Err(malformed(&message));
        }
        let head = self.buffer.split_to(end);
        self.buffer.advance(4);
        let text = std::str::from_utf8(&head)
            .map_err(|_| malformed("the headers of a part are not valid UTF-8"))?;
        read_head(text).map(Some)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let (first, rest) = wanted.split_first()?;
    let mut from = 0;
    while let Some(offset) = bytes[from..].iter().position(|byte| byte == first) {
        let start = from + offset;
        if bytes[start + 1..].starts_with(rest) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

/// Length of the longest end of `bytes` that `wanted` begins with.
fn tail(bytes: &[u8], wanted: &[u8]) -> usize {
    (1..wanted.len().min(bytes.len() + 1))
        .rev()
        .find(|length| bytes.ends_with(&wanted[..*length]))
        .unwrap_or(0)
}

fn read_head(text: &str) -> Result<PartHead, Error> {
    let mut disposition = None;
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed("a header of a part has no colon"))?;
        if name.trim().eq_ignore_ascii_case("content-disposition") {
            disposition = Some(value.trim());
        } else if name
            .trim()
            .eq_ignore_ascii_case("content-transfer-encoding")
            && !["binary", "8bit", "7bit"]
                .iter()
                .any(|plain| value.trim().eq_ignore_ascii_case(plain))
        {
            return Err(malformed("transfer encodings of parts are not supported"));
        }
    }
    let disposition =
        disposition.ok_or_else(|| malformed("a part has no `content-disposition`"))?;
    let (kind, rest) = disposition.split_once(';').unwrap_or((disposition, ""));
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(malformed("a part is not `form-data`"));
    }
    let parameters = parameters(rest)
        .ok_or_else(|| malformed("the `content-disposition` of a part is malformed"))?;
    let value = |wanted: &str| {
        parameters
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    let name = value("name").ok_or_else(|| malformed("a part has no name"))?;
    let filename = match value("filename*") {
        Some(encoded) => Some(
            decode_extended(&encoded)
                .ok_or_else(|| malformed("the `filename*` of a part is malformed"))?,
        ),
        // What browsers and Python's clients write for quotation marks and line ends.
        None => value("filename").map(|name| {
            name.replace("%22", "\"")
                .replace("%0D", "\r")
                .replace("%0A", "\n")
        }),
    };
    Ok(PartHead { name, filename })
}

/// `; name=value; name="quoted \" value"`, names in lower case; `None` when it is not that.
pub fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ';']);
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || name.contains(['"', ';', ' ']) {
            return None;
        }
        let after = after.trim_start();
        let value = if let Some(quoted) = after.strip_prefix('"') {
            let (value, after) = unquote(quoted)?;
            rest = after;
            value
        } else {
            let end = after.find(';').unwrap_or(after.len());
            let (value, after) = after.split_at(end);
            rest = after;
            value.trim().to_owned()
        };
        found.push((name, value));
        rest = rest.trim_start();
        if !rest.is_empty() && !rest.starts_with(';') {
            return None;
        }
        rest = rest.trim_start_matches([' ', '\t', ';']);
    }
    Some(found)
}

/// The text up to the closing quotation mark, and what follows it. Only `\"` and `\\` are escapes: old browsers write the
/// backslashes of paths as they are.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.peek() {
                Some((_, next @ ('"' | '\\'))) => {
                    value.push(*next);
                    characters.next();
                }
                _ => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    None
}

/// `UTF-8''na%C3%AFve.txt` (RFC 8187).
fn decode_extended(text: &str) -> Option<String> {
    let (charset, rest) = text.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut left = encoded.as_bytes();
    while let Some((first, rest)) = left.split_first() {
        left = rest;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, rest) = left.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        left = rest;
    }
    String::from_utf8(bytes).ok()
}
