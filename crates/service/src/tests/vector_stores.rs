//! Vector stores over a scripted embedder, whose tokens are bytes: what becomes of files, who waits for whom, what a crash
//! and the clock leave.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use platform::Clock;
use serde_json::{Map, Value, json};

use super::scripted::Scripted;
use super::{identity, options_in};
use crate::files::{FilePurpose, NewFile, StoredFile};
use crate::vector_stores::{
    Attachment, AttachmentState, AttributeFilter, Chunking, Comparison, NewStoreFile,
    NewVectorStore, Ranking, StoreSearch, VectorStore, VectorStoreChange,
};
use crate::{
    Error, ErrorKind, Identity, PageRequest, Scope, Service, ServiceOptions, VectorStoreOptions,
};

/// A service over a directory of the test's own, which a later one may open again.
struct Shelf {
    service: Arc<Service>,
    runtime: Arc<Scripted>,
}

/// One that works on the files of vector stores.
async fn shelf(directory: &Path, clock: &Clock) -> Shelf {
    let shelf = still(directory, clock).await;
    shelf.service.begin_background();
    shelf
}

/// One that does nothing by itself.
async fn still(directory: &Path, clock: &Clock) -> Shelf {
    still_with(directory, clock, "vectors").await
}

async fn still_with(directory: &Path, clock: &Clock, model: &str) -> Shelf {
    let options = ServiceOptions {
        clock: clock.clone(),
        vector_stores: VectorStoreOptions::new(model),
        ..options_in(directory, None).await
    };
    let runtime = Arc::new(Scripted::new(Vec::new()));
    Shelf {
        service: Arc::new(Service::assemble(options, runtime.clone())),
        runtime,
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("directory")
}

fn owner() -> Identity {
    identity("acme", Scope::Admin)
}

async fn upload(service: &Service, who: &Identity, name: &str, bytes: &[u8]) -> StoredFile {
    let mut upload = service.file_begin(who, None).await.expect("begin");
    for piece in bytes.chunks(1_000) {
        upload.write(piece).await.expect("write");
    }
    let new = NewFile {
        filename: name.into(),
        purpose: FilePurpose::Assistants,
        expires_after: None,
    };
    service.file_finish(who, upload, new).await.expect("finish")
}

async fn store(service: &Service, who: &Identity) -> VectorStore {
    service
        .vector_store_create(who, NewVectorStore::default())
        .await
        .expect("store")
}

fn of_file(file: &StoredFile) -> NewStoreFile {
    NewStoreFile {
        file_id: file.id.clone(),
        attributes: Map::new(),
        chunking: Chunking::Auto,
    }
}

fn search(query: &str) -> StoreSearch {
    StoreSearch {
        queries: vec![query.into()],
        filter: None,
        limit: 50,
        ranking: Ranking::default(),
        score_threshold: 0.0,
    }
}

/// Waits until a file is no longer worked on.
async fn settled(service: &Service, who: &Identity, store: &str, file: &str) -> Attachment {
    for _ in 0..4_000 {
        let seen = service
            .vector_store_file(who, store, file)
            .await
            .expect("file");
        if seen.state != AttachmentState::InProgress {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{file} is still worked on");
}

async fn points(service: &Service, who: &Identity, store: &str) -> u64 {
    service.points_count(who, store, None).await.expect("count")
}

/// Waits until a collection has so many points.
async fn has_points(service: &Service, who: &Identity, store: &str, wanted: u64) {
    for _ in 0..4_000 {
        if points(service, who, store).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!(
        "{store} has {} points, not {wanted}",
        points(service, who, store).await
    );
}

/// Sentences that are found in order.
fn text(sentences: usize) -> String {
    (0..sentences)
        .map(|number| format!("Sentence number {number} is about item{number}. "))
        .collect()
}

#[tokio::test]
async fn a_file_becomes_points_that_are_found_and_goes_again() {
    let directory = scratch();
    let bench = shelf(directory.path(), &Clock::system()).await;
    let (service, who) = (&bench.service, owner());
    let store = store(service, &who).await;
    let text = text(40);
    let file = upload(service, &who, "items.txt", text.as_bytes()).await;
    let mut new = of_file(&file);
    new.attributes = json!({"kind": "list", "size": 40})
        .as_object()
        .cloned()
        .expect("object");
    let begun = service
        .vector_store_attach(&who, &store.id, new)
        .await
        .expect("attach");
    // The model reads 128 tokens at once, some of which are its own.
    assert_eq!((begun.chunk_tokens, begun.overlap_tokens), (120, 60));
    let done = settled(service, &who, &store.id, &file.id).await;
    assert_eq!(done.state, AttachmentState::Completed, "{done:?}");
    assert!(done.chunks > 10 && done.usage_bytes > text.len() as u64);
    assert_eq!(points(service, &who, &store.id).await, done.chunks);
    let content = service
        .vector_store_file_content(&who, &store.id, &file.id, 0)
        .await
        .expect("content");
    assert_eq!(content.texts.len() as u64, done.chunks);
    assert!(text.starts_with(&content.texts[0]) && content.next.is_none());
    let found = service
        .vector_store_search(&who, &store.id, search("item17"))
        .await
        .expect("search");
    assert!(found[0].text.contains("item17"), "{found:?}");
    assert_eq!(
        (found[0].filename.as_str(), &found[0].attributes["size"]),
        ("items.txt", &json!(40))
    );
    assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
    let of_kind = |kind: &str| StoreSearch {
        filter: Some(AttributeFilter::Compare {
            key: "kind".into(),
            comparison: Comparison::Equal,
            value: json!(kind),
        }),
        ..search("item17")
    };
    let other = service
        .vector_store_search(&who, &store.id, of_kind("other"))
        .await;
    assert_eq!(other.expect("search"), []);
    let described = json!({"kind": "other"})
        .as_object()
        .cloned()
        .expect("object");
    service
        .vector_store_file_describe(&who, &store.id, &file.id, described)
        .await
        .expect("describe");
    let other = service
        .vector_store_search(&who, &store.id, of_kind("other"))
        .await;
    assert!(!other.expect("search").is_empty());
    service
        .vector_store_file_remove(&who, &store.id, &file.id)
        .await
        .expect("remove");
    assert_eq!(points(service, &who, &store.id).await, 0);
    let missing = service.vector_store_file(&who, &store.id, &file.id).await;
    assert_eq!(missing.expect_err("gone").kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_a_code() {
    let directory = scratch();
    let bench = shelf(directory.path(), &Clock::system()).await;
    let (service, who) = (&bench.service, owner());
    let store = store(service, &who).await;
    for (name, bytes, code) in [
        ("broken.pdf", b"%PDF-1.7 nothing".as_slice(), "invalid_file"),
        ("not.docx", b"plain words", "invalid_file"),
        ("blob", b"\x00\x01\x02\xff", "unsupported_file"),
        ("blank.txt", b" \n ", "invalid_file"),
    ] {
        let file = upload(service, &who, name, bytes).await;
        service
            .vector_store_attach(&who, &store.id, of_file(&file))
            .await
            .expect("attach");
        let failed = settled(service, &who, &store.id, &file.id).await;
        assert_eq!(failed.state, AttachmentState::Failed, "{name}");
        assert_eq!(failed.error.expect("error").0, code, "{name}");
    }
    let seen = service.vector_store(&who, &store.id).await.expect("store");
    assert_eq!((seen.counts.failed, seen.counts.total()), (4, 4));
    assert_eq!(points(service, &who, &store.id).await, 0);
}

#[tokio::test]
async fn work_that_was_not_begun_is_done_by_the_next_start() {
    let directory = scratch();
    let who = owner();
    let (store, file) = {
        let bench = still(directory.path(), &Clock::system()).await;
        let store = store(&bench.service, &who).await;
        let file = upload(&bench.service, &who, "a.txt", text(3).as_bytes()).await;
        bench
            .service
            .vector_store_attach(&who, &store.id, of_file(&file))
            .await
            .expect("attach");
        (store, file)
    };
    let bench = shelf(directory.path(), &Clock::system()).await;
    let done = settled(&bench.service, &who, &store.id, &file.id).await;
    assert_eq!(done.state, AttachmentState::Completed, "{done:?}");
}

/// Stops a process in the middle of a file, as far as one process can do that to another in it, and goes on elsewhere.
#[test]
fn work_that_was_cut_off_begins_anew_and_leaves_no_chunk_twice() {
    let directory = scratch();
    let who = owner();
    let long = text(800);
    let first = tokio::runtime::Runtime::new().expect("runtime");
    let (store, file, partial) = first.block_on(async {
        let bench = shelf(directory.path(), &Clock::system()).await;
        let store = store(&bench.service, &who).await;
        let file = upload(&bench.service, &who, "long.txt", long.as_bytes()).await;
        // The third call for vectors never ends.
        bench.runtime.hang_embeds_after(2);
        bench
            .service
            .vector_store_attach(&who, &store.id, of_file(&file))
            .await
            .expect("attach");
        loop {
            let seen = bench
                .service
                .vector_store_file(&who, &store.id, &file.id)
                .await;
            let seen = seen.expect("file");
            assert_eq!(seen.state, AttachmentState::InProgress);
            if seen.chunks > 0 {
                break (store, file, seen.chunks);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    first.shutdown_timeout(Duration::from_secs(5));
    let second = tokio::runtime::Runtime::new().expect("runtime");
    second.block_on(async {
        let bench = shelf(directory.path(), &Clock::system()).await;
        let done = settled(&bench.service, &who, &store.id, &file.id).await;
        assert_eq!(done.state, AttachmentState::Completed, "{done:?}");
        assert!(done.chunks > partial);
        assert_eq!(points(&bench.service, &who, &store.id).await, done.chunks);
    });
}

#[tokio::test]
async fn a_cancelled_batch_leaves_no_points_of_what_was_not_done() {
    let directory = scratch();
    let bench = shelf(directory.path(), &Clock::system()).await;
    let (service, who) = (&bench.service, owner());
    let store = store(service, &who).await;
    bench.runtime.hang_embeds_after(2);
    let mut files = Vec::new();
    for number in 0..4 {
        let name = format!("{number}.txt");
        files.push(of_file(
            &upload(service, &who, &name, text(800).as_bytes()).await,
        ));
    }
    let batch = service
        .vector_store_batch_create(&who, &store.id, files)
        .await
        .expect("batch");
    assert_eq!(
        (batch.counts.in_progress, batch.state()),
        (4, AttachmentState::InProgress)
    );
    while points(service, &who, &store.id).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cancelled = service
        .vector_store_batch_cancel(&who, &store.id, &batch.id)
        .await
        .expect("cancel");
    assert_eq!(
        (cancelled.counts.cancelled, cancelled.state()),
        (4, AttachmentState::Cancelled)
    );
    bench.runtime.release_embeds();
    has_points(service, &who, &store.id, 0).await;
    let page = PageRequest {
        after: None,
        before: None,
        limit: 100,
        descending: false,
    };
    let listed = service
        .vector_store_batch_files(
            &who,
            &store.id,
            &batch.id,
            Some(AttachmentState::Cancelled),
            page,
        )
        .await
        .expect("files");
    assert_eq!(listed.items.len(), 4);
}

#[tokio::test]
async fn a_deleted_file_leaves_the_stores_it_was_in() {
    let directory = scratch();
    let bench = shelf(directory.path(), &Clock::system()).await;
    let (service, who) = (&bench.service, owner());
    let (one, two) = (store(service, &who).await, store(service, &who).await);
    let file = upload(service, &who, "a.txt", text(5).as_bytes()).await;
    for store in [&one, &two] {
        service
            .vector_store_attach(&who, &store.id, of_file(&file))
            .await
            .expect("attach");
        settled(service, &who, &store.id, &file.id).await;
    }
    service.file_delete(&who, &file.id).await.expect("delete");
    for store in [&one, &two] {
        has_points(service, &who, &store.id, 0).await;
        let seen = service.vector_store(&who, &store.id).await.expect("store");
        assert_eq!(seen.counts.total(), 0);
    }
}

#[tokio::test]
async fn a_store_that_nobody_uses_ends() {
    let directory = scratch();
    let clock = Clock::manual(Duration::from_secs(1_800_000_000));
    let bench = shelf(directory.path(), &clock).await;
    let (service, who) = (&bench.service, owner());
    let new = NewVectorStore {
        expires_after_days: Some(2),
        ..NewVectorStore::default()
    };
    let store = service.vector_store_create(&who, new).await.expect("store");
    let file = upload(service, &who, "a.txt", text(5).as_bytes()).await;
    service
        .vector_store_attach(&who, &store.id, of_file(&file))
        .await
        .expect("attach");
    settled(service, &who, &store.id, &file.id).await;
    let day = Duration::from_secs(86_400);
    clock.advance(day + day / 2);
    service
        .vector_store_search(&who, &store.id, search("item1"))
        .await
        .expect("used");
    clock.advance(day);
    let seen = service.vector_store(&who, &store.id).await.expect("store");
    assert!(!seen.expired, "it was used in between: {seen:?}");
    clock.advance(day + day);
    let refused = service
        .vector_store_search(&who, &store.id, search("item1"))
        .await;
    assert_eq!(
        refused.expect_err("expired").code,
        Some("vector_store_expired")
    );
    assert!(
        service
            .vector_store(&who, &store.id)
            .await
            .expect("store")
            .expired
    );
    service.wake_workers();
    for _ in 0..4_000 {
        if !service
            .collection_exists(&who, &store.id)
            .await
            .expect("asked")
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seen = service.vector_store(&who, &store.id).await.expect("store");
    assert_eq!((seen.expired, seen.counts.total()), (true, 0));
    assert!(
        !service
            .collection_exists(&who, &store.id)
            .await
            .expect("asked")
    );
    service
        .vector_store_delete(&who, &store.id)
        .await
        .expect("delete");
}

#[tokio::test]
async fn files_end_by_the_clock_and_leave_their_stores() {
    let directory = scratch();
    let clock = Clock::manual(Duration::from_secs(1_800_000_000));
    let bench = shelf(directory.path(), &clock).await;
    let (service, who) = (&bench.service, owner());
    let mut begun = service.file_begin(&who, None).await.expect("begin");
    begun.write(text(3).as_bytes()).await.expect("write");
    let new = NewFile {
        filename: "a.txt".into(),
        purpose: FilePurpose::UserData,
        expires_after: Some(Duration::from_secs(3_600)),
    };
    let file = service.file_finish(&who, begun, new).await.expect("finish");
    let store = store(service, &who).await;
    service
        .vector_store_attach(&who, &store.id, of_file(&file))
        .await
        .expect("attach");
    settled(service, &who, &store.id, &file.id).await;
    clock.advance(Duration::from_secs(3_601));
    let gone = service.file(&who, &file.id).await;
    assert_eq!(gone.expect_err("expired").kind, ErrorKind::NotFound);
    service.wake_workers();
    has_points(service, &who, &store.id, 0).await;
    let bytes = directory.path().join("files/acme").join(&file.id);
    for _ in 0..4_000 {
        if !bytes.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the bytes of an expired file stay");
}

#[tokio::test]
async fn tenants_take_turns_and_see_only_their_own() {
    let directory = scratch();
    let bench = still(directory.path(), &Clock::system()).await;
    let service = &bench.service;
    let (busy, quiet) = (owner(), identity("other", Scope::Admin));
    let (many, one) = (store(service, &busy).await, store(service, &quiet).await);
    let mut files = Vec::new();
    for number in 0..60 {
        let name = format!("{number}.txt");
        files.push(of_file(
            &upload(service, &busy, &name, text(20).as_bytes()).await,
        ));
    }
    service
        .vector_store_batch_create(&busy, &many.id, files.clone())
        .await
        .expect("batch");
    let file = upload(service, &quiet, "only.txt", text(2).as_bytes()).await;
    service
        .vector_store_attach(&quiet, &one.id, of_file(&file))
        .await
        .expect("attach");
    service.begin_background();
    settled(service, &quiet, &one.id, &file.id).await;
    let counts = service
        .vector_store(&busy, &many.id)
        .await
        .expect("store")
        .counts;
    assert!(
        counts.in_progress > 30,
        "the quiet one waited for {counts:?}"
    );
    let refused: Vec<Error> = vec![
        service
            .vector_store(&quiet, &many.id)
            .await
            .expect_err("hidden"),
        service
            .vector_store_search(&quiet, &many.id, search("x"))
            .await
            .expect_err("hidden"),
        service
            .vector_store_delete(&quiet, &many.id)
            .await
            .expect_err("hidden"),
        service
            .vector_store_attach(&quiet, &one.id, files[0].clone())
            .await
            .expect_err("another's file"),
    ];
    assert!(
        refused
            .iter()
            .all(|error| error.kind == ErrorKind::NotFound),
        "{refused:?}"
    );
    let reader = identity("acme", Scope::CollectionsRead);
    let new = NewVectorStore::default();
    let forbidden = service
        .vector_store_create(&reader, new)
        .await
        .expect_err("reader");
    assert_eq!(forbidden.kind, ErrorKind::Forbidden);
    assert!(service.vector_store(&reader, &many.id).await.is_ok());
}

#[tokio::test]
async fn a_store_needs_its_model() {
    let directory = scratch();
    let bench = still_with(directory.path(), &Clock::system(), "absent").await;
    let error = bench
        .service
        .vector_store_create(&owner(), NewVectorStore::default())
        .await
        .expect_err("no model");
    assert_eq!(error.code, Some("model_not_found"));
    assert!(
        error.message.contains("collections.embedding_model"),
        "{error}"
    );
    let listed = bench
        .service
        .collections_list(&owner())
        .await
        .expect("list");
    assert!(listed.is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn a_store_is_changed_in_parts() {
    let directory = scratch();
    let bench = still(directory.path(), &Clock::system()).await;
    let (service, who) = (&bench.service, owner());
    let store = store(service, &who).await;
    let change = |change: VectorStoreChange| service.vector_store_update(&who, &store.id, change);
    let facts = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let named = change(VectorStoreChange {
        name: Some("n".into()),
        ..Default::default()
    })
    .await;
    assert_eq!(named.expect("name").name, "n");
    let described = change(VectorStoreChange {
        metadata: Some(facts.clone()),
        ..Default::default()
    })
    .await;
    assert_eq!(described.expect("metadata").metadata, facts);
    let days = |days| VectorStoreChange {
        expires_after_days: Some(days),
        ..Default::default()
    };
    let living = change(days(Some(7))).await.expect("days");
    assert_eq!(
        (living.expires_after_days, living.name.as_str()),
        (Some(7), "n")
    );
    assert!(change(days(Some(0))).await.is_err());
    assert_eq!(change(days(None)).await.expect("none").expires_unix, None);
    let kept: Value = json!(
        service
            .vector_store(&who, &store.id)
            .await
            .expect("store")
            .metadata
    );
    assert_eq!(kept, json!({"a": "b"}));
}
