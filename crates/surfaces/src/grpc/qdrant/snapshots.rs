//! Methods of `Snapshots`.

use service::Error;
use service::collections::SnapshotDetails;

use super::unsupported;
use super::values::timestamp;
use crate::grpc::Call;
use crate::grpc::protocol::qdrant as wire;

fn described(snapshot: SnapshotDetails) -> wire::SnapshotDescription {
    wire::SnapshotDescription {
        name: snapshot.name,
        creation_time: Some(timestamp(snapshot.created_unix_ms)),
        size: i64::try_from(snapshot.bytes).unwrap_or(i64::MAX),
        checksum: None,
    }
}

/// `Create`.
///
/// # Errors
/// Those of [`service::Service::snapshot_create`].
pub async fn create(
    call: Call,
    request: wire::CreateSnapshotRequest,
) -> Result<wire::CreateSnapshotResponse, Error> {
    let snapshot = call
        .service()
        .snapshot_create(call.identity()?, &request.collection_name)
        .await?;
    Ok(wire::CreateSnapshotResponse {
        snapshot_description: Some(described(snapshot)),
        time: call.seconds(),
    })
}

/// `List`.
///
/// # Errors
/// Those of [`service::Service::snapshots_list`].
pub async fn list(
    call: Call,
    request: wire::ListSnapshotsRequest,
) -> Result<wire::ListSnapshotsResponse, Error> {
    let snapshots = call
        .service()
        .snapshots_list(call.identity()?, &request.collection_name)
        .await?;
    Ok(wire::ListSnapshotsResponse {
        snapshot_descriptions: snapshots.into_iter().map(described).collect(),
        time: call.seconds(),
    })
}

/// `Delete`.
///
/// # Errors
/// Those of [`service::Service::snapshot_delete`].
pub async fn delete(
    call: Call,
    request: wire::DeleteSnapshotRequest,
) -> Result<wire::DeleteSnapshotResponse, Error> {
    call.service()
        .snapshot_delete(
            call.identity()?,
            &request.collection_name,
            &request.snapshot_name,
        )
        .await?;
    Ok(wire::DeleteSnapshotResponse {
        time: call.seconds(),
    })
}

/// `CreateFull`.
///
/// # Errors
/// Always: snapshots are of one collection.
pub async fn create_full(
    _call: Call,
    _request: wire::CreateFullSnapshotRequest,
) -> Result<wire::CreateSnapshotResponse, Error> {
    Err(unsupported("snapshots of all collections in one are"))
}

/// `ListFull`.
///
/// # Errors
/// Always: snapshots are of one collection.
pub async fn list_full(
    _call: Call,
    _request: wire::ListFullSnapshotsRequest,
) -> Result<wire::ListSnapshotsResponse, Error> {
    Err(unsupported("snapshots of all collections in one are"))
}

/// `DeleteFull`.
///
/// # Errors
/// Always: snapshots are of one collection.
pub async fn delete_full(
    _call: Call,
    _request: wire::DeleteFullSnapshotRequest,
) -> Result<wire::DeleteSnapshotResponse, Error> {
    Err(unsupported("snapshots of all collections in one are"))
}
