//! One file on its way into its collection.

use std::pin::Pin;
use std::sync::Arc;

use documents::{LoadOptions, Source};
use futures::Stream;
use security::{Action, Identity};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use vectors::collection::{Operation, Selection, WriteOptions};
use vectors::point::Point;

use super::model::BlockingModel;
use super::points::{self, Origin};
use super::reading::{self, Ended, Part};
use super::target::Target;
use super::types::{IngestEvent, IngestOptions, IngestReport};
use super::{INGESTS_MAX, SourceState};
use crate::collections::Input;
use crate::error::{Error, ErrorKind, Result};
use crate::failures;
use crate::files::{Spooled, Upload};
use crate::generation::InFlight;
use crate::prepare;
use crate::service::Service;

/// What happens, in order; the last is [`IngestEvent::Done`] or an error. Dropping it stops the work.
pub type IngestEvents = Pin<Box<dyn Stream<Item = Result<IngestEvent>> + Send>>;

/// Events that wait for a slow reader before the work does.
const EVENTS_MAX: usize = 16;
/// Batches between the reading thread and the storing task.
const PARTS_MAX: usize = 2;
/// Longest name of a source.
const SOURCE_BYTES_MAX: usize = 1024;

impl Service {
    /// Puts an uploaded file into a collection under the name `source`, in the place of the version that is there. The collection is made when it is
    /// missing, with an unnamed dense vector and the sparse vector `bm25`.
    ///
    /// # Errors
    /// `Forbidden` for a key that may not write collections, or not embed, or not make the missing collection;
    /// `NotFound` for the model; `InvalidRequest` naming the option; `Overloaded` when [`super::INGESTS_MAX`] files are
    /// being read; what goes wrong later is in the stream.
    pub async fn ingest(
        self: &Arc<Self>,
        identity: &Identity,
        collection: &str,
        source: &str,
        upload: Upload,
        options: IngestOptions,
    ) -> Result<IngestEvents> {
        self.authorize(Some(identity), Action::WriteCollections)?;
        self.authorize(Some(identity), Action::Embed)?;
        check_source(source)?;
        let guard = self.enter()?;
        let target = self.ingest_target(identity, collection, &options).await?;
        if !target.exists && !options.dry_run {
            self.authorize(Some(identity), Action::ManageCollections)?;
        }
        let room = Arc::clone(&self.ingests.room);
        let permit = room.try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::Overloaded,
                format!("{INGESTS_MAX} files are being read already."),
            )
            .retry_after(std::time::Duration::from_secs(1))
        })?;
        let file = self.file_spool(upload).await?;
        let version = points::version(file.sha256(), &target, &options);
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let work = Work {
            service: Arc::clone(self),
            identity: identity.clone(),
            collection: collection.to_owned(),
            report: IngestReport {
                source: source.to_owned(),
                model: target.model.clone(),
                ..IngestReport::default()
            },
            source: source.to_owned(),
            file,
            options,
            target,
            version,
            events,
            first: None,
            batch: Vec::new(),
            stored: 0,
        };
        tokio::spawn(work.run(permit, guard));
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

pub(super) fn check_source(source: &str) -> Result<()> {
    if source.is_empty() || source.len() > SOURCE_BYTES_MAX {
        return Err(Error::invalid(
            "source",
            format!("The name of a source has 1 to {SOURCE_BYTES_MAX} bytes."),
        ));
    }
    Ok(())
}

struct Work {
    service: Arc<Service>,
    identity: Identity,
    collection: String,
    source: String,
    file: Spooled,
    options: IngestOptions,
    target: Target,
    version: String,
    events: Sender<Result<IngestEvent>>,
    report: IngestReport,
    /// The point that says that the version is complete.
    first: Option<Point<Input>>,
    batch: Vec<Point<Input>>,
    stored: u64,
}

/// What ended the work before its end.
enum Failed {
    Error(Error),
    Unwanted,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Error(error)
    }
}

impl Work {
    async fn run(mut self, permit: OwnedSemaphorePermit, guard: InFlight) {
        let last = match self.put_in().await {
            Ok(()) => Some(Ok(IngestEvent::Done(self.report.clone()))),
            Err(Failed::Error(error)) => Some(Err(error)),
            Err(Failed::Unwanted) => None,
        };
        drop((permit, guard));
        if let Some(last) = last {
            // Whoever asked may have left.
            drop(self.events.send(last).await);
        }
    }

    async fn put_in(&mut self) -> Result<(), Failed> {
        let dry_run = self.options.dry_run;
        let state = self
            .service
            .version_state(
                &self.identity,
                &self.collection,
                &self.source,
                &self.version,
                &self.target,
            )
            .await?;
        if state == SourceState::Unchanged {
            self.report.unchanged = true;
            return Ok(());
        }
        if !dry_run {
            self.service
                .ingest_collection(&self.identity, &self.collection, &self.target)
                .await?;
        }
        let read = self.read().await;
        match read {
            Ok(()) if dry_run => Ok(()),
            Ok(()) => self.complete().await,
            Err(failed) => {
                if !dry_run {
                    self.undo().await;
                }
                failed
            }
        }
    }

