//! Pages of lists, ordered by the time of creation and then by id, so that a list that grows meanwhile repeats and skips
//! nothing.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::{Records, failed};
use crate::error::{Error, Result};

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the order asked for.
    pub items: Vec<T>,
    /// Whether there are more in the direction of the walk.
    pub has_more: bool,
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Begin behind the item with this id.
    pub after: Option<String>,
    /// End before the item with this id: the items nearest to it.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
    /// Newest first.
    pub descending: bool,
}

/// A list in a table. Names of tables and columns are fixed; a caller's text is always an argument.
pub(crate) struct Listing<'a> {
    /// The table; it has the column `created_ms`.
    pub table: &'static str,
    /// The columns that are read.
    pub columns: &'static str,
    /// The column that `after` and `before` name; unique in the list.
    pub id: &'static str,
    /// Columns and values that say which list of the table it is; the tenant is among them.
    pub owner: &'a [(&'static str, &'a str)],
    /// Columns and values of the rows that are wanted.
    pub filters: &'a [(&'static str, &'a str)],
    /// A further condition without arguments.
    pub condition: Option<String>,
}

/// The place of an item in the order.
struct Cursor {
    created_ms: i64,
    id: String,
}

impl Listing<'_> {
    /// One page, each row read by `read`.
    ///
    /// # Errors
    /// `InvalidRequest` when the page begins at an item that the list does not have; or the database failed.
    pub(crate) async fn page<T>(
        &self,
        records: &Records,
        request: &PageRequest,
        read: impl Fn(&AnyRow) -> Result<T>,
    ) -> Result<Page<T>> {
        let (cursor, backwards) = match (&request.after, &request.before) {
            (Some(_), Some(_)) => {
                let message = "Give either `after` or `before`, not both.";
                return Err(Error::invalid("before", message));
            }
            (Some(id), None) => (Some(self.cursor(records, "after", id).await?), false),
            (None, Some(id)) => (Some(self.cursor(records, "before", id).await?), true),
            (None, None) => (None, false),
        };
        // Walking back from `before` is walking on in the other order, and turning the result round.
        let descending = request.descending != backwards;
        let rows = self
            .rows(records, request.limit, descending, cursor)
            .await?;
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        let mut items = rows
            .iter()
            .take(limit)
            .map(read)
            .collect::<Result<Vec<T>>>()?;
        if backwards {
            items.reverse();
        }
        Ok(Page { items, has_more })
    }

    /// The page's rows and one more.
    async fn rows(
        &self,
        records: &Records,
        limit: u32,
        descending: bool,
        cursor: Option<Cursor>,
    ) -> Result<Vec<AnyRow>> {
        let (comparison, order) = if descending {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        let equal: Vec<_> = self.owner.iter().chain(self.filters).collect();
        let mut conditions = conditions(equal.iter().map(|(column, _)| *column));
        conditions.extend(self.condition.clone());
        if cursor.is_some() {
            let next = equal.len() + 1;
            let place = format!(
                "(created_ms, {}) {comparison} (${next}, ${})",
                self.id,
                next + 1
            );
            conditions.push(place);
        }
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY created_ms {order}, {} {order} LIMIT {}",
            self.columns,
            self.table,
            conditions.join(" AND "),
            self.id,
            u64::from(limit) + 1,
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (_, value) in equal {
            query = query.bind(*value);
        }
        if let Some(cursor) = cursor {
            query = query.bind(cursor.created_ms).bind(cursor.id);
        }
        query.fetch_all(records.pool()).await.map_err(failed)
    }

    /// Where an item of the list stands. One that the filters leave out still marks its place: lists are often walked
    /// while their items change.
    async fn cursor(&self, records: &Records, field: &'static str, id: &str) -> Result<Cursor> {
        let mut conditions = conditions(self.owner.iter().map(|(column, _)| *column));
        conditions.push(format!("{} = ${}", self.id, self.owner.len() + 1));
        let sql = format!(
            "SELECT created_ms FROM {} WHERE {}",
            self.table,
            conditions.join(" AND ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (_, value) in self.owner {
            query = query.bind(*value);
        }
        let row = query.bind(id).fetch_optional(records.pool()).await;
        match row.map_err(failed)? {
            Some(row) => Ok(Cursor {
                created_ms: row.try_get(0).map_err(failed)?,
                id: id.to_owned(),
            }),
            None => {
                let shown: String = id.chars().take(64).collect();
                let message = format!("There is no item '{shown}' to begin at.");
                Err(Error::invalid(field, message))
            }
        }
    }
}

/// `column = $n`, numbered from 1.
fn conditions<'c>(columns: impl Iterator<Item = &'c str>) -> Vec<String> {
    columns
        .enumerate()
        .map(|(index, column)| format!("{column} = ${}", index + 1))
        .collect()
}
