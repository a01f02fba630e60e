//! Writing points, payloads and vectors.

use std::collections::BTreeMap;

use security::Identity;
use vectors::collection::{Operation, Selection, WriteOptions, WriteOutcome};
use vectors::filter::FieldPath;
use vectors::point::{Payload, Point, PointId, Vector};

use super::call::Call;
use crate::error::Result;
use crate::service::Service;

impl Service {
    /// Stores points, replacing those with the same ids as a whole.
    ///
    /// # Errors
    /// `NotFound`; `InvalidRequest` naming the point at fault; `Conflict` when a version was expected that is not there;
    /// `Overloaded` when the memory budget has no room: nothing was written then.
    pub async fn points_upsert(
        &self,
        identity: &Identity,
        collection: &str,
        points: Vec<Point>,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        self.points_apply(identity, collection, Operation::Upsert(points), options)
            .await
    }

    /// Deletes points.
    ///
    /// # Errors
    /// `NotFound` for the collection; ids that are not stored are passed over.
    pub async fn points_delete(
        &self,
        identity: &Identity,
        collection: &str,
        selection: Selection,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        let operation = Operation::Delete(selection);
        self.points_apply(identity, collection, operation, options)
            .await
    }

    /// Sets keys of payloads, in the objects at `at` or in the payload itself, and keeps the other keys.
    ///
    /// # Errors
    /// As [`Service::points_upsert`].
    pub async fn payload_set(
        &self,
        identity: &Identity,
        collection: &str,
        selection: Selection,
        payload: Payload,
        at: Option<FieldPath>,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        let operation = Operation::SetPayload {
            selection,
            payload,
            at,
        };
        self.points_apply(identity, collection, operation, options)
            .await
    }

    /// Replaces payloads as a whole.
    ///
    /// # Errors
    /// As [`Service::points_upsert`].
    pub async fn payload_overwrite(
        &self,
        identity: &Identity,
        collection: &str,
        selection: Selection,
        payload: Payload,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        let operation = Operation::OverwritePayload { selection, payload };
        self.points_apply(identity, collection, operation, options)
            .await
    }

    /// Takes keys out of payloads.
    ///
    /// # Errors
    /// As [`Service::points_upsert`].
    pub async fn payload_delete(
        &self,
        identity: &Identity,
        collection: &str,
        selection: Selection,
        keys: Vec<FieldPath>,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        let operation = Operation::DeletePayloadKeys { selection, keys };
        self.points_apply(identity, collection, operation, options)
            .await
    }

    /// Empties payloads.
    ///
    /// # Errors
    /// As [`Service::points_upsert`].
    pub async fn payload_clear(
        &self,
        identity: &Identity,
        collection: &str,
        selection: Selection,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        let operation = Operation::ClearPayload { selection };
        self.points_apply(identity, collection, operation, options)
            .await
    }

    /// Replaces named vectors of points and keeps the others.
    ///
    /// # Errors
    /// As [`Service::points_upsert`].
    pub async fn vectors_update(
        &self,
        identity: &Identity,
        collection: &str,
        vectors: Vec<(PointId, BTreeMap<String, Vector>)>,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        let operation = Operation::UpdateVectors(vectors);
        self.points_apply(identity, collection, operation, options)
            .await
    }

    /// Takes named vectors away from points.
    ///
    /// # Errors
    /// As [`Service::points_upsert`].
    pub async fn vectors_delete(
        &self,
        identity: &Identity,
        collection: &str,
        selection: Selection,
        names: Vec<String>,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        let operation = Operation::DeleteVectors { selection, names };
        self.points_apply(identity, collection, operation, options)
            .await
    }

    /// Does several operations, one after another; waits for the disk once, at the end. Those before a failing one stay done.
    ///
    /// # Errors
    /// As the operations.
    pub async fn points_batch(
        &self,
        identity: &Identity,
        collection: &str,
        operations: Vec<Operation>,
        options: WriteOptions,
    ) -> Result<Vec<WriteOutcome>> {
        let options = self.durability(options);
        self.with_collection(identity, Call::write("batch"), collection, move |used| {
            used.collection.batch(operations, &options)
        })
        .await
    }

    /// Does one operation.
    ///
    /// # Errors
    /// As [`Service::points_upsert`].
    pub async fn points_apply(
        &self,
        identity: &Identity,
        collection: &str,
        operation: Operation,
        options: WriteOptions,
    ) -> Result<WriteOutcome> {
        let options = self.durability(options);
        let call = Call::write(name_of(&operation));
        self.with_collection(identity, call, collection, move |used| {
            used.collection.apply(operation, &options)
        })
        .await
    }

    /// Waits for the disk where the configuration says that every write does.
    fn durability(&self, mut options: WriteOptions) -> WriteOptions {
        options.wait |= self.collections.always_durable;
        options
    }
}

/// An operation's name in the metrics.
fn name_of(operation: &Operation) -> &'static str {
    match operation {
        Operation::Upsert(_) => "upsert",
        Operation::Delete(_) => "delete_points",
        Operation::UpdateVectors(_) => "vectors_update",
        Operation::DeleteVectors { .. } => "vectors_delete",
        Operation::SetPayload { .. } => "payload_set",
        Operation::OverwritePayload { .. } => "payload_overwrite",
        Operation::DeletePayloadKeys { .. } => "payload_delete",
        Operation::ClearPayload { .. } => "payload_clear",
    }
}