    /// Reads and stores all but the first chunk. The error is what the work ends with: nothing for a fault of the file,
    /// which is in the report.
    async fn read(&mut self) -> Result<(), Result<(), Failed>> {
        let found = self.service.catalog.find(&self.target.model).await;
        let found = found.map_err(|error| Err(error.into()))?;
        let load = prepare::load_options(&self.service.load, &found.manifest);
        let lease = prepare::acquire(&self.service.runtime, &found, &load, None, None).await;
        let model = BlockingModel {
            service: Arc::clone(&self.service),
            identity: self.identity.clone(),
            name: self.target.model.clone(),
            lease: lease.map_err(|error| Err(error.into()))?,
            runtime: Handle::current(),
        };
        let source = Source::File {
            path: self.file.path().to_owned(),
            name: self.source.clone(),
        };
        let load = LoadOptions {
            kind: self.options.kind,
            records: self.options.records.clone(),
            ..LoadOptions::default()
        };
        let chunking = self.target.chunking;
        let (sender, mut parts) = mpsc::channel(PARTS_MAX);
        let reader = tokio::task::spawn_blocking(move || {
            reading::read(&source, &load, chunking, model, &sender)
        });
        let mut taken = Ok(());
        while let Some(part) = parts.recv().await {
            taken = self.take(part).await;
            if taken.is_err() {
                break;
            }
        }
        // The reader learns that nobody listens.
        drop(parts);
        let read = reader
            .await
            .map_err(|error| Err(failures::internal(error).into()))?;
        taken.map_err(Err)?;
        match read {
            Ok(()) => Ok(()),
            Err(Ended::File(fault)) => {
                self.report.failure = Some(fault);
                Err(Ok(()))
            }
            Err(Ended::Server(error)) => Err(Err(error.into())),
            Err(Ended::Unwanted) => Err(Err(Failed::Unwanted)),
        }
    }

    async fn take(&mut self, part: Part) -> Result<(), Failed> {
        let event = match part {
            Part::Fault(fault) => {
                self.report.faults += 1;
                IngestEvent::Fault(fault)
            }
            Part::Chunks(chunks) => {
                let origin = Origin {
                    source: &self.source,
                    version: &self.version,
                    target: &self.target,
                    attributes: &self.options.attributes,
                };
                for (chunk, piece) in chunks {
                    let number = self.report.chunks;
                    self.report.chunks += 1;
                    self.report.tokens += chunk.tokens as u64;
                    if self.options.dry_run {
                        continue;
                    }
                    let point = points::point(&origin, number, chunk, &piece);
                    if number == 0 {
                        self.first = Some(point);
                    } else {
                        self.batch.push(point);
                    }
                }
                let batch = std::mem::take(&mut self.batch);
                self.store(batch, false).await?;
                IngestEvent::Progress {
                    chunks: self.report.chunks,
                    stored: self.stored,
                    tokens: self.report.tokens,
                }
            }
        };
        let sent = self.events.send(Ok(event)).await;
        sent.map_err(|_| Failed::Unwanted)
    }

    /// Embeds and stores points; the last ones wait for the disk, and with them all before.
    async fn store(&mut self, points: Vec<Point<Input>>, wait: bool) -> Result<()> {
        if points.is_empty() {
            return Ok(());
        }
        let count = points.len() as u64;
        let operations = vec![Operation::Upsert(points)];
        let embedded = self
            .service
            .embed_operations(&self.identity, &self.collection, operations)
            .await?;
        let options = WriteOptions {
            wait,
            ..WriteOptions::default()
        };
        self.service
            .points_batch(&self.identity, &self.collection, embedded.value, options)
            .await?;
        self.stored += count;
        Ok(())
    }

    /// Writes the first chunk, then takes the other versions away.
    async fn complete(&mut self) -> Result<(), Failed> {
        let first: Vec<Point<Input>> = self.first.take().into_iter().collect();
        self.store(first, true).await?;
        let old = points::of_other_versions(&self.source, &self.version);
        let (service, identity) = (&self.service, &self.identity);
        let collection = &self.collection;
        let count = service
            .points_count(identity, collection, Some(old.clone()))
            .await?;
        if count > 0 {
            service
                .points_delete(
                    identity,
                    collection,
                    Selection::Filter(old),
                    WriteOptions::durable(),
                )
                .await?;
        }
        self.report.replaced = count;
        Ok(())
    }

    /// Takes away what was stored of a version that is not complete.
    async fn undo(&mut self) {
        if self.stored == 0 {
            return;
        }
        let part = points::of_version(&self.source, &self.version);
        let undone = self
            .service
            .points_delete(
                &self.identity,
                &self.collection,
                Selection::Filter(part),
                WriteOptions::durable(),
            )
            .await;
        if let Err(error) = undone {
            tracing::warn!(collection = self.collection, source = self.source, %error, "part of a file that could not be read stayed in its collection");
        }
    }
}
