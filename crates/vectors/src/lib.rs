//! An embeddable vector engine: collections of points with vectors and payloads, durable, filtered and searched exactly or by index.
//!
//! Blocking code on plain types: nothing here is asynchronous or knows a wire format. Terms: a *point* has an id, named
//! vectors and a JSON payload; a *collection* is a directory of points with one schema; a *segment* is a run of rows
//! (one growing in memory behind the write-ahead log, the others sealed, immutable and memory-mapped); a *row* is a
//! point's place in its segment; *rank* is how results are ordered inside the engine, larger is always better.

pub mod collection;
pub mod database;
pub mod error;
pub mod filter;
pub mod index;
pub mod memory;
pub mod payload;
pub mod point;
mod postings;
pub mod quantize;
pub mod query;
pub mod rows;
pub mod schema;
pub mod segment;
pub mod sparse;
pub mod storage;
pub mod text;

pub use collection::{Collection, SearchRequest, WriteOptions};
pub use database::{Database, DatabaseOptions};
pub use error::VectorsError;
pub use filter::{Condition, FieldPath, FieldTest, Filter};
pub use point::{Payload, Point, PointId, SparseVector, Vector};
pub use rows::{Allowed, AtomicRowSet, RowSet, Scored};
pub use schema::{CollectionSchema, Metric, VectorSchema};
pub use segment::SegmentView;
