//! What the tables of vector stores promise, over either database.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use super::{page, tenant};
use crate::records::{
    AttachmentState, BatchRow, NewAttachment, Outcome, Records, StoreChange, StoreRow, Task, Work,
};

fn row(id: &str) -> StoreRow {
    StoreRow {
        id: id.into(),
        name: "ü 'n'".into(),
        description: None,
        metadata: BTreeMap::from([("a".into(), "b".into())]),
        model: "m".into(),
        created_ms: 5,
        last_active_unix: 1_000,
        expires_days: Some(1),
        expired_unix: None,
    }
}

fn new(file_id: &str) -> NewAttachment {
    NewAttachment {
        file_id: file_id.into(),
        attributes: json!({"n": 1, "t": "x"})
            .as_object()
            .cloned()
            .expect("object"),
        chunk_tokens: 100,
        overlap_tokens: 10,
    }
}

async fn only_work(records: &Records, tenant: &str, file: &str) -> Work {
    let work = records.work_of(tenant, 100).await.expect("work");
    work.into_iter()
        .find(|work| work.attachment.file_id == file)
        .unwrap_or_else(|| panic!("there is no work on {file}"))
}

pub async fn check(records: &Records) {
    check_stores(records).await;
    check_work(records).await;
    check_batch(records).await;
    check_removal(records).await;
}

async fn check_stores(records: &Records) {
    let (ours, theirs) = (tenant("ours"), tenant("theirs"));
    for id in ["vs_a", "vs_b"] {
        let allow = |_| Ok(());
        records
            .store_insert(&ours, &row(id), allow)
            .await
            .expect("insert");
    }
    assert_eq!(
        records.store(&ours, "vs_a").await.expect("store"),
        Some(row("vs_a"))
    );
    assert_eq!(records.store(&theirs, "vs_a").await.expect("store"), None);
    let change = StoreChange {
        name: Some("new".into()),
        expires_days: Some(None),
        ..StoreChange::default()
    };
    assert!(
        records
            .store_update(&ours, "vs_a", &change)
            .await
            .expect("update")
    );
    assert!(
        !records
            .store_update(&theirs, "vs_a", &change)
            .await
            .expect("update")
    );
    let changed = records
        .store(&ours, "vs_a")
        .await
        .expect("store")
        .expect("there");
    let expected = StoreRow {
        name: "new".into(),
        expires_days: None,
        ..row("vs_a")
    };
    assert_eq!(changed, expected);
    let listed = records.stores(&ours, &page(10, true)).await.expect("list");
    let ids: Vec<&str> = listed.items.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["vs_b", "vs_a"]);
    assert!(
        records
            .stores(&theirs, &page(10, true))
            .await
            .expect("list")
            .items
            .is_empty()
    );
    // A day after 1,000 the one with a life of a day is over.
    let over = 1_000 + 86_400;
    assert!(
        records
            .stores_expired(over - 1, 10)
            .await
            .expect("expired")
            .is_empty()
    );
    let expired = records.stores_expired(over, 10).await.expect("expired");
    assert_eq!(expired, [(ours.clone(), "vs_b".to_owned())]);
    let known = records
        .store(&ours, "vs_b")
        .await
        .expect("store")
        .expect("there");
    records
        .store_touch(&ours, &known, 2_000)
        .await
        .expect("touch");
    assert!(
        records
            .stores_expired(over, 10)
            .await
            .expect("expired")
            .is_empty()
    );
}

async fn check_work(records: &Records) {
    let ours = tenant("ours");
    let files: Vec<NewAttachment> = ["f1", "f2", "f3"].map(new).to_vec();
    let batch = BatchRow {
        id: "vsfb_1".into(),
        created_ms: 7,
        cancelled: false,
    };
    records
        .attach(&ours, "vs_a", &files, Some(&batch), 7, |count| {
            assert_eq!(count, 0);
            Ok(())
        })
        .await
        .expect("attach");
    assert_eq!(records.work_tenants().await.expect("tenants"), ["ours"]);
    let work = only_work(records, "ours", "f1").await;
    assert_eq!(
        (work.task, work.attempts, work.store_id.as_str()),
        (Task::Add, 0, "vs_a")
    );
    assert!(records.work_begin(&work).await.expect("begin"));
    assert_eq!(only_work(records, "ours", "f1").await.attempts, 1);
    assert!(records.work_progress(&work, 3, 30).await.expect("progress"));
    let done = Outcome::Completed {
        chunks: 5,
        usage_bytes: 50,
    };
    assert!(records.work_finish(&work, &done).await.expect("finish"));
    assert!(
        !records.work_finish(&work, &done).await.expect("finish"),
        "it is done"
    );
    let second = only_work(records, "ours", "f2").await;
    let failed = Outcome::Failed {
        code: "invalid_file",
        message: "no 'text'".into(),
    };
    assert!(records.work_finish(&second, &failed).await.expect("finish"));
    let counts = records
        .counts_of_stores(&ours, &["vs_a", "vs_b"])
        .await
        .expect("counts");
    let of_store = counts["vs_a"];
    assert_eq!(
        (
            of_store.completed,
            of_store.failed,
            of_store.in_progress,
            of_store.usage_bytes
        ),
        (1, 1, 1, 50)
    );
    assert!(!counts.contains_key("vs_b"));
    assert_eq!(
        records
            .counts_of_batch(&ours, "vs_a", "vsfb_1")
            .await
            .expect("counts"),
        of_store
    );
    let seen = records
        .attachment(&ours, "vs_a", "f2")
        .await
        .expect("file")
        .expect("there");
    let error = ("invalid_file".into(), "no 'text'".into());
    assert_eq!(seen.error, Some(error));
    assert_eq!(seen.attributes, new("f2").attributes);
}

