//! The files that a collection holds.

use security::{Action, Identity};
use serde_json::Value;
use vectors::collection::{ScrollRequest, Selection, With, WriteOptions};
use vectors::filter::FieldPath;
use vectors::point::Payload;

use super::points::{self, SOURCE};
use super::target::Target;
use super::types::IngestOptions;
use super::work::check_source;
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

/// Most sources in one list.
pub const SOURCES_MAX: usize = 100_000;

/// A file in a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSummary {
    /// Its name.
    pub source: String,
    /// Points that are of it.
    pub chunks: u64,
}

/// What a collection has of a file's text.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceText {
    /// The payloads of its chunks, in the order of the text.
    pub chunks: Vec<Payload>,
    /// There are more chunks than these.
    pub more: bool,
}

/// What a collection has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// Nothing, or no complete version.
    New,
    /// Another version.
    Changed,
    /// This version.
    Unchanged,
}

impl Service {
    /// The files of a collection, those with the most points first, at most [`SOURCES_MAX`].
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the collection.
    pub async fn ingest_sources(
        &self,
        identity: &Identity,
        collection: &str,
    ) -> Result<Vec<SourceSummary>> {
        let key = FieldPath::key(SOURCE);
        let hits = self
            .points_facet(identity, collection, key, None, SOURCES_MAX)
            .await?;
        let sources = hits.into_iter().filter_map(|hit| match hit.value {
            Value::String(source) => Some(SourceSummary {
                source,
                chunks: hit.count,
            }),
            _ => None,
        });
        Ok(sources.collect())
    }

    /// The first chunks of a file, at most `chunks_max`.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the collection, and for a file that it does not hold.
    pub async fn ingest_text(
        &self,
        identity: &Identity,
        collection: &str,
        source: &str,
        chunks_max: usize,
    ) -> Result<SourceText> {
        check_source(source)?;
        // Ids of a version's chunks lie together and in order.
        let request = ScrollRequest {
            offset: None,
            limit: chunks_max,
            filter: Some(points::of_source(source)),
            order_by: None,
            with: With::payload(),
        };
        let page = self.points_scroll(identity, collection, request).await?;
        if page.points.is_empty() {
            return Err(unknown_source());
        }
        Ok(SourceText {
            chunks: page
                .points
                .into_iter()
                .filter_map(|point| point.payload)
                .collect(),
            more: page.next.is_some(),
        })
    }

    /// Whether [`Service::ingest`] of a file with these bytes would read it.
    ///
    /// # Errors
    /// As [`Service::ingest`].
    pub async fn ingest_state(
        &self,
        identity: &Identity,
        collection: &str,
        source: &str,
        sha256: &str,
        options: &IngestOptions,
    ) -> Result<SourceState> {
        self.authorize(Some(identity), Action::ReadCollections)?;
        check_source(source)?;
        let target = self.ingest_target(identity, collection, options).await?;
        let version = points::version(sha256, &target, options);
        self.version_state(identity, collection, source, &version, &target)
            .await
    }

    pub(super) async fn version_state(
        &self,
        identity: &Identity,
        collection: &str,
        source: &str,
        version: &str,
        target: &Target,
    ) -> Result<SourceState> {
        if !target.exists {
            return Ok(SourceState::New);
        }
        let first = points::point_id(source, version, 0);
        let found = self
            .points_get(identity, collection, vec![first], With::nothing())
            .await?;
        if !found.is_empty() {
            return Ok(SourceState::Unchanged);
        }
        let any = self
            .points_count(identity, collection, Some(points::of_source(source)))
            .await?;
        Ok(if any > 0 {
            SourceState::Changed
        } else {
            SourceState::New
        })
    }

    /// Takes a file's points out of a collection; gives how many there were.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` for the collection, and for a file that it does not hold.
    pub async fn ingest_remove(
        &self,
        identity: &Identity,
        collection: &str,
        source: &str,
    ) -> Result<u64> {
        self.authorize(Some(identity), Action::WriteCollections)?;
        check_source(source)?;
        let filter = points::of_source(source);
        let count = self
            .points_count(identity, collection, Some(filter.clone()))
            .await?;
        if count == 0 {
            return Err(unknown_source());
        }
        self.points_delete(
            identity,
            collection,
            Selection::Filter(filter),
            WriteOptions::durable(),
        )
        .await?;
        Ok(count)
    }
}

fn unknown_source() -> Error {
    let message = "The collection holds nothing of this source.";
    Error::new(ErrorKind::NotFound, message).at("source")
}
