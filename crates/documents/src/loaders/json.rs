//! JSON and JSON Lines: an object is a record, an array of them many.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::decode;
use crate::error::Error;
use crate::output::Output;
use crate::piece::{Piece, Place};
use crate::record::{self, RecordOptions};

/// One value. The elements of an array are records; so is an object.
pub(crate) fn load(
    file: File,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let text = decode::whole(file, false, output.limits.whole_bytes_max)?;
    let depth_max = output.limits.depth_max;
    if !text.trim_start().starts_with('[') {
        return one(parse(&text, depth_max)?, Place::default(), options, output);
    }
    check_depth(&text, depth_max)?;
    let mut fault = None;
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let elements = Elements {
        options,
        output,
        fault: &mut fault,
    };
    let read = deserializer
        .deserialize_seq(elements)
        .and_then(|()| deserializer.end());
    match (fault, read) {
        (Some(fault), _) => Err(fault),
        (None, read) => read.map_err(|error| syntax(&error)),
    }
}

/// The elements of an array, one after the other: numbers take a byte in the file and thirty in memory.
struct Elements<'a, 'o> {
    options: &'a RecordOptions,
    output: &'a mut Output<'o>,
    /// What ended the reading, when it was not the text.
    fault: &'a mut Option<Error>,
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let mut row = 0;
        while let Some(value) = sequence.next_element::<Value>()? {
            row += 1;
            let handed = self
                .output
                .row()
                .and_then(|()| one(value, Place::row(row), self.options, self.output));
            if let Err(error) = handed {
                *self.fault = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// One value per line; a line that is no JSON costs that line.
pub(crate) fn load_lines(
    file: File,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let limits = output.limits;
    let bound = limits.whole_bytes_max;
    let mut reader = BufReader::new(file);
    let (mut line, mut number, mut row) = (Vec::new(), 0u64, 0u64);
    loop {
        line.clear();
        number += 1;
        let count = reader
            .by_ref()
            .take(bound + 1)
            .read_until(b'\n', &mut line)
            .map_err(Error::unreadable)?;
        if count == 0 {
            return Ok(());
        }
        let place = Place::default().with_line(number);
        if count as u64 > bound {
            return Err(Error::too_large("bytes in one line", bound).at(place));
        }
        let value = match decode::utf8(&line) {
            Ok(text) if text.trim().is_empty() => continue,
            text => text.and_then(|text| parse(text, limits.depth_max)),
        };
        row += 1;
        output.row()?;
        match value {
            Ok(value) => one(value, Place::row(row).with_line(number), options, output)?,
            Err(error) => output.fault(error.at(Place::row(row).with_line(number)))?,
        }
    }
}

fn one(
    value: Value,
    place: Place,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let limits = output.limits;
    let piece = match value {
        Value::Object(fields) => record::piece(fields, place, options, limits),
        Value::String(text) => Ok(Piece {
            text,
            place,
            ..Piece::default()
        }),
        Value::Null => return Ok(()),
        other => {
            let fields = Map::from_iter([("value".to_owned(), other)]);
            record::piece(fields, place, options, limits)
        }
    };
    match piece {
        Ok(piece) => output.piece(piece),
        Err(error) => output.fault(error),
    }
}

/// Longest text of one value that is not an array: its tree takes up to thirty times as much.
const VALUE_BYTES_MAX: usize = 16 << 20;

/// Parses one value.
pub(crate) fn parse(text: &str, depth_max: usize) -> Result<Value, Error> {
    if text.len() > VALUE_BYTES_MAX {
        return Err(Error::too_large(
            "bytes in one value",
            VALUE_BYTES_MAX as u64,
        ));
    }
    check_depth(text, depth_max)?;
    serde_json::from_str(text).map_err(|error| syntax(&error))
}

/// Bounds the nesting before the parser, which recurses, sees it.
fn check_depth(text: &str, depth_max: usize) -> Result<(), Error> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > depth_max {
                    return Err(Error::too_large("levels of nesting", depth_max as u64)
                        .at(Place::byte(index as u64)));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn syntax(error: &serde_json::Error) -> Error {
    let place = Place {
        line: (error.line() > 0).then_some(error.line() as u64),
        ..Place::default()
    };
    Error::malformed(format!("is no JSON: {error}")).at(place)
}
