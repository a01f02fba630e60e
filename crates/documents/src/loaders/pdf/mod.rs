//! PDF: the text of each page is a piece.
//!
//! The library that reads the text recurses into forms, unpacks without bounds and panics on surprises. So the file is
//! looked through before ([`safety`]), every page is read under `catch_unwind`, and what a page may write is bounded.

mod safety;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{ConvertToFmt, Document, PlainTextOutput, output_doc_page};

use crate::contain::crashed;
use crate::error::{Error, ErrorKind};
use crate::output::Output;
use crate::piece::{Piece, Place};

/// Text of one page: the densest page of a telephone book has a hundredth of it.
const PAGE_BYTES_MAX: usize = 4 << 20;

pub(crate) fn load(file: File, output: &mut Output<'_>) -> Result<(), Error> {
    let limits = output.limits;
    let mut bytes = Vec::new();
    file.take(limits.whole_bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::unreadable)?;
    if bytes.len() as u64 > limits.whole_bytes_max {
        return Err(Error::too_large("bytes of PDF", limits.whole_bytes_max));
    }
    safety::check_streams(&bytes, limits)?;
    let mut document = Document::load_mem(&bytes).map_err(broken)?;
    drop(bytes);
    if document.is_encrypted() {
        document
            .decrypt("")
            .map_err(|_| Error::new(ErrorKind::Unsupported, "is encrypted and needs a password"))?;
    }
    safety::blank_images(&mut document);
    safety::check_forms(&document, limits)?;
    let pages: Vec<u32> = document.get_pages().into_keys().collect();
    if pages.is_empty() {
        return Err(Error::malformed("holds no page that can be found"));
    }
    if pages.len() as u64 > limits.pages_max {
        return Err(Error::too_large("pages", limits.pages_max));
    }
    for page in pages {
        let read = catch_unwind(AssertUnwindSafe(|| text_of(&document, page)));
        match read.unwrap_or_else(|panic| Err(crashed(panic.as_ref()))) {
            Ok(text) => output.piece(Piece {
                text,
                place: Place::page(page),
                ..Piece::default()
            })?,
            Err(error) => output.fault(error.at(Place::page(page)))?,
        }
    }
    Ok(())
}

fn broken(error: impl fmt::Display) -> Error {
    Error::malformed(format!("is no whole PDF: {error}"))
}

fn text_of(document: &Document, page: u32) -> Result<String, Error> {
    let mut text = PageText(String::new());
    let mut sink = PlainTextOutput::new(&mut text);
    output_doc_page(document, &mut sink, page).map_err(|error| {
        if text.0.len() >= PAGE_BYTES_MAX {
            Error::too_large("bytes of text on one page", PAGE_BYTES_MAX as u64)
        } else {
            Error::malformed(format!("cannot be read: {error}"))
        }
    })?;
    Ok(tidy(&text.0))
}

/// Text that refuses to grow beyond its bound.
struct PageText(String);

impl fmt::Write for PageText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > PAGE_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl<'a> ConvertToFmt for &'a mut PageText {
    type Writer = &'a mut PageText;

    fn convert(self) -> Self::Writer {
        self
    }
}

/// Lines without the spaces and empty lines that come from the layout.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            empty += 1;
            continue;
        }
        if !tidy.is_empty() {
            tidy.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        tidy.push_str(line);
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_leaves_paragraphs() {
        assert_eq!(tidy("\n\n a \nb\n\n\n\n  c\n"), "a\nb\n\nc");
        assert_eq!(tidy("\n \n"), "");
    }
}
