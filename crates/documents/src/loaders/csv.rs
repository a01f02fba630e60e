//! Values separated by commas, tabs, semicolons or bars: each row is a record.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use csv::{ByteRecord, ErrorKind as CsvErrorKind, ReaderBuilder};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::output::Output;
use crate::piece::Place;
use crate::record::{self, RecordOptions};

/// The start of a file, from which its separator is guessed.
const SAMPLE_BYTES: u64 = 8192;

pub(crate) fn load(
    mut file: File,
    name: &str,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let delimiter = delimiter(&mut file, name)?;
    let limits = output.limits;
    let row_bytes_max = limits.cell_bytes_max.saturating_mul(8);
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(BufReader::new(Metered {
            file,
            since_row: 0,
            bound: row_bytes_max as u64,
        }));
    let mut record = ByteRecord::new();
    let mut columns: Option<Vec<String>> = None;
    let mut row = 0u64;
    loop {
        reader.get_mut().get_mut().since_row = 0;
        let line = reader.position().line();
        let read = reader.read_byte_record(&mut record).map_err(|error| {
            let place = Place::row(row + 1).with_line(line);
            match error.kind() {
                CsvErrorKind::Io(inner) if inner.kind() == std::io::ErrorKind::FileTooLarge => {
                    Error::too_large(
                        "bytes in one row; is a quote never closed?",
                        row_bytes_max as u64,
                    )
                    .at(place)
                }
                _ => Error::malformed(error.to_string()).at(place),
            }
        })?;
        if !read {
            return Ok(());
        }
        let Some(columns) = &columns else {
            columns = Some(header(&record, output)?);
            continue;
        };
        row += 1;
        output.row()?;
        let place = Place::row(row).with_line(line);
        match fields(&record, columns, limits.cell_bytes_max)
            .map_err(|error| error.at(place.clone()))
            .and_then(|fields| record::piece(fields, place, options, limits))
        {
            Ok(piece) => output.piece(piece)?,
            Err(error) => output.fault(error)?,
        }
    }
}

fn header(record: &ByteRecord, output: &Output<'_>) -> Result<Vec<String>, Error> {
    if record.len() > output.limits.columns_max {
        return Err(Error::too_large(
            "columns",
            output.limits.columns_max as u64,
        ));
    }
    let mut columns = Vec::with_capacity(record.len());
    for (index, cell) in record.iter().enumerate() {
        let cell = if index == 0 {
            cell.strip_prefix(b"\xef\xbb\xbf").unwrap_or(cell)
        } else {
            cell
        };
        let name = std::str::from_utf8(cell).map_err(|_| {
            Error::malformed("the header is not UTF-8 text").at(Place::default().with_line(1))
        })?;
        let name = name.trim();
        columns.push(if name.is_empty() {
            format!("column {}", index + 1)
        } else {
            name.to_owned()
        });
    }
    Ok(columns)
}

fn fields(
    record: &ByteRecord,
    columns: &[String],
    cell_bytes_max: usize,
) -> Result<Map<String, Value>, Error> {
    if record.len() > columns.len() {
        return Err(Error::malformed(format!(
            "has {} cells, and the header names {} columns",
            record.len(),
            columns.len()
        )));
    }
    let mut fields = Map::new();
    for (name, cell) in columns.iter().zip(record) {
        if cell.len() > cell_bytes_max {
            return Err(Error::too_large("bytes in one cell", cell_bytes_max as u64));
        }
        let text = std::str::from_utf8(cell)
            .map_err(|_| Error::malformed(format!("column '{name}' is not UTF-8 text")))?;
        fields.insert(name.clone(), Value::String(text.to_owned()));
    }
    Ok(fields)
}

/// The separator of most cells in the first line, outside quotes.
fn delimiter(file: &mut File, name: &str) -> Result<u8, Error> {
    if name.to_ascii_lowercase().ends_with(".tsv") {
        return Ok(b'\t');
    }
    let mut sample = Vec::new();
    Read::by_ref(file)
        .take(SAMPLE_BYTES)
        .read_to_end(&mut sample)
        .map_err(Error::unreadable)?;
    file.rewind().map_err(Error::unreadable)?;
    let (mut counts, mut quoted) = ([0usize; 4], false);
    const CANDIDATES: [u8; 4] = *b",;\t|";
    for byte in sample {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some(index) = CANDIDATES.iter().position(|candidate| *candidate == byte) {
                    counts[index] += 1;
                }
            }
        }
    }
    // The first of equals is the comma.
    let best = (0..CANDIDATES.len())
        .rev()
        .max_by_key(|index| counts[*index]);
    Ok(best.map_or(b',', |index| CANDIDATES[index]))
}

/// A file that refuses to give more than a bound between two rows: the parser would gather a row of any length.
struct Metered {
    file: File,
    since_row: u64,
    bound: u64,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.since_row > self.bound {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let count = self.file.read(buffer)?;
        self.since_row += count as u64;
        Ok(count)
    }
}
