//! What OpenAI's lists have in common: where a page begins, how long it is and in which order.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::{Deserialize, Serialize};
use service::{Error, Page, PageRequest};

/// The query of a list, as text: what is wrong with a value is said here and not by a parser.
#[derive(Debug, Default, Deserialize)]
pub struct ListQuery {
    pub after: Option<String>,
    pub before: Option<String>,
    pub limit: Option<String>,
    pub order: Option<String>,
    /// Of files.
    pub purpose: Option<String>,
    /// Of a vector store's files: their state.
    pub filter: Option<String>,
}

/// How long a list's pages are.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// When nothing is asked for.
    pub usual: u32,
    /// At most.
    pub max: u32,
}

impl ListQuery {
    /// The query, or what is wrong with it as a whole.
    ///
    /// # Errors
    /// It is not a query string.
    pub fn of(query: Result<Query<ListQuery>, QueryRejection>) -> Result<ListQuery, Error> {
        query
            .map(|Query(query)| query)
            .map_err(|rejected| Error::invalid("query", rejected.body_text()))
    }

    /// The page it asks for; newest first unless it says otherwise.
    ///
    /// # Errors
    /// The length or the order is none.
    pub fn page(&self, lengths: Lengths) -> Result<PageRequest, Error> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let limit = match &self.limit {
            None => lengths.usual,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=lengths.max).contains(limit))
                .ok_or_else(|| {
                    let message = format!("`limit` must be a number from 1 to {}", lengths.max);
                    Error::invalid("limit", message)
                })?,
        };
        let descending = match self.order.as_deref() {
            None | Some("desc") => true,
            Some("asc") => false,
            Some(_) => return Err(Error::invalid("order", "`order` must be `asc` or `desc`")),
        };
        Ok(PageRequest {
            after: given(&self.after),
            before: given(&self.before),
            limit,
            descending,
        })
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct ListReply<T> {
    pub object: &'static str,
    pub data: Vec<T>,
    pub first_id: Option<String>,
    pub last_id: Option<String>,
    pub has_more: bool,
}

impl<T> ListReply<T> {
    /// `page`, each item written by `reply`; `id` is what the next page's `after` names.
    pub fn new<S>(page: Page<S>, reply: impl Fn(S) -> T, id: impl Fn(&T) -> String) -> Self {
        let data: Vec<T> = page.items.into_iter().map(reply).collect();
        ListReply {
            object: "list",
            first_id: data.first().map(&id),
            last_id: data.last().map(&id),
            has_more: page.has_more,
            data,
        }
    }
}
