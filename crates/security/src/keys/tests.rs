//! The key store at its public boundary, on real files.

#![expect(
    clippy::disallowed_methods,
    reason = "a test damages files, and tells its child process where to work"
)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use platform::clock::{ManualClock, SystemClock};

use crate::*;

const NOW: i64 = 1_700_000_000;

async fn open(directory: &Path, clock: &ManualClock) -> KeyStore {
    let options = KeyStoreOptions {
        clock: Arc::new(clock.clone()),
    };
    KeyStore::open(&directory.join("fornax.db"), options)
        .await
        .expect("open")
}

fn new_key(name: &str) -> NewKey {
    NewKey {
        name: name.into(),
        tenant: TenantId::default(),
        scopes: Scope::Inference.into(),
        expires_unix: None,
    }
}

fn at(now: i64) -> (tempfile::TempDir, ManualClock) {
    (
        tempfile::tempdir().expect("directory"),
        ManualClock::at(now),
    )
}

#[tokio::test]
async fn a_key_is_known_by_its_whole_text_only() {
    let (directory, clock) = at(NOW);
    let store = open(directory.path(), &clock).await;
    let created = store.create(new_key("ci")).await.expect("create");
    let text = created.key.expose();
    let identity = store.authenticate(text).await.expect("authenticate");
    assert_eq!(identity.key_id, created.record.id);
    assert_eq!(
        (identity.key_name.as_str(), identity.tenant.as_str()),
        ("ci", "default")
    );
    assert_eq!(identity.scopes, Scope::Inference.into());

    // The right id with another secret, whether the id is known already or not, and an id that does not exist.
    let other = store.create(new_key("other")).await.expect("create").key;
    let crossed = format!("{}{}", &text[..16], &other.expose()[16..]);
    assert!(matches!(
        store.authenticate(&crossed).await,
        Err(AuthenticationError::Unknown)
    ));
    let nobody = format!("fx-{}-{}", "a".repeat(12), &text[16..]);
    assert!(matches!(
        store.authenticate(&nobody).await,
        Err(AuthenticationError::Unknown)
    ));
    for malformed in [
        "",
        "fx-",
        "sk-123",
        &text[..67],
        &format!("{text}a"),
        &text.to_uppercase(),
        "fx-\u{0}'; DROP TABLE api_keys",
    ] {
        assert!(
            matches!(
                store.authenticate(malformed).await,
                Err(AuthenticationError::Malformed)
            ),
            "{malformed:?}"
        );
    }
}

