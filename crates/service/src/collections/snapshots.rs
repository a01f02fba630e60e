//! Snapshots of collections: taking, listing, deleting, sending, receiving and restoring them.

use std::sync::Arc;

use futures::future::Either;
use security::Identity;
use vectors::VectorsError;
use vectors::database::Existing;
use vectors::storage::snapshot::Snapshot;

use super::call::{Call, used};
use super::failures::{exists, from_vectors, missing};
use super::streams::{Pieces, incoming, outgoing, pieces};
use super::tenants::Tenant;
use super::types::SnapshotDetails;
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;

/// Most snapshots of one collection: each keeps files of the past from going.
pub const SNAPSHOTS_MAX: usize = 1_000;
/// Characters of a collection's name that its snapshots' names begin with.
const NAME_CHARACTERS_MAX: usize = 100;

impl Service {
    /// The snapshots of a collection, by name. Damaged ones are left out and logged.
    ///
    /// # Errors
    /// `NotFound` for the collection.
    pub async fn snapshots_list(
        &self,
        identity: &Identity,
        collection: &str,
    ) -> Result<Vec<SnapshotDetails>> {
        let asked = collection.to_owned();
        self.with_tenant(identity, Call::read("snapshots"), move |tenant| {
            let (tenant, name) = place(tenant, &asked)?;
            let all = tenant.database.snapshots(&name).map_err(from_vectors)?;
            let sound = all.into_iter().filter_map(|snapshot| {
                snapshot
                    .inspect_err(|error| tracing::error!(%error, "a snapshot is damaged"))
                    .ok()
            });
            Ok(sound.map(details).collect())
        })
        .await
    }

    /// Takes a snapshot of a collection while it is read and written.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when there are too many already.
    pub async fn snapshot_create(
        &self,
        identity: &Identity,
        collection: &str,
    ) -> Result<SnapshotDetails> {
        let asked = collection.to_owned();
        let now = self.clock.unix().as_millis();
        self.with_tenant(identity, Call::manage("snapshot_create"), move |tenant| {
            let used = used(tenant, &asked)?;
            let taken = used.tenant.database.snapshots(&used.name);
            if taken.map_err(from_vectors)?.len() >= SNAPSHOTS_MAX {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "The collection has {SNAPSHOTS_MAX} snapshots already; delete one first."
                    ),
                ));
            }
            let name = snapshot_name(&used.name, now);
            let snapshot = used.collection.snapshot(&name).map_err(from_vectors)?;
            Ok(details(snapshot))
        })
        .await
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// `NotFound` for the collection or the snapshot.
    pub async fn snapshot_delete(
        &self,
        identity: &Identity,
        collection: &str,
        snapshot: &str,
    ) -> Result<()> {
        let (asked, snapshot) = (collection.to_owned(), snapshot.to_owned());
        self.with_tenant(identity, Call::manage("snapshot_delete"), move |tenant| {
            let (tenant, name) = place(tenant, &asked)?;
            let deleted = tenant.database.delete_snapshot(&name, &snapshot);
            deleted.map_err(|error| of_snapshot(error, &snapshot))
        })
        .await
    }

    /// A snapshot as one file, a tar archive, piece by piece. A reader that leaves ends it.
    ///
    /// # Errors
    /// `NotFound` for the collection or the snapshot; what goes wrong later is the last piece.
    pub async fn snapshot_download(
        &self,
        identity: &Identity,
        collection: &str,
        snapshot: &str,
    ) -> Result<Pieces> {
        let (asked, wanted) = (collection.to_owned(), snapshot.to_owned());
        let call = Call {
            lane: super::Lane::Read,
            ..Call::manage("snapshot_download")
        };
        let (tenant, name) = self
            .with_tenant(identity, call, move |tenant| {
                let (tenant, name) = place(tenant, &asked)?;
                let all = tenant.database.snapshots(&name).map_err(from_vectors)?;
                let known = all.iter().flatten().any(|one| one.name == wanted);
                if !known {
                    return Err(snapshot_missing(&wanted));
                }
                Ok((tenant, name))
            })
            .await?;
        let guard = self.enter()?;
        let (mut writer, receiver) = outgoing();
        let snapshot = snapshot.to_owned();
        // Its own thread, not a lane: a reader may take its time, and holds nothing but two megabytes.
        tokio::task::spawn_blocking(move || {
            let outcome = tenant
                .database
                .export_snapshot(&name, &snapshot, &mut writer);
            writer.finish(outcome.map(drop).map_err(from_vectors));
            drop(guard);
        });
        Ok(pieces(receiver))
    }

    /// Makes one of a collection's snapshots into the collection again; writes since then are gone.
    ///
    /// # Errors
    /// `NotFound`; `DataLoss` when a file is not as it was when the snapshot was taken: nothing has changed then.
    pub async fn snapshot_restore(
        &self,
        identity: &Identity,
        collection: &str,
        snapshot: &str,
    ) -> Result<()> {
        let (asked, snapshot) = (collection.to_owned(), snapshot.to_owned());
        self.with_tenant(identity, Call::manage("snapshot_restore"), move |tenant| {
            let (tenant, name) = place(tenant, &asked)?;
            let restored = tenant
                .database
                .restore(&name, &snapshot, &name, Existing::Replace);
            restored
                .map(drop)
                .map_err(|error| of_snapshot(error, &snapshot))
        })
        .await
    }

    /// Makes an archive that [`Service::snapshot_download`] sent, here or elsewhere, into a collection: a new one, or in the
    /// place of the one there is.
    ///
    /// # Errors
    /// `InvalidRequest` when it is not such an archive or too large; `DataLoss` when a file in it is not as it was. The
    /// collection stays as it was then.
    pub async fn snapshot_upload(
        &self,
        identity: &Identity,
        collection: &str,
        archive: Pieces,
    ) -> Result<()> {
        let asked = collection.to_owned();
        let limit = self.collections.snapshot_bytes_max;
        let (mut reader, pump) = incoming(archive);
        let restoring = self.in_tenant(
            identity,
            Call::manage("snapshot_upload"),
            move |tenants, tenant| {
                let tenant = tenants.find_or_create(&tenant)?;
                let name = tenant.resolve(&asked);
                let restored =
                    tenant
                        .database
                        .restore_archive(&mut reader, limit, &name, Existing::Replace);
                match (restored, reader.failure()) {
                    (Ok(_), _) => give_way_to_alias(&tenant, &name),
                    (Err(_), Some(failure)) => Err(failure),
                    (Err(error), None) => Err(from_vectors(error)),
                }
            },
        );
        // Whichever ends first: a refusal does not wait for the rest of the archive.
        futures::pin_mut!(restoring, pump);
        match futures::future::select(restoring, pump).await {
            Either::Left((restored, _)) => restored,
            Either::Right(((), restoring)) => restoring.await,
        }
    }
}

