//! Settings for the gRPC surface, which brings them in the JSON spelling of REST: what they mean, what is refused and what a
//! collection tells about itself is then decided once.

use serde_json::Value;
use service::Error;
use service::collections::{
    CollectionDetails, CollectionSchema, CollectionUpdate, PayloadIndexKind,
};

use super::{convert, indexes, shown};
use crate::body::read;

/// The schema that a request for a new collection means.
///
/// # Errors
/// A value that makes no sense or is not supported.
pub fn schema_of(body: &Value) -> Result<CollectionSchema, Error> {
    convert::schema(read(body)?)
}

/// The changes that a request means for a collection with `schema`.
///
/// # Errors
/// As [`schema_of`].
pub fn update_of(body: &Value, schema: &CollectionSchema) -> Result<CollectionUpdate, Error> {
    convert::update(read(body)?, schema)
}

/// The index that a `field_schema` means.
///
/// # Errors
/// As [`schema_of`].
pub fn index_kind_of(schema: &Value) -> Result<PayloadIndexKind, Error> {
    indexes::kind(schema)
}

/// A collection as REST shows it.
pub fn described(details: &CollectionDetails) -> Value {
    shown::collection(details)
}
