//! Parquet files: every row is a record.

use std::fs::File;

use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use crate::error::Error;
use crate::output::Output;
use crate::piece::Place;
use crate::record::{self, RecordOptions};

pub(crate) fn load(
    file: File,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let limits = output.limits;
    let reader = SerializedFileReader::new(file).map_err(broken)?;
    let metadata = reader.metadata();
    let columns = metadata.file_metadata().schema_descr().num_columns();
    if columns > limits.columns_max {
        return Err(Error::too_large("columns", limits.columns_max as u64));
    }
    // One row group is decoded at a time, a page per column; its size is the file's own claim, and a page that lies is
    // an error of the decoder.
    for group in metadata.row_groups() {
        let size = u64::try_from(group.total_byte_size()).unwrap_or(u64::MAX);
        if size > limits.inflated_bytes_max {
            return Err(Error::too_large(
                "bytes in one row group",
                limits.inflated_bytes_max,
            ));
        }
    }
    let mut number = 0;
    for row in reader.get_row_iter(None).map_err(broken)? {
        number += 1;
        output.row()?;
        let place = Place::row(number);
        let row = row.map_err(|error| broken(error).at(place.clone()))?;
        let fields = object(row, limits.depth_max).map_err(|error| error.at(place.clone()))?;
        match record::piece(fields, place, options, limits) {
            Ok(piece) => output.piece(piece)?,
            Err(error) => output.fault(error)?,
        }
    }
    Ok(())
}

fn broken(error: parquet::errors::ParquetError) -> Error {
    Error::malformed(format!("is no whole Parquet file: {error}"))
}

fn object(row: Row, depth_left: usize) -> Result<Map<String, Value>, Error> {
    row.into_columns()
        .into_iter()
        .map(|(name, field)| Ok((name, value(field, depth_left)?)))
        .collect()
}

fn value(field: Field, depth_left: usize) -> Result<Value, Error> {
    let Some(deeper) = depth_left.checked_sub(1) else {
        return Err(Error::malformed("its columns are nested too deep"));
    };
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => Value::from(flag),
        Field::Byte(number) => Value::from(number),
        Field::Short(number) => Value::from(number),
        Field::Int(number) => Value::from(number),
        Field::Long(number) => Value::from(number),
        Field::UByte(number) => Value::from(number),
        Field::UShort(number) => Value::from(number),
        Field::UInt(number) => Value::from(number),
        Field::ULong(number) => Value::from(number),
        Field::Float16(number) => float(f64::from(number)),
        Field::Float(number) => float(f64::from(number)),
        Field::Double(number) => float(number),
        Field::Str(text) => Value::from(text),
        Field::Bytes(bytes) => bytes.as_utf8().map_or_else(
            |_| Value::from(format!("{} bytes", bytes.len())),
            Value::from,
        ),
        Field::Group(row) => Value::Object(object(row, deeper)?),
        Field::ListInternal(list) => {
            let items = list.elements().iter();
            Value::Array(
                items
                    .map(|item| value(item.clone(), deeper))
                    .collect::<Result<_, _>>()?,
            )
        }
        Field::MapInternal(map) => {
            let mut members = Map::new();
            for (key, member) in map.entries() {
                let key = match value(key.clone(), deeper)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                members.insert(key, value(member.clone(), deeper)?);
            }
            Value::Object(members)
        }
        // Dates, times and decimals are written as the format's own library writes them.
        other => Value::from(other.to_string()),
    })
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}
