//! What Fornax can do, as plain async functions on plain types; the only API boundary (see ARCHITECTURE.md).

mod administration;
mod answering;
mod catalog;
mod chat;
pub mod collections;
mod creating;
mod details;
mod embedding;
mod error;
mod failures;
pub mod files;
mod generation;
mod identifiers;
mod inference_calls;
pub mod ingest;
mod kept;
mod limits;
mod prepare;
mod pulling;
mod records;
mod reranking;
mod responses;
mod results;
mod runtime;
pub mod science;
mod service;
mod signals;
mod supervised;
#[cfg(test)]
mod tests;
mod types;
pub mod vector_stores;

pub use administration::*;
pub use answering::{
    Answer, AnswerEvent, AnswerEvents, AnswerRequest, AnsweringOptions, Passage, Ranker, Retrieval,
};
pub use cache::{RemoteState, Statistics as CacheStatistics};
pub use collections::CollectionsOptions;
pub use creating::{NewModel, NewModelSource};
pub use details::{ModelCapabilities, ModelDefaults, ModelDetails};
pub use error::{Error, ErrorKind, Result};
pub use files::FileOptions;
pub use limits::RequestLimits;
pub use records::{Page, PageRequest, Records, RecordsError, RecordsLocation};
pub use reranking::{RankedDocument, RerankMethod, RerankRequest, Reranked};
pub use responses::*;
pub use results::ResultLifetimes;
pub use science::ScienceOptions;
pub use security::{
    Action, CreatedKey, Identity, KeyRecord, KeyStatus, NewKey, Scope, Scopes, TenantId,
};
pub use service::{Service, ServiceOptions};
pub use types::*;
pub use vector_stores::VectorStoreOptions;
