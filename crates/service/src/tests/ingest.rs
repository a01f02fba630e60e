//! Documents into collections: whole or not at all, once, and only one's own.

use std::sync::Arc;

use futures::StreamExt;
use security::{Scope, Scopes};

use super::{bench, identity};
use crate::ingest::{
    ChunkingChoice, IngestEvent, IngestOptions, IngestReport, SearchMode, SourceState, TextSearch,
};
use crate::{Error, ErrorKind, Identity, Service};

fn writer(tenant: &str) -> Identity {
    let scopes: Scopes = [Scope::CollectionsManage, Scope::Inference]
        .into_iter()
        .collect();
    identity(tenant, scopes)
}

fn options() -> IngestOptions {
    IngestOptions {
        model: Some("vectors".into()),
        // The scripted model counts bytes.
        chunking: ChunkingChoice {
            size: Some(40),
            overlap: Some(0),
            ..ChunkingChoice::default()
        },
        ..IngestOptions::default()
    }
}

async fn put(
    service: &Arc<Service>,
    who: &Identity,
    source: &str,
    bytes: &[u8],
    options: IngestOptions,
) -> Result<(IngestReport, Vec<IngestEvent>), Error> {
    let mut upload = service.file_begin(who, None).await?;
    upload.write(bytes).await?;
    let mut events = service.ingest(who, "docs", source, upload, options).await?;
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        match event? {
            IngestEvent::Done(report) => return Ok((report, seen)),
            event => seen.push(event),
        }
    }
    panic!("the events ended without an end");
}

const TEXT: &[u8] = b"# Keys\n\nKeys are rotated weekly.\n\n# Cats\n\nCats sleep all day long.\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_once_and_replaced_when_it_changes() {
    let bench = bench(Vec::new()).await;
    let (service, who) = (Arc::new(bench.service), writer("acme"));
    let (report, _) = put(&service, &who, "a.md", TEXT, options())
        .await
        .expect("stored");
    assert_eq!((report.chunks, report.replaced, report.faults), (2, 0, 0));
    assert_eq!(report.model, "vectors");
    let (again, _) = put(&service, &who, "a.md", TEXT, options())
        .await
        .expect("known");
    assert!(again.unchanged);
    let found = service
        .search_text(
            &who,
            "docs",
            TextSearch {
                query: "rotating keys".into(),
                mode: SearchMode::Words,
                limit: 5,
                ..TextSearch::default()
            },
        )
        .await
        .expect("found");
    let payload = &found[0].payload;
    assert_eq!(payload["text"], "# Keys\n\nKeys are rotated weekly.");
    assert_eq!(payload["headings"][0], "Keys");
    assert_eq!(
        (payload["start"].as_u64(), payload["end"].as_u64()),
        (Some(0), Some(32))
    );
    let (changed, _) = put(&service, &who, "a.md", b"Only this.", options())
        .await
        .expect("changed");
    assert_eq!((changed.chunks, changed.replaced), (1, 2));
    let sources = service.ingest_sources(&who, "docs").await.expect("sources");
    assert_eq!((sources[0].source.as_str(), sources[0].chunks), ("a.md", 1));
    assert_eq!(service.ingest_remove(&who, "docs", "a.md").await, Ok(1));
    assert!(service.ingest_remove(&who, "docs", "a.md").await.is_err());
    let hash = "0".repeat(64);
    let state = service
        .ingest_state(&who, "docs", "a.md", &hash, &options())
        .await;
    assert_eq!(state, Ok(SourceState::New));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_its_earlier_version_and_faults_are_told() {
    let bench = bench(Vec::new()).await;
    let (service, who) = (Arc::new(bench.service), writer("acme"));
    put(&service, &who, "a.txt", b"good text", options())
        .await
        .expect("stored");
    let mut torn = "words and words. ".repeat(20_000).into_bytes();
    torn.push(0xff);
    let (report, _) = put(&service, &who, "a.txt", &torn, options())
        .await
        .expect("told");
    let failure = report.failure.expect("a failure");
    assert_eq!(failure.message, "is not UTF-8 text");
    assert_eq!(failure.place, "byte 340000");
    let left = service.points_count(&who, "docs", None).await;
    assert_eq!(
        left,
        Ok(1),
        "the earlier version, and nothing of the broken one"
    );
    let csv = b"a,b\n1,2\n1,2,3\n";
    let (report, events) = put(&service, &who, "a.csv", csv, options())
        .await
        .expect("stored");
    assert_eq!((report.chunks, report.faults), (1, 1));
    assert!(
        events.iter().any(
            |event| matches!(event, IngestEvent::Fault(fault) if fault.place == "row 2, line 3")
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_stores_nothing_and_rights_are_checked() {
    let bench = bench(Vec::new()).await;
    let (service, who) = (Arc::new(bench.service), writer("acme"));
    let dry = IngestOptions {
        dry_run: true,
        ..options()
    };
    let (report, _) = put(&service, &who, "a.md", TEXT, dry).await.expect("read");
    assert_eq!(report.chunks, 2);
    assert_eq!(service.collection_exists(&who, "docs").await, Ok(false));
    let only_writes = identity(
        "acme",
        [Scope::CollectionsWrite, Scope::Inference]
            .into_iter()
            .collect::<Scopes>(),
    );
    let error = put(&service, &only_writes, "a.md", TEXT, options())
        .await
        .expect_err("may not make collections");
    assert_eq!(error.kind, ErrorKind::Forbidden);
    put(&service, &who, "a.md", TEXT, options())
        .await
        .expect("stored");
    let stranger = writer("other");
    let error = service
        .ingest_sources(&stranger, "docs")
        .await
        .expect_err("not theirs");
    assert_eq!(error.kind, ErrorKind::NotFound);
    let wide = IngestOptions {
        chunking: ChunkingChoice {
            size: Some(10),
            overlap: Some(10),
            ..ChunkingChoice::default()
        },
        ..options()
    };
    let error = put(&service, &who, "b.md", TEXT, wide)
        .await
        .expect_err("refused");
    assert_eq!(error.field.as_deref(), Some("chunk_overlap"));
    let files = bench._directory.path().join("files/acme");
    let left = std::fs::read_dir(files).expect("listed").count();
    assert_eq!(left, 0, "what was uploaded to be read is gone");
}
