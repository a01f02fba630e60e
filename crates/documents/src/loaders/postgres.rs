//! A table of a PostgreSQL server: every row is a record. A column of pgvector's type `vector` brings the row's vector.

use std::str::FromStr;

use futures::TryStreamExt;
use platform::Secret;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use super::database::{quoted, runtime, unreadable};
use super::json;
use crate::error::{Error, ErrorKind};
use crate::output::Output;
use crate::piece::Place;
use crate::record::{self, RecordOptions};

/// Columns of a table and the names of their types.
const COLUMNS: &str = "SELECT a.attname::text, t.typname::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Reads `table` of the server at `url`. Nothing is written, and the rows are those of one moment.
pub(crate) fn load(
    url: &Secret,
    table: &str,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    runtime()?.block_on(read(url, table, options, output))
}

async fn read(
    url: &Secret,
    table: &str,
    options: &RecordOptions,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    // Errors of parsing could quote the address, password and all.
    let connect = PgConnectOptions::from_str(url.expose())
        .map_err(|_| {
            Error::new(
                ErrorKind::Unreadable,
                "the address is no 'postgres://…' address",
            )
        })?
        .options([("default_transaction_read_only", "on")])
        .application_name("fornax ingest")
        .disable_statement_logging();
    let mut connection = connect.connect().await.map_err(unreadable)?;
    let name: Vec<String> = table.splitn(2, '.').map(quoted).collect();
    let name = name.join(".");
    let columns = columns(&mut connection, &name).await?;
    if columns.len() > output.limits.columns_max {
        return Err(Error::too_large(
            "columns",
            output.limits.columns_max as u64,
        ));
    }
    let mut options = options.clone();
    if options.vector.is_none() {
        // Of several vectors none can be chosen for the caller.
        let mut vectors = columns
            .iter()
            .filter(|(_, kind)| kind == "vector" || kind == "halfvec");
        if let (Some((column, _)), None) = (vectors.next(), vectors.next()) {
            options.vector = Some(column.clone());
        }
    }
    // The server writes rows as JSON, so every type it knows is readable; pgvector's become text such as '[1,2]'.
    let query = format!("SELECT row_to_json(t)::text FROM {name} t");
    let mut rows = sqlx::query(AssertSqlSafe(query)).fetch(&mut connection);
    let mut number = 0;
    loop {
        let place = Place {
            part: Some(table.to_owned()),
            ..Place::row(number + 1)
        };
        let row = rows
            .try_next()
            .await
            .map_err(|error| unreadable(error).at(place.clone()))?;
        let Some(row) = row else { return Ok(()) };
        number += 1;
        output.row()?;
        let limits = output.limits;
        let text: &str = row
            .try_get(0)
            .map_err(|error| unreadable(error).at(place.clone()))?;
        let piece = match json::parse(text, limits.depth_max) {
            Ok(Value::Object(fields)) => record::piece(fields, place, &options, limits),
            Ok(_) => Err(Error::malformed("is no row").at(place)),
            Err(error) => Err(error.at(place)),
        };
        match piece {
            Ok(piece) => output.piece(piece)?,
            Err(error) => output.fault(error)?,
        }
    }
}

async fn columns(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Vec<(String, String)>, Error> {
    sqlx::query_as(COLUMNS)
        .bind(name)
        .fetch_all(connection)
        .await
        .map_err(unreadable)
}
