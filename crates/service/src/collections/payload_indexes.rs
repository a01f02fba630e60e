//! Indexes on fields of payloads.

use security::Identity;
use vectors::filter::FieldPath;
use vectors::payload::PayloadIndexKind;

use super::call::Call;
use crate::error::Result;
use crate::service::Service;

impl Service {
    /// Makes an index on a field, in place of the one of the same kind there. Returns when every segment has it, or for want
    /// of memory waits for it; reads and writes go on meanwhile.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` for settings that make no sense or too many indexes; `Overloaded` when the memory budget
    /// has no room.
    pub async fn payload_index_create(
        &self,
        identity: &Identity,
        collection: &str,
        key: FieldPath,
        kind: PayloadIndexKind,
    ) -> Result<()> {
        self.with_collection(
            identity,
            Call::manage("payload_index_create"),
            collection,
            move |used| used.collection.create_payload_index(&key, kind),
        )
        .await
    }

    /// Drops the indexes of a field; false when there was none.
    ///
    /// # Errors
    /// `NotFound` for the collection.
    pub async fn payload_index_delete(
        &self,
        identity: &Identity,
        collection: &str,
        key: FieldPath,
    ) -> Result<bool> {
        self.with_collection(
            identity,
            Call::manage("payload_index_delete"),
            collection,
            move |used| used.collection.delete_payload_index(&key),
        )
        .await
    }
}