/// A new collection whose name became an alias while its archive was on its way ends again: a name is one thing.
fn give_way_to_alias(tenant: &Tenant, name: &str) -> Result<()> {
    let _naming = tenant.naming();
    if tenant.aliases.target(name).is_none() {
        return Ok(());
    }
    let deleted = tenant.database.delete_collection(name);
    deleted.map_err(from_vectors)?;
    Err(exists(name))
}

/// The tenant's parts and the own name of a collection that there is, opened or not.
fn place(tenant: Option<Arc<Tenant>>, asked: &str) -> Result<(Arc<Tenant>, String)> {
    let tenant = tenant.ok_or_else(|| missing(asked))?;
    let name = tenant.resolve(asked);
    if !tenant.database.contains(&name) {
        return Err(missing(&name));
    }
    Ok((tenant, name))
}

fn snapshot_missing(name: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("Snapshot `{name}` doesn't exist!"),
    )
    .with_code("snapshot_not_found")
}

fn of_snapshot(error: VectorsError, name: &str) -> Error {
    match error {
        VectorsError::Missing { .. } => snapshot_missing(name),
        // A text that cannot be a name names nothing.
        VectorsError::Invalid { ref field, .. } if field == "snapshot" => snapshot_missing(name),
        error => from_vectors(error),
    }
}

fn details(snapshot: Snapshot) -> SnapshotDetails {
    SnapshotDetails {
        bytes: snapshot.bytes(),
        name: snapshot.name,
        created_unix_ms: snapshot.created_unix_ms,
    }
}

/// `<collection>-<milliseconds>.snapshot`, of the characters that such a name may have.
fn snapshot_name(collection: &str, now_unix_ms: u128) -> String {
    let allowed = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => character,
        _ => '_',
    };
    let start: String = collection
        .chars()
        .take(NAME_CHARACTERS_MAX)
        .map(allowed)
        .collect();
    format!("{start}-{now_unix_ms}.snapshot")
}
