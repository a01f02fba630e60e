//! Excel workbooks: the first row of a sheet names its columns, every other row is a record.

use std::fs::File;
use std::io::{BufReader, Seek};

use calamine::{DataRef, Reader, Xlsx, XlsxError};
use serde_json::{Map, Number, Value};

use crate::archive::Archive;
use crate::error::Error;
use crate::output::Output;
use crate::piece::Place;
use crate::record::{self, RecordOptions};

pub(crate) fn load(
    file: File,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let mut again = file.try_clone().map_err(Error::unreadable)?;
    // The reader of workbooks unpacks without bounds, so everything is unpacked into nothing first.
    Archive::open(file, output.limits)?.check()?;
    again.rewind().map_err(Error::unreadable)?;
    let mut workbook = Xlsx::new(BufReader::new(again)).map_err(broken)?;
    for sheet in workbook.sheet_names() {
        let read = rows(&mut workbook, &sheet, options, output);
        if let Err(mut error) = read {
            error.place.part = Some(sheet);
            // A bound that was passed ends the workbook; a broken sheet costs that sheet.
            match error.kind {
                crate::ErrorKind::Malformed => output.fault(error)?,
                _ => return Err(error),
            }
        }
    }
    Ok(())
}

fn broken(error: XlsxError) -> Error {
    Error::malformed(format!("is no whole workbook: {error}"))
}

/// Cells of one row, by column.
type Cells = Vec<(u32, Value)>;

fn rows(
    workbook: &mut Xlsx<BufReader<File>>,
    sheet: &str,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let mut reader = workbook.worksheet_cells_reader(sheet).map_err(broken)?;
    let mut table = Table {
        sheet,
        header: None,
        options,
    };
    let (mut current, mut cells) = (None, Cells::new());
    while let Some(cell) = reader.next_cell().map_err(broken)? {
        let (row, column) = cell.get_position();
        if current != Some(row) {
            table.row(current, std::mem::take(&mut cells), output)?;
            current = Some(row);
        }
        if cells.len() >= output.limits.columns_max {
            return Err(Error::too_large(
                "columns",
                output.limits.columns_max as u64,
            ));
        }
        if let Some(value) = value(cell.get_value()) {
            if let Value::String(text) = &value
                && text.len() > output.limits.cell_bytes_max
            {
                let limit = output.limits.cell_bytes_max as u64;
                let place = Place::row(u64::from(row) + 1);
                return Err(Error::too_large("bytes in one cell", limit).at(place));
            }
            cells.push((column, value));
        }
    }
    table.row(current, cells, output)
}

struct Table<'a> {
    sheet: &'a str,
    /// Names of columns, by column.
    header: Option<Vec<(u32, String)>>,
    options: &'a RecordOptions,
}

impl Table<'_> {
    fn row(
        &mut self,
        number: Option<u32>,
        cells: Cells,
        output: &mut Output<'_>,
    ) -> Result<(), Error> {
        let Some(number) = number.filter(|_| !cells.is_empty()) else {
            return Ok(());
        };
        output.row()?;
        let Some(header) = &self.header else {
            let named = cells.into_iter().map(|(column, value)| match value {
                Value::String(text) => (column, text.trim().to_owned()),
                other => (column, other.to_string()),
            });
            self.header = Some(named.collect());
            return Ok(());
        };
        let mut fields = Map::new();
        for (column, value) in cells {
            let name = header
                .iter()
                .find(|(known, _)| *known == column)
                .map(|(_, name)| name.clone())
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| format!("column {}", column + 1));
            fields.insert(name, value);
        }
        // People count rows of a sheet as Excel shows them.
        let mut place = Place::row(u64::from(number) + 1);
        place.part = Some(self.sheet.to_owned());
        match record::piece(fields, place, self.options, output.limits) {
            Ok(piece) => output.piece(piece),
            Err(error) => output.fault(error),
        }
    }
}

fn value(cell: &DataRef<'_>) -> Option<Value> {
    Some(match cell {
        DataRef::Empty => return None,
        DataRef::Int(number) => Value::from(*number),
        DataRef::Float(number) => number_of(*number),
        DataRef::String(text) => Value::from(text.as_str()),
        DataRef::SharedString(text) => Value::from(*text),
        DataRef::Bool(flag) => Value::from(*flag),
        DataRef::DateTime(moment) if moment.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
            let date = format!("{year:04}-{month:02}-{day:02}");
            if (hour, minute, second) == (0, 0, 0) {
                Value::from(date)
            } else {
                Value::from(format!("{date}T{hour:02}:{minute:02}:{second:02}"))
            }
        }
        DataRef::DateTime(duration) => number_of(duration.as_f64()),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Value::from(text.as_str()),
        DataRef::Error(error) => Value::from(error.to_string()),
    })
}

/// Excel knows only floating point; whole numbers are written as such.
fn number_of(number: f64) -> Value {
    // Every whole number below 2^53 is exact.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}
