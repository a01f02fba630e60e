//! SQLite databases: every row of every table is a record.

use std::path::Path;

use futures::TryStreamExt;
use serde_json::{Map, Number, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Row, TypeInfo, ValueRef};

use super::database::{quoted, runtime, unreadable};
use crate::error::Error;
use crate::output::Output;
use crate::piece::Place;
use crate::record::{self, RecordOptions};

/// Tables that hold what people put in: none of SQLite's own, no view (its query is the file's), no virtual table and
/// none of their storage.
const TABLES: &str = "SELECT name FROM pragma_table_list \
    WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
/// Columns that are stored; generated ones are expressions of the file.
const COLUMNS: &str = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid";
/// Tables of one database.
const TABLES_MAX: usize = 10_000;

pub(crate) fn load(
    path: &Path,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    runtime()?.block_on(read(path, options, output))
}

async fn read(path: &Path, options: &RecordOptions, output: &mut Output<'_>) -> Result<(), Error> {
    // Immutable: nothing is locked, no journal is replayed, nothing is written beside the file. Functions that the
    // schema names are not trusted, and a page that is not what it should be is an error.
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(true)
        .create_if_missing(false)
        .disable_statement_logging()
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .connect()
        .await
        .map_err(unreadable)?;
    let tables: Vec<String> = sqlx::query_scalar(TABLES)
        .fetch_all(&mut connection)
        .await
        .map_err(unreadable)?;
    if tables.len() > TABLES_MAX {
        return Err(Error::too_large("tables", TABLES_MAX as u64));
    }
    for table in tables {
        if let Err(mut error) = rows(&mut connection, &table, options, output).await {
            error.place.part = Some(table);
            // A table that cannot be read costs that table.
            match error.kind {
                crate::ErrorKind::Malformed => output.fault(error)?,
                _ => return Err(error),
            }
        }
    }
    Ok(())
}

async fn rows(
    connection: &mut SqliteConnection,
    table: &str,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let columns: Vec<String> = sqlx::query_scalar(COLUMNS)
        .bind(table)
        .fetch_all(&mut *connection)
        .await
        .map_err(unreadable)?;
    if columns.is_empty() {
        return Ok(());
    }
    if columns.len() > output.limits.columns_max {
        return Err(Error::too_large(
            "columns",
            output.limits.columns_max as u64,
        ));
    }
    let names: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    let query = format!("SELECT {} FROM main.{}", names.join(", "), quoted(table));
    let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(connection);
    let mut number = 0;
    loop {
        let row = rows.try_next().await;
        let mut place = Place::row(number + 1);
        place.part = Some(table.to_owned());
        let Some(row) = row.map_err(|error| unreadable(error).at(place.clone()))? else {
            return Ok(());
        };
        number += 1;
        output.row()?;
        let limits = output.limits;
        let piece = fields(&row, limits.cell_bytes_max)
            .map_err(|error| error.at(place.clone()))
            .and_then(|fields| record::piece(fields, place, options, limits));
        match piece {
            Ok(piece) => output.piece(piece)?,
            Err(error) => output.fault(error)?,
        }
    }
}

fn fields(row: &SqliteRow, cell_bytes_max: usize) -> Result<Map<String, Value>, Error> {
    let mut fields = Map::new();
    for column in row.columns() {
        let index = column.ordinal();
        let raw = row.try_get_raw(index).map_err(unreadable)?;
        // SQLite's types are those of the values, whatever the column says.
        let kind = raw.type_info().name().to_owned();
        let value = if raw.is_null() {
            Value::Null
        } else {
            match kind.as_str() {
                "INTEGER" => {
                    Value::from(row.try_get_unchecked::<i64, _>(index).map_err(unreadable)?)
                }
                "REAL" => {
                    let number = row.try_get_unchecked::<f64, _>(index).map_err(unreadable)?;
                    Number::from_f64(number).map_or(Value::Null, Value::Number)
                }
                _ => text(
                    row.try_get_unchecked::<&[u8], _>(index)
                        .map_err(unreadable)?,
                    cell_bytes_max,
                )?,
            }
        };
        fields.insert(column.name().to_owned(), value);
    }
    Ok(fields)
}

/// Text, or the size of what is none.
fn text(bytes: &[u8], cell_bytes_max: usize) -> Result<Value, Error> {
    match std::str::from_utf8(bytes) {
        Ok(_) if bytes.len() > cell_bytes_max => {
            Err(Error::too_large("bytes in one cell", cell_bytes_max as u64))
        }
        Ok(text) => Ok(Value::from(text)),
        Err(_) => Ok(Value::from(format!("{} bytes", bytes.len()))),
    }
}
