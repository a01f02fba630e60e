//! The little JSON that a safetensors header is made of: objects, texts, whole numbers and arrays of them. Own code
//! because every fault must name its byte, duplicate names must be seen, and nothing may recurse.

use crate::files::error::FileErrorKind;

/// A fault at a byte of the file; the caller names the field.
#[derive(Debug)]
pub(super) struct Fault {
    pub kind: FileErrorKind,
    pub offset: u64,
    pub message: String,
}

/// Reads JSON from a slice, one token at a time.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Where `bytes` starts in the file.
    base: u64,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], base: u64) -> Self {
        Self {
            bytes,
            position: 0,
            base,
        }
    }

    /// Offset in the file of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.position as u64
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err(Fault {
            kind: FileErrorKind::Invalid,
            offset: self.offset(),
            message: message.into(),
        })
    }

    fn skip_space(&mut self) {
        while matches!(
            self.bytes.get(self.position),
            Some(b' ' | b'\t' | b'\n' | b'\r')
        ) {
            self.position += 1;
        }
    }

    /// The next byte that is no space, without taking it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.bytes.get(self.position).copied()
    }

    /// Takes `expected`, which must come next.
    pub(super) fn expect(&mut self, expected: u8) -> Result<(), Fault> {
        match self.peek() {
            Some(found) if found == expected => {
                self.position += 1;
                Ok(())
            }
            Some(found) => self.fault(format!(
                "JSON: '{}' is expected, found '{}'",
                char::from(expected),
                char::from(found).escape_default()
            )),
            None => self.fault(format!(
                "JSON ends where '{}' is expected",
                char::from(expected)
            )),
        }
    }

    /// Between members: takes a comma and returns true, or takes `close` and returns false.
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Fault> {
        if self.peek() == Some(b',') {
            self.position += 1;
            return Ok(true);
        }
        self.expect(close).map(|()| false)
    }

    /// After an opening bracket: takes `close` when nothing is inside.
    pub(super) fn closes_at_once(&mut self, close: u8) -> bool {
        let closes = self.peek() == Some(close);
        if closes {
            self.position += 1;
        }
        closes
    }

    /// Only spaces may follow.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("text after the end of the JSON object"),
        }
    }

    /// A whole number without sign, fraction or exponent.
    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        self.skip_space();
        let start = self.position;
        let mut value: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.position) {
            let next = value
                .checked_mul(10)
                .and_then(|value| value.checked_add(u64::from(digit - b'0')));
            let Some(next) = next else {
                return self.fault("number beyond 64 bits");
            };
            value = next;
            self.position += 1;
        }
        let leading_zero = self.position - start > 1 && self.bytes[start] == b'0';
        if start == self.position || leading_zero {
            return self.fault("a whole number is expected");
        }
        if matches!(self.bytes.get(self.position), Some(b'.' | b'e' | b'E')) {
            return self.fault("a whole number is expected, not a fraction");
        }
        Ok(value)
    }

    /// A text of at most `bytes_max` bytes.
    pub(super) fn text(&mut self, bytes_max: usize) -> Result<String, Fault> {
        self.expect(b'"')?;
        let start = self.offset();
        let mut text = Vec::new();
        loop {
            let Some(&byte) = self.bytes.get(self.position) else {
                return self.fault("JSON ends inside a text");
            };
            self.position += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let mut buffer = [0; 4];
                    let character = self.escape()?;
                    text.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
                }
                0..0x20 => return self.fault("a control character inside a text"),
                _ => text.push(byte),
            }
            if text.len() > bytes_max {
                return Err(Fault {
                    kind: FileErrorKind::Limit,
                    offset: start,
                    message: format!("text longer than {bytes_max} bytes"),
                });
            }
        }
        String::from_utf8(text).map_err(|_| Fault {
            kind: FileErrorKind::Invalid,
            offset: start,
            message: "text is not UTF-8".into(),
        })
    }

    /// The character after a backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        let Some(&byte) = self.bytes.get(self.position) else {
            return self.fault("JSON ends inside a text");
        };
        self.position += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_digits()?;
                let code = match first {
                    0xD800..0xDC00 => {
                        if self.bytes.get(self.position..self.position + 2) != Some(b"\\u") {
                            return self.fault("half of a surrogate pair");
                        }
                        self.position += 2;
                        let second = self.four_digits()?;
                        if !(0xDC00..0xE000).contains(&second) {
                            return self.fault("half of a surrogate pair");
                        }
                        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    _ => first,
                };
                match char::from_u32(code) {
                    Some(character) => character,
                    None => return self.fault("half of a surrogate pair"),
                }
            }
            _ => return self.fault("unknown escape in a text"),
        })
    }

    fn four_digits(&mut self) -> Result<u32, Fault> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self
                .bytes
                .get(self.position)
                .and_then(|&byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return self.fault("four hexadecimal digits are expected");
            };
            value = value * 16 + digit;
            self.position += 1;
        }
        Ok(value)
    }
}