/// Goes on where [`check_work`] ends: one file is done, one failed, one waits.
async fn check_batch(records: &Records) {
    let ours = tenant("ours");
    let listed = async |state| {
        let page = page(10, false);
        let found = records
            .attachments(&ours, "vs_a", Some("vsfb_1"), state, &page)
            .await;
        found
            .expect("list")
            .items
            .into_iter()
            .map(|file| file.file_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(None).await, ["f1", "f2", "f3"]);
    assert_eq!(listed(Some(AttachmentState::Failed)).await, ["f2"]);
    let third = only_work(records, "ours", "f3").await;
    records
        .batch_cancel(&ours, "vs_a", "vsfb_1")
        .await
        .expect("cancel");
    assert!(
        !records.work_progress(&third, 9, 9).await.expect("progress"),
        "it was cancelled"
    );
    let batch = records
        .batch(&ours, "vs_a", "vsfb_1")
        .await
        .expect("batch")
        .expect("there");
    assert!(batch.cancelled);
    let cleaning = only_work(records, "ours", "f3").await;
    assert_eq!(
        (
            cleaning.task,
            listed(Some(AttachmentState::Cancelled)).await
        ),
        (Task::Clean, vec!["f3".to_owned()])
    );
    records
        .attachment_cleaned(&cleaning)
        .await
        .expect("cleaned");
    assert!(records.work_of("ours", 10).await.expect("work").is_empty());
    assert!(records.work_tenants().await.expect("tenants").is_empty());
}

async fn check_removal(records: &Records) {
    let ours = tenant("ours");
    records
        .attach(&ours, "vs_a", &[new("f1")], None, 8, |_| Ok(()))
        .await
        .expect("again");
    let again = only_work(records, "ours", "f1").await;
    assert_eq!(
        (
            again.attachment.revision,
            again.attempts,
            again.attachment.usage_bytes
        ),
        (2, 0, 0)
    );
    records
        .attach(&ours, "vs_b", &[new("f1")], None, 8, |_| Ok(()))
        .await
        .expect("attach");
    let attributes = json!({"new": true}).as_object().cloned().expect("object");
    assert!(
        records
            .attachment_describe(&ours, "vs_a", "f1", &attributes)
            .await
            .expect("describe")
    );
    assert_eq!(
        records
            .attachment_remove(&ours, Some("vs_a"), "f1")
            .await
            .expect("remove"),
        1
    );
    assert_eq!(
        records.attachment(&ours, "vs_a", "f1").await.expect("file"),
        None
    );
    assert!(
        !records
            .attachment_describe(&ours, "vs_a", "f1", &Map::new())
            .await
            .expect("describe")
    );
    assert!(!records.work_progress(&again, 1, 1).await.expect("progress"));
    assert_eq!(
        records
            .attachment_remove(&ours, None, "f1")
            .await
            .expect("remove"),
        1,
        "the other store"
    );
    for _ in 0..2 {
        let work = only_work(records, "ours", "f1").await;
        assert_eq!(work.task, Task::Remove);
        assert!(records.attachment_forget(&work).await.expect("forget"));
    }
    assert!(records.work_of("ours", 10).await.expect("work").is_empty());
    records
        .store_expired(&ours, "vs_a", 9)
        .await
        .expect("expired");
    let expired = records
        .store(&ours, "vs_a")
        .await
        .expect("store")
        .expect("there");
    assert_eq!(expired.expired_unix, Some(9));
    let counts = records
        .counts_of_stores(&ours, &["vs_a"])
        .await
        .expect("counts");
    assert!(counts.is_empty());
    assert!(records.store_delete(&ours, "vs_a").await.expect("delete"));
    assert!(!records.store_delete(&ours, "vs_a").await.expect("delete"));
    assert!(
        records
            .batch(&ours, "vs_a", "vsfb_1")
            .await
            .expect("batch")
            .is_none()
    );
}