#[tokio::test]
async fn the_file_holds_no_secret_and_is_private() {
    let (directory, clock) = at(NOW);
    let store = open(directory.path(), &clock).await;
    let created = store.create(new_key("ci")).await.expect("create");
    let secret = created.key.expose().as_bytes()[16..].to_vec();
    store.close().await;
    for entry in std::fs::read_dir(directory.path()).expect("list") {
        let path = entry.expect("entry").path();
        let bytes = std::fs::read(&path).expect("read");
        assert!(
            !bytes.windows(secret.len()).any(|window| window == secret),
            "{}",
            path.display()
        );
        assert_eq!(
            path.metadata().expect("metadata").permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    }
    assert!(!format!("{created:?}").contains(&String::from_utf8_lossy(&secret).into_owned()));
}

#[tokio::test]
async fn expiry_counts_at_its_second_even_when_the_key_is_cached() {
    let (directory, clock) = at(NOW);
    let store = open(directory.path(), &clock).await;
    let created = store
        .create(NewKey {
            expires_unix: Some(NOW + 10),
            ..new_key("short")
        })
        .await
        .expect("create");
    clock.advance(9);
    assert!(store.authenticate(created.key.expose()).await.is_ok());
    clock.advance(1);
    assert!(matches!(
        store.authenticate(created.key.expose()).await,
        Err(AuthenticationError::Expired)
    ));
    assert_eq!(
        store.list(None).await.expect("list")[0].status(NOW + 10),
        KeyStatus::Expired
    );
    assert!(
        store
            .create(NewKey {
                expires_unix: Some(NOW),
                ..new_key("past")
            })
            .await
            .is_err()
    );
}

#[tokio::test]
async fn revocation_counts_at_once_here_and_soon_in_another_process() {
    let (directory, clock) = at(NOW);
    let server = open(directory.path(), &clock).await;
    let command_line = open(directory.path(), &clock).await;
    let (here, there) = (
        server.create(new_key("here")).await.expect("create"),
        server.create(new_key("there")).await.expect("create"),
    );
    for key in [&here, &there] {
        server.authenticate(key.key.expose()).await.expect("live");
    }
    server.revoke("here").await.expect("revoke by name");
    assert!(matches!(
        server.authenticate(here.key.expose()).await,
        Err(AuthenticationError::Revoked)
    ));

    command_line
        .revoke(&there.record.id)
        .await
        .expect("revoke by id");
    let started = std::time::Instant::now();
    while server.authenticate(there.key.expose()).await.is_ok() {
        assert!(
            started.elapsed() < CACHE_TTL * 2,
            "a revoked key is still taken"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Again: no change, no error; and the name is free.
    assert_eq!(
        server
            .revoke(&there.record.id)
            .await
            .expect("again")
            .revoked_unix,
        Some(NOW)
    );
    assert!(matches!(
        server.revoke("there").await,
        Err(KeyStoreError::NotFound { .. })
    ));
    server
        .create(new_key("there"))
        .await
        .expect("the name of a revoked key is free");
}

#[tokio::test]
async fn names_are_unique_within_a_tenant() {
    let (directory, clock) = at(NOW);
    let store = open(directory.path(), &clock).await;
    store.create(new_key("ci")).await.expect("first");
    assert!(matches!(
        store.create(new_key("ci")).await,
        Err(KeyStoreError::NameTaken { .. })
    ));
    let elsewhere = NewKey {
        tenant: TenantId::new("lab").expect("tenant"),
        ..new_key("ci")
    };
    store.create(elsewhere).await.expect("another tenant");
    assert!(matches!(
        store.revoke("ci").await,
        Err(KeyStoreError::Ambiguous { count: 2, .. })
    ));
    assert_eq!(
        store
            .list(Some(&TenantId::new("lab").expect("tenant")))
            .await
            .expect("list")
            .len(),
        1
    );
    assert_eq!(store.list(None).await.expect("list").len(), 2);
    for name in ["", " ", " a", "a\n", &"x".repeat(65)] {
        assert!(
            matches!(
                store.create(new_key(name)).await,
                Err(KeyStoreError::Invalid(_))
            ),
            "{name:?}"
        );
    }
    let powerless = NewKey {
        scopes: Scopes::NONE,
        ..new_key("none")
    };
    assert!(matches!(
        store.create(powerless).await,
        Err(KeyStoreError::Invalid(_))
    ));
}

#[tokio::test]
async fn the_first_administrator_is_made_once_even_by_two_starts_at_the_same_time() {
    let (directory, clock) = at(NOW);
    let (first, second) = (
        open(directory.path(), &clock).await,
        open(directory.path(), &clock).await,
    );
    let (one, two) = tokio::join!(first.create_first_admin(), second.create_first_admin());
    let made: Vec<_> = [one, two]
        .into_iter()
        .filter_map(|made| made.expect("database"))
        .collect();
    assert_eq!(made.len(), 1);
    assert!(made[0].record.scopes.contains(Scope::Admin));
    // Not even after it was revoked: a stranger must not become administrator of a used directory.
    first.revoke(FIRST_ADMIN_NAME).await.expect("revoke");
    assert!(
        first
            .create_first_admin()
            .await
            .expect("database")
            .is_none()
    );
}

#[tokio::test]
async fn use_is_noted_seldom() {
    let (directory, clock) = at(NOW);
    let created = open(directory.path(), &clock)
        .await
        .create(new_key("ci"))
        .await
        .expect("create");
    for (after, expected) in [
        (0, NOW),
        (LAST_USED_WRITE_SECONDS - 1, NOW),
        (1, NOW + LAST_USED_WRITE_SECONDS),
    ] {
        clock.advance(after);
        // A store of its own: nothing is cached, as after the time to live.
        let store = open(directory.path(), &clock).await;
        store
            .authenticate(created.key.expose())
            .await
            .expect("live");
        let started = std::time::Instant::now();
        while store.list(None).await.expect("list")[0].last_used_unix != Some(expected) {
            assert!(
                started.elapsed().as_secs() < 10,
                "last use is not {expected}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_or_of_no_database_is_refused() {
    let (directory, clock) = at(NOW);
    let path = directory.path().join("fornax.db");
    open(directory.path(), &clock).await.close().await;
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display()))
        .await
        .expect("connect");
    sqlx::query("UPDATE schema_versions SET version = 99")
        .execute(&pool)
        .await
        .expect("update");
    pool.close().await;
    let options = KeyStoreOptions {
        clock: Arc::new(clock.clone()),
    };
    assert!(matches!(
        KeyStore::open(&path, options.clone()).await,
        Err(KeyStoreError::Newer { found: 99, .. })
    ));
    std::fs::write(
        &path,
        "this is not a database, but it is long enough to have a header",
    )
    .expect("write");
    for suffix in ["-wal", "-shm"] {
        drop(std::fs::remove_file(
            directory.path().join(format!("fornax.db{suffix}")),
        ));
    }
    assert!(KeyStore::open(&path, options).await.is_err());
}

/// Not a test by itself: the process that `a_key_that_was_shown_survives_kill_9` kills.
#[tokio::test]
async fn child_that_makes_keys() {
    let Ok(directory) = std::env::var("FORNAX_TEST_KEY_DIRECTORY") else {
        return;
    };
    let options = KeyStoreOptions {
        clock: Arc::new(SystemClock),
    };
    let store = KeyStore::open(&Path::new(&directory).join("fornax.db"), options)
        .await
        .expect("open");
    for index in 0..1000 {
        let created = store
            .create(new_key(&format!("key-{index}")))
            .await
            .expect("create");
        eprintln!("shown {}", created.key.expose());
    }
}

#[tokio::test]
async fn a_key_that_was_shown_survives_kill_9() {
    let (directory, clock) = at(NOW);
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "--exact",
            "keys::tests::child_that_makes_keys",
            "--nocapture",
        ])
        .env("FORNAX_TEST_KEY_DIRECTORY", directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    let stderr = child.stderr.take().expect("piped");
    let mut shown = Vec::new();
    for line in BufReader::new(stderr).lines() {
        if let Some(key) = line.expect("line").strip_prefix("shown ") {
            shown.push(key.to_owned());
        }
        if shown.len() == 20 {
            child.kill().expect("kill");
            break;
        }
    }
    child.wait().expect("wait");
    assert_eq!(shown.len(), 20);
    let store = open(directory.path(), &clock).await;
    for key in &shown {
        store
            .authenticate(key)
            .await
            .expect("a shown key is durable");
    }
}
