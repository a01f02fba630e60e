//! Which points, which parts of them, and how a write is done: what several requests share.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use service::collections::{
    FieldPath, Filter, PayloadSelection, PointId, Precondition, Selection, VectorSelection, With,
    WriteOptions,
};
use service::{Error, ErrorKind};

use super::filter::filter;
use super::ids::WireId;

/// Longest that a caller may let us work, in seconds: more is no bound.
const TIMEOUT_SECONDS_MAX: u64 = 24 * 3600;

/// Parameters of the query string that all requests share.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Parameters {
    /// Answer a write only when it is on disk.
    #[serde(default)]
    pub wait: Option<bool>,
    /// Seconds after which the answer is an error.
    #[serde(default)]
    pub timeout: Option<u64>,
    /// Order of writes among replicas; there is one.
    #[serde(default)]
    pub ordering: Option<String>,
    /// Replicas that must agree; there is one.
    #[serde(default)]
    pub consistency: Option<String>,
}

impl Parameters {
    /// How a write is done.
    ///
    /// # Errors
    /// `InvalidRequest` for an ordering that there is not.
    pub fn write(&self, precondition: Precondition) -> Result<WriteOptions, Error> {
        // One writer at a time: every ordering is the strongest.
        match self.ordering.as_deref() {
            None | Some("weak" | "medium" | "strong") => {}
            Some(_) => {
                return Err(Error::invalid(
                    "ordering",
                    "The ordering is weak, medium or strong.",
                ));
            }
        }
        Ok(WriteOptions {
            wait: self.wait.unwrap_or(false),
            precondition,
        })
    }

    /// How long the caller waits.
    ///
    /// # Errors
    /// `InvalidRequest` for values that make no sense.
    pub fn timeout(&self) -> Result<Option<Duration>, Error> {
        match self.consistency.as_deref() {
            None | Some("majority" | "quorum" | "all") => {}
            // One replica: whoever asks for more would wait for ever.
            Some(count) => match count.parse::<u64>() {
                Ok(1) => {}
                Ok(_) => {
                    return Err(Error::invalid(
                        "consistency",
                        "There is one replica, so the consistency is 1, majority, quorum or all.",
                    ));
                }
                Err(_) => {
                    return Err(Error::invalid(
                        "consistency",
                        "The consistency is a number, majority, quorum or all.",
                    ));
                }
            },
        }
        match self.timeout {
            None => Ok(None),
            Some(0) => Err(Error::invalid(
                "timeout",
                "The timeout is at least 1 second.",
            )),
            Some(seconds) => Ok(Some(Duration::from_secs(seconds.min(TIMEOUT_SECONDS_MAX)))),
        }
    }

    /// Waits for `work` as long as the caller does.
    ///
    /// # Errors
    /// `DeadlineExceeded`; otherwise as the work says.
    pub async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(timeout) = self.timeout()? else {
            return work.await;
        };
        tokio::time::timeout(timeout, work)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Error::new(
                    ErrorKind::DeadlineExceeded,
                    format!("Operation timed out after {} s", timeout.as_secs()),
                ))
            })
    }
}

/// Refuses a choice of shards: there is one, and points of other shards would silently be among the results.
///
/// # Errors
/// `NotSupported` when any is chosen.
pub fn refuse_shard_key(shard_key: &Value) -> Result<(), Error> {
    match shard_key {
        Value::Null => Ok(()),
        _ => Err(Error::new(
            ErrorKind::NotSupported,
            "Custom sharding is not supported: leave `shard_key` out.",
        )
        .at("shard_key")),
    }
}

/// The points of `points` or `filter`, exactly one of which is given.
///
/// # Errors
/// `InvalidRequest` when none or both are.
pub fn selection(points: Option<Vec<WireId>>, filter_given: &Value) -> Result<Selection, Error> {
    match (points, filter(filter_given, "filter")?) {
        (Some(ids), None) => Ok(Selection::Ids(ids.into_iter().map(|id| id.0).collect())),
        (None, Some(filter)) => Ok(Selection::Filter(filter)),
        // As Qdrant: the ids that match.
        (Some(ids), Some(matching)) => {
            let ids = ids.into_iter().map(|id| id.0).collect();
            Ok(Selection::Filter(Filter {
                must: vec![
                    service::collections::Condition::HasId(ids),
                    service::collections::Condition::Filter(matching),
                ],
                ..Filter::default()
            }))
        }
        (None, None) => Err(Error::invalid(
            "points",
            "Either `points` or `filter` is required.",
        )),
    }
}

/// What a request wants of each point. `payload` is what is returned when it says nothing.
///
/// # Errors
/// `InvalidRequest` for a value that is neither.
pub fn with(
    with_payload: &Value,
    with_vector: &Value,
    payload: PayloadSelection,
) -> Result<With, Error> {
    Ok(With {
        payload: match with_payload {
            Value::Null => payload,
            given => payload_selection(given)?,
        },
        vectors: vector_selection(with_vector)?,
    })
}

fn payload_selection(value: &Value) -> Result<PayloadSelection, Error> {
    let wrong = || {
        Error::invalid(
            "with_payload",
            "`with_payload` is true, false, a list of keys, or an object with `include` or `exclude`.",
        )
    };
    match value {
        Value::Bool(true) => Ok(PayloadSelection::All),
        Value::Bool(false) => Ok(PayloadSelection::None),
        Value::Array(keys) => paths(keys, "with_payload").map(PayloadSelection::Include),
        Value::Object(fields) => {
            let mut entries = fields.iter();
            let (Some((name, Value::Array(keys))), None) = (entries.next(), entries.next()) else {
                return Err(wrong());
            };
            let paths = paths(keys, "with_payload")?;
            match name.as_str() {
                "include" => Ok(PayloadSelection::Include(paths)),
                "exclude" => Ok(PayloadSelection::Exclude(paths)),
                _ => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

fn paths(keys: &[Value], place: &str) -> Result<Vec<FieldPath>, Error> {
    let texts = keys.iter().map(|key| {
        key.as_str()
            .ok_or_else(|| Error::invalid(place, "keys are texts"))
    });
    texts.map(|text| path(text?, place)).collect()
}

/// The path of a payload field.
///
/// # Errors
/// `InvalidRequest` at `place`.
pub fn path(text: &str, place: &str) -> Result<FieldPath, Error> {
    text.parse()
        .map_err(|error| Error::invalid(place, format!("{error}")))
}

fn vector_selection(value: &Value) -> Result<VectorSelection, Error> {
    let wrong = || {
        Error::invalid(
            "with_vector",
            "`with_vector` is true, false or a list of vectors' names.",
        )
    };
    match value {
        Value::Null | Value::Bool(false) => Ok(VectorSelection::None),
        Value::Bool(true) => Ok(VectorSelection::All),
        Value::Array(names) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<BTreeSet<_>, _>>()
            .map(VectorSelection::Names),
        _ => Err(wrong()),
    }
}

/// The ids of a list.
pub fn ids(ids: Vec<WireId>) -> Vec<PointId> {
    ids.into_iter().map(|id| id.0).collect()
}
