//! The same checks over SQLite and over a real PostgreSQL server that the test starts.

mod postgres;
mod vector_stores;

use std::collections::BTreeSet;

use security::TenantId;

use super::{PageRequest, Records, RecordsError, RecordsLocation};
use crate::error::{Error, ErrorKind};
use crate::files::{FilePurpose, StoredFile};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("tenant")
}

fn file(number: i64) -> StoredFile {
    StoredFile {
        id: format!("file-{number:03}"),
        filename: format!("{number} 'quoted' ü.txt"),
        purpose: if number % 2 == 0 {
            FilePurpose::UserData
        } else {
            FilePurpose::Batch
        },
        bytes: 10,
        sha256: "0".repeat(64),
        // Pairs share their time, so that the id decides.
        created_ms: 1_000 + number / 2,
        expires_unix: (number % 3 == 0).then_some(100 + number),
    }
}

fn page(limit: u32, descending: bool) -> PageRequest {
    PageRequest {
        after: None,
        before: None,
        limit,
        descending,
    }
}

/// Everything that the table of files promises.
async fn check_files(records: &Records) {
    let (ours, theirs) = (tenant("ours"), tenant("theirs"));
    for number in 0..10 {
        let one = file(number);
        records
            .file_insert(&ours, &one, |used| {
                assert_eq!(
                    (used.count, used.bytes),
                    (number as u64, 10 * number as u64)
                );
                Ok(())
            })
            .await
            .expect("insert");
        assert_eq!(
            records.file(&ours, &one.id, 50).await.expect("file"),
            Some(one.clone())
        );
        assert_eq!(
            records.file(&theirs, &one.id, 50).await.expect("file"),
            None
        );
    }
    records
        .file_insert(&theirs, &file(3), |used| {
            assert_eq!(used.count, 0, "others' files do not count");
            Ok(())
        })
        .await
        .expect("the same id is another file for another tenant");
    let refused = records
        .file_insert(&ours, &file(11), |_| {
            Err(Error::new(ErrorKind::Conflict, "full"))
        })
        .await
        .expect_err("refused");
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert_eq!(
        records.file(&ours, "file-011", 0).await.expect("file"),
        None
    );
    check_pages(records, &ours).await;
    check_expiry(records, &ours, &theirs).await;
}

async fn check_pages(records: &Records, ours: &TenantId) {
    for descending in [false, true] {
        for limit in 1..12 {
            let mut seen = Vec::new();
            let mut request = page(limit, descending);
            loop {
                let found = records.files(ours, None, &request, 50).await.expect("page");
                assert!(found.items.len() <= limit as usize);
                seen.extend(found.items.iter().map(|file| file.id.clone()));
                if !found.has_more {
                    break;
                }
                request.after = seen.last().cloned();
            }
            let mut expected: Vec<String> = (0..10).map(|number| file(number).id).collect();
            if descending {
                expected.reverse();
            }
            assert_eq!(seen, expected, "limit {limit}");
        }
    }
    let before = PageRequest {
        before: Some("file-007".into()),
        ..page(3, false)
    };
    let found = records.files(ours, None, &before, 50).await.expect("page");
    let ids: Vec<&str> = found.items.iter().map(|file| file.id.as_str()).collect();
    assert_eq!(
        (ids, found.has_more),
        (vec!["file-004", "file-005", "file-006"], true)
    );
    let purpose = Some("batch");
    let found = records
        .files(ours, purpose, &page(100, false), 50)
        .await
        .expect("page");
    assert_eq!(found.items.len(), 5);
    for wrong in [
        PageRequest {
            after: Some("file-999".into()),
            ..page(3, false)
        },
        PageRequest {
            after: Some("file-001".into()),
            before: Some("file-002".into()),
            ..page(3, false)
        },
    ] {
        let error = records
            .files(ours, None, &wrong, 50)
            .await
            .expect_err("refused");
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
    }
    let strange = PageRequest {
        after: Some("' OR 1=1 --".into()),
        ..page(3, false)
    };
    let error = records
        .files(ours, None, &strange, 50)
        .await
        .expect_err("no such file");
    assert_eq!(error.field.as_deref(), Some("after"));
}

async fn check_expiry(records: &Records, ours: &TenantId, theirs: &TenantId) {
    // At 103 the files 0 and 3 are over.
    let found = records
        .files(ours, None, &page(100, false), 103)
        .await
        .expect("page");
    assert_eq!(found.items.len(), 8);
    assert_eq!(
        records.file(ours, "file-003", 103).await.expect("file"),
        None
    );
    let expired: BTreeSet<(String, String)> = records
        .files_expired(103, 100)
        .await
        .expect("expired")
        .into_iter()
        .map(|(tenant, id)| (tenant.to_string(), id))
        .collect();
    let expected = [
        ("ours", "file-000"),
        ("ours", "file-003"),
        ("theirs", "file-003"),
    ];
    let expected = expected.map(|(tenant, id)| (tenant.to_owned(), id.to_owned()));
    assert_eq!(expired, BTreeSet::from(expected));
    assert!(records.file_delete(ours, "file-003").await.expect("delete"));
    assert!(!records.file_delete(ours, "file-003").await.expect("delete"));
    assert!(
        records
            .file_is_known("theirs", "file-003")
            .await
            .expect("known")
    );
    assert!(
        records
            .file_delete(theirs, "file-003")
            .await
            .expect("delete")
    );
}

/// A database made by a newer Fornax is not touched.
async fn check_versions(records: Records, location: &RecordsLocation) {
    sqlx::query("UPDATE schema_versions SET version = 99 WHERE component = $1")
        .bind("files")
        .execute(records.pool())
        .await
        .expect("update");
    let error = Records::open(location).await.expect_err("newer");
    assert!(
        matches!(
            error,
            RecordsError::Newer {
                component: "files",
                found: 99,
                ..
            }
        ),
        "{error}"
    );
    records.close().await;
}

#[tokio::test]
async fn sqlite_keeps_rows() {
    let directory = tempfile::tempdir().expect("directory");
    let location = RecordsLocation::Sqlite(directory.path().join("odd name?#%20.db"));
    let records = Records::open(&location).await.expect("open");
    check_files(&records).await;
    vector_stores::check(&records).await;
    drop(records);
    let records = Records::open(&location).await.expect("again");
    assert!(
        records
            .file_is_known("ours", "file-001")
            .await
            .expect("known")
    );
    check_versions(records, &location).await;
}

#[tokio::test]
async fn postgres_keeps_rows() {
    let server = postgres::Server::start();
    let location = RecordsLocation::Postgres(server.url());
    let (records, other) = tokio::join!(Records::open(&location), Records::open(&location));
    let records = records.expect("open");
    drop(other.expect("two servers may start at once"));
    check_files(&records).await;
    vector_stores::check(&records).await;
    check_versions(records, &location).await;
}

#[tokio::test]
async fn what_is_no_database_says_so() {
    let wrong = |url: &str| RecordsLocation::Postgres(platform::Secret::new(url));
    for url in ["mysql://u:secret@h/d", "postgres://[", "nothing"] {
        let error = Records::open(&wrong(url))
            .await
            .expect_err("refused")
            .to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    let closed = wrong("postgres://u:secret@127.0.0.1:1/d");
    let error = Records::open(&closed)
        .await
        .expect_err("nobody listens")
        .to_string();
    assert!(
        error.contains("metadata database") && !error.contains("secret"),
        "{error}"
    );
}
