//! One loader per kind of document. Each reads its file and sends pieces to the [`Output`], which keeps the bounds.

mod csv;
mod database;
mod docx;
mod html;
mod json;
mod layout;
mod markdown;
mod parquet;
mod pdf;
pub(crate) mod postgres;
mod sqlite;
mod text;
mod xlsx;
mod xml;

use std::fs::File;
use std::path::Path;

use crate::error::Error;
use crate::kind::Kind;
use crate::output::Output;
use crate::source::LoadOptions;

/// Reads the file at `path` as a `kind`; `name` is what its owner calls it.
pub(crate) fn run(
    kind: Kind,
    path: &Path,
    name: &str,
    options: &LoadOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let records = &options.records;
    if kind == Kind::Sqlite {
        return sqlite::load(path, records, output);
    }
    let file = File::open(path).map_err(Error::unreadable)?;
    match kind {
        Kind::Text => text::load(file, output),
        Kind::Markdown => markdown::load(file, output),
        Kind::Html => html::load(file, output),
        Kind::Pdf => pdf::load(file, output),
        Kind::Docx => docx::load(file, output),
        Kind::Csv => csv::load(file, name, records, output),
        Kind::Json => json::load(file, records, output),
        Kind::JsonLines => json::load_lines(file, records, output),
        Kind::Xml => xml::load(file, output),
        Kind::Xlsx => xlsx::load(file, records, output),
        Kind::Parquet => parquet::load(file, records, output),
        Kind::Sqlite => Ok(()),
    }
}
