//! What an input is, by its name and its first bytes.

use crate::error::{Error, ErrorKind};

/// Kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Plain text, source code, logs.
    Text,
    /// Markdown (CommonMark with tables).
    Markdown,
    /// HTML.
    Html,
    /// PDF.
    Pdf,
    /// Word.
    Docx,
    /// Values separated by commas, or by tabs or semicolons.
    Csv,
    /// One JSON value; an array or object of records becomes one piece each.
    Json,
    /// One JSON value per line.
    JsonLines,
    /// XML.
    Xml,
    /// Excel.
    Xlsx,
    /// Parquet.
    Parquet,
    /// A SQLite database.
    Sqlite,
}

/// Endings, without the dot, and what they mean. Source code and configuration is text.
const ENDINGS: &[(&str, Kind)] = &[
    ("md", Kind::Markdown),
    ("markdown", Kind::Markdown),
    ("mdx", Kind::Markdown),
    ("html", Kind::Html),
    ("htm", Kind::Html),
    ("xhtml", Kind::Html),
    ("pdf", Kind::Pdf),
    ("docx", Kind::Docx),
    ("csv", Kind::Csv),
    ("tsv", Kind::Csv),
    ("json", Kind::Json),
    ("jsonl", Kind::JsonLines),
    ("ndjson", Kind::JsonLines),
    ("xml", Kind::Xml),
    ("xlsx", Kind::Xlsx),
    ("xlsm", Kind::Xlsx),
    ("parquet", Kind::Parquet),
    ("sqlite", Kind::Sqlite),
    ("sqlite3", Kind::Sqlite),
    ("db", Kind::Sqlite),
];

/// Endings that are text although their first bytes say nothing.
const TEXT_ENDINGS: &[&str] = &[
    "txt", "text", "rst", "adoc", "org", "tex", "log", "c", "cc", "cpp", "cs", "css", "go", "h",
    "hpp", "java", "js", "kt", "lua", "php", "pl", "py", "rb", "rs", "sh", "sql", "swift", "ts",
    "tsx", "jsx", "toml", "yaml", "yml", "ini", "cfg", "conf", "proto", "vtt", "srt",
];

/// Names of files inside an archive are near its start; this much tells Word from Excel.
pub(crate) const FIRST_BYTES: usize = 4096;

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 12] = [
        Kind::Text,
        Kind::Markdown,
        Kind::Html,
        Kind::Pdf,
        Kind::Docx,
        Kind::Csv,
        Kind::Json,
        Kind::JsonLines,
        Kind::Xml,
        Kind::Xlsx,
        Kind::Parquet,
        Kind::Sqlite,
    ];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name, as options and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Markdown => "markdown",
            Kind::Html => "html",
            Kind::Pdf => "pdf",
            Kind::Docx => "docx",
            Kind::Csv => "csv",
            Kind::Json => "json",
            Kind::JsonLines => "jsonl",
            Kind::Xml => "xml",
            Kind::Xlsx => "xlsx",
            Kind::Parquet => "parquet",
            Kind::Sqlite => "sqlite",
        }
    }

    /// The kind that a file's name promises.
    pub fn of_name(name: &str) -> Option<Kind> {
        let ending = name.rsplit_once('.')?.1.to_ascii_lowercase();
        ENDINGS
            .iter()
            .find(|(known, _)| *known == ending)
            .map(|(_, kind)| *kind)
            .or_else(|| {
                TEXT_ENDINGS
                    .contains(&ending.as_str())
                    .then_some(Kind::Text)
            })
    }

    /// The kind of an input with this name and these first bytes. Bytes that prove a kind win over the name; a name
    /// that promises a binary format whose bytes are not there is an error.
    ///
    /// # Errors
    /// `Unsupported` for unknown binary content, `Malformed` when name and bytes contradict each other.
    pub fn detect(name: &str, first: &[u8]) -> Result<Kind, Error> {
        let named = Kind::of_name(name);
        if let Some(proven) = proven(first, named) {
            return Ok(proven);
        }
        match named {
            Some(kind @ (Kind::Pdf | Kind::Docx | Kind::Xlsx | Kind::Parquet | Kind::Sqlite)) => {
                let detail = format!(
                    "is named like {} but does not begin like one",
                    kind.name().to_uppercase()
                );
                Err(Error::malformed(detail))
            }
            Some(kind) => Ok(kind),
            None if looks_like_text(first) => Ok(markup(first).unwrap_or(Kind::Text)),
            None => Err(Error::new(
                ErrorKind::Unsupported,
                "is neither text nor a known kind of document",
            )),
        }
    }
}

/// The kind that the first bytes prove.
fn proven(first: &[u8], named: Option<Kind>) -> Option<Kind> {
    // Readers of PDF accept some bytes of dirt before the mark.
    let start = &first[..first.len().min(1024)];
    if start.windows(5).any(|window| window == b"%PDF-") && !matches!(named, Some(Kind::Text)) {
        return Some(Kind::Pdf);
    }
    if first.starts_with(b"SQLite format 3\0") {
        return Some(Kind::Sqlite);
    }
    if first.starts_with(b"PAR1") {
        return Some(Kind::Parquet);
    }
    if first.starts_with(b"PK\x03\x04") {
        let holds = |name: &[u8]| first.windows(name.len()).any(|window| window == name);
        return match named {
            Some(kind @ (Kind::Docx | Kind::Xlsx)) => Some(kind),
            _ if holds(b"word/") => Some(Kind::Docx),
            _ if holds(b"xl/") => Some(Kind::Xlsx),
            _ => None,
        };
    }
    None
}

fn markup(first: &[u8]) -> Option<Kind> {
    let text = String::from_utf8_lossy(&first[..first.len().min(256)]).to_ascii_lowercase();
    let text = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        return Some(Kind::Html);
    }
    text.starts_with("<?xml").then_some(Kind::Xml)
}

fn looks_like_text(first: &[u8]) -> bool {
    first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") || !first.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_win_over_names_and_unknown_text_is_text() {
        for (name, first, expected) in [
            ("a.md", b"# x".as_slice(), Kind::Markdown),
            ("README", b"hello", Kind::Text),
            ("page", b"<!DOCTYPE html><p>x", Kind::Html),
            ("feed", b"<?xml version=\"1.0\"?>", Kind::Xml),
            ("a.bin", b"%PDF-1.4", Kind::Pdf),
            ("a.txt", b"SQLite format 3\0....", Kind::Sqlite),
            ("unknown", b"PK\x03\x04....word/document.xml", Kind::Docx),
            ("b.xlsx", b"PK\x03\x04whatever", Kind::Xlsx),
            ("t.TSV", b"a\tb", Kind::Csv),
            ("lib.rs", b"fn main", Kind::Text),
        ] {
            assert_eq!(Kind::detect(name, first).expect(name), expected, "{name}");
        }
        for (name, first) in [
            ("a.pdf", b"hello".as_slice()),
            ("a.docx", b"text"),
            ("x.parquet", b""),
            ("blob", b"\x00\x01\x02"),
            ("a.zip", b"PK\x03\x04other\0"),
        ] {
            assert!(Kind::detect(name, first).is_err(), "{name}");
        }
    }
}
