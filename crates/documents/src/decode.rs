//! Bytes to text: UTF-8, UTF-16 with its mark, and for markup the encoding that it declares.

use std::fs::File;
use std::io::Read;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::Error;
use crate::piece::Place;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Where a declaration of an encoding must be, in HTML as in XML.
const DECLARATION_BYTES: usize = 1024;

/// A file read as text, part by part. A wrong byte is an error that says where it is: a text with replacement
/// characters would be searched and never found.
pub(crate) struct TextReader {
    file: File,
    decoder: Decoder,
    raw: Vec<u8>,
    /// Bytes of the file that have been decoded.
    decoded_bytes: u64,
    /// Read for the mark and not yet decoded.
    begun: Vec<u8>,
    finished: bool,
}

impl TextReader {
    /// Reads `file` from its start; what markup declares is believed when there is no mark.
    pub(crate) fn new(mut file: File, markup: bool) -> Result<Self, Error> {
        let mut begun = Vec::with_capacity(DECLARATION_BYTES);
        Read::by_ref(&mut file)
            .take(DECLARATION_BYTES as u64)
            .read_to_end(&mut begun)
            .map_err(Error::unreadable)?;
        let encoding = match Encoding::for_bom(&begun) {
            Some((encoding, _)) => encoding,
            None if markup => declared(&begun)?,
            None => UTF_8,
        };
        Ok(TextReader {
            file,
            decoder: encoding.new_decoder_with_bom_removal(),
            raw: vec![0; READ_BYTES],
            decoded_bytes: 0,
            begun,
            finished: false,
        })
    }

    /// Appends the next part to `text`; false at the end.
    pub(crate) fn read(&mut self, text: &mut String) -> Result<bool, Error> {
        if self.finished {
            return Ok(false);
        }
        let begun = std::mem::take(&mut self.begun);
        if !begun.is_empty() {
            self.decode(&begun, false, text)?;
            return Ok(true);
        }
        let mut raw = std::mem::take(&mut self.raw);
        let count = self.file.read(&mut raw).map_err(Error::unreadable)?;
        self.finished = count == 0;
        let decoded = self.decode(&raw[..count], self.finished, text);
        self.raw = raw;
        decoded.map(|()| true)
    }

    fn decode(&mut self, mut bytes: &[u8], last: bool, text: &mut String) -> Result<(), Error> {
        loop {
            let needed = self.decoder.max_utf8_buffer_length(bytes.len());
            text.reserve(needed.unwrap_or(bytes.len().saturating_mul(3)) + 16);
            let (result, read) = self
                .decoder
                .decode_to_string_without_replacement(bytes, text, last);
            self.decoded_bytes += read as u64;
            match result {
                DecoderResult::InputEmpty => return Ok(()),
                DecoderResult::OutputFull => bytes = &bytes[read..],
                DecoderResult::Malformed(length, behind) => {
                    let wrong = self
                        .decoded_bytes
                        .saturating_sub(u64::from(length) + u64::from(behind));
                    let name = self.decoder.encoding().name();
                    return Err(
                        Error::malformed(format!("is not {name} text")).at(Place::byte(wrong))
                    );
                }
            }
        }
    }
}

/// The whole of a file as text, at most `bytes_max` of it.
pub(crate) fn whole(file: File, markup: bool, bytes_max: u64) -> Result<String, Error> {
    let mut text = String::new();
    let mut reader = TextReader::new(file, markup)?;
    while reader.read(&mut text)? {
        if text.len() as u64 > bytes_max {
            return Err(Error::too_large(
                "bytes of text to be read as a whole",
                bytes_max,
            ));
        }
    }
    Ok(text)
}

/// What the first bytes of HTML or XML declare.
fn declared(first: &[u8]) -> Result<&'static Encoding, Error> {
    // XML without a mark in UTF-16 shows by its zeros.
    if first.starts_with(b"<\0?\0") {
        return Ok(UTF_16LE);
    }
    if first.starts_with(b"\0<\0?") {
        return Ok(UTF_16BE);
    }
    let text = String::from_utf8_lossy(first).to_ascii_lowercase();
    let label = ["encoding=", "charset="].iter().find_map(|word| {
        let rest = &text[text.find(word)? + word.len()..];
        let rest = rest.trim_start_matches(['"', '\'', ' ']);
        let end = rest.find(|character: char| {
            !character.is_ascii_alphanumeric() && !"-_:".contains(character)
        })?;
        Some(&rest[..end])
    });
    let Some(label) = label else { return Ok(UTF_8) };
    match Encoding::for_label(label.as_bytes()) {
        // What could be read this far is in no 16-bit encoding.
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => Ok(UTF_8),
        Some(encoding) => Ok(encoding),
        None => Err(Error::malformed(format!(
            "declares the unknown encoding '{label}'"
        ))),
    }
}

/// Decodes bytes in memory that should be UTF-8 and may begin with a mark.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        Error::malformed("is not UTF-8 text").at(Place::byte(error.valid_up_to() as u64))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn read(bytes: &[u8], markup: bool) -> Result<String, Error> {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(bytes).expect("write");
        file.rewind().expect("rewind");
        whole(file, markup, 1 << 20)
    }

    #[test]
    fn marks_and_declarations_are_followed() {
        assert_eq!(read("häuser".as_bytes(), false), Ok("häuser".to_owned()));
        assert_eq!(read(b"\xef\xbb\xbfabc", false), Ok("abc".to_owned()));
        let little: Vec<u8> = "\u{feff}grün 😀"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(read(&little, false), Ok("grün 😀".to_owned()));
        let html = b"<meta charset=\"iso-8859-1\">gr\xfcn";
        assert_eq!(
            read(html, true),
            Ok("<meta charset=\"iso-8859-1\">grün".to_owned())
        );
        assert!(read(b"<?xml encoding='klingon'?>", true).is_err());
    }

    #[test]
    fn wrong_bytes_are_named_by_their_place() {
        let error = read(b"good \xff bad", false).expect_err("refused");
        assert_eq!(error.to_string(), "byte 5: is not UTF-8 text");
        let mut long = vec![b'a'; 200_000];
        long.push(0xc3);
        let error = read(&long, false).expect_err("refused");
        assert_eq!(error.place.byte, Some(200_000));
    }

    #[test]
    fn characters_across_the_border_of_two_reads_are_whole() {
        let text = "ü😀ß".repeat(60_000);
        assert_eq!(read(text.as_bytes(), false), Ok(text));
    }
}
