//! A piece of a document: text and where it stands.

use std::fmt;

use serde_json::{Map, Value};

/// Where in an input something is. All counts begin with 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Page.
    pub page: Option<u32>,
    /// Sheet, table or file inside an archive.
    pub part: Option<String>,
    /// Row or record; a header row is not counted.
    pub row: Option<u64>,
    /// Line of a text file.
    pub line: Option<u64>,
    /// Byte of the file, the first being 0.
    pub byte: Option<u64>,
}

impl Place {
    pub(crate) fn row(row: u64) -> Self {
        Place {
            row: Some(row),
            ..Place::default()
        }
    }

    pub(crate) fn page(page: u32) -> Self {
        Place {
            page: Some(page),
            ..Place::default()
        }
    }

    pub(crate) fn byte(byte: u64) -> Self {
        Place {
            byte: Some(byte),
            ..Place::default()
        }
    }

    pub(crate) fn part(part: impl Into<String>) -> Self {
        Place {
            part: Some(part.into()),
            ..Place::default()
        }
    }

    pub(crate) fn with_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// The place and a colon, or nothing when it is the whole input.
    pub(crate) fn prefix(&self) -> String {
        let place = self.to_string();
        if place.is_empty() {
            place
        } else {
            format!("{place}: ")
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.part.as_ref().map(|part| format!("'{part}'")),
            self.page.map(|page| format!("page {page}")),
            self.row.map(|row| format!("row {row}")),
            self.line.map(|line| format!("line {line}")),
            self.byte.map(|byte| format!("byte {byte}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        formatter.write_str(&parts.join(", "))
    }
}

/// A heading inside a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Byte of the piece's text where its section begins.
    pub byte: usize,
    /// 1 is the highest.
    pub level: u8,
    /// Its text.
    pub title: String,
}

/// Text of one place of a document: a page, a row, or a run of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// The text, as the document has it or as the loader lays it out.
    pub text: String,
    /// Where it is.
    pub place: Place,
    /// Characters (Unicode scalar values) of the same document part before this piece: text files come in runs.
    pub characters_before: u64,
    /// Headings inside, in order.
    pub headings: Vec<Heading>,
    /// Headings above the first character: path of titles.
    pub path: Vec<String>,
    /// Bytes of the text where its blocks (paragraphs, lists, code) begin, when the document says so.
    pub blocks: Option<Vec<usize>>,
    /// The columns of a record.
    pub fields: Option<Map<String, Value>>,
    /// The vector that a record brings along.
    pub vector: Option<Vec<f32>>,
}
