//! The keys in `fornax.db`: made, listed, ended, and looked up for every request.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use platform::clock::WallClock;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, SqlitePool};
use subtle::ConstantTimeEq;

use super::cache::{KeyCache, KnownKey};
use super::error::{AuthenticationError, KeyStoreError};
use super::record::{CreatedKey, KeyRecord, KeyStatus, NewKey};
use super::schema;
use super::token::{FreshKey, KeyText};
use crate::identity::{Identity, InvalidName, Scope, Scopes, TenantId};

/// Most keys in a store, revoked ones included: lists stay small, and a runaway script cannot fill the disk.
pub const KEYS_MAX: i64 = 10_000;
/// Longest name of a key, in characters.
pub const KEY_NAME_CHARACTERS_MAX: usize = 64;
/// How long a key that was read may be used without reading it again: the most that a revocation by another process
/// (the command line beside a running server) takes to count.
pub const CACHE_TTL: Duration = Duration::from_secs(2);
/// `last_used` is written at most this often per key, so that traffic costs no writes.
pub const LAST_USED_WRITE_SECONDS: i64 = 60;
/// Name of the key that the first start makes.
pub const FIRST_ADMIN_NAME: &str = "admin";

/// Revoked keys are deleted after this long, to make room.
const REVOKED_KEEP_SECONDS: i64 = 365 * 24 * 3600;
/// Each connection is a thread of its own; one writer and a few readers are all SQLite can use.
const CONNECTIONS_MAX: u32 = 3;
/// How long a writer waits for another process's transaction, which take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const COLUMNS: &str = "SELECT id, secret_sha256, name, tenant, scopes, created_unix, expires_unix, revoked_unix, last_used_unix FROM api_keys";

/// What a store needs beside its file.
#[derive(Clone)]
pub struct KeyStoreOptions {
    /// Decides expiry.
    pub clock: Arc<dyn WallClock>,
}

/// The keys of one data directory. Cheap to share behind an `Arc`.
pub struct KeyStore {
    pool: SqlitePool,
    clock: Arc<dyn WallClock>,
    cache: KeyCache,
}

impl KeyStore {
    /// Opens or makes the database at `path` (mode 0600) and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be opened, is not a database, or was written by a newer Fornax.
    pub async fn open(path: &Path, options: KeyStoreOptions) -> Result<Self, KeyStoreError> {
        let open_error = |source: Box<dyn std::error::Error + Send + Sync>| KeyStoreError::Open {
            path: path.to_owned(),
            source,
        };
        // Made here, not by SQLite, so that it is never readable to others; SQLite gives its -wal and -shm files the
        // same mode.
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| open_error(Box::new(error)))?;
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit is on disk when it returns, which is what "durable before shown" rests on.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(connect)
            .await
            .map_err(|error| open_error(Box::new(error)))?;
        schema::migrate(&pool).await?;
        Ok(KeyStore {
            pool,
            clock: options.clock,
            cache: KeyCache::new(CACHE_TTL),
        })
    }

    /// Makes a key. It is on disk before this returns; its text is in the result and nowhere else.
    ///
    /// # Errors
    /// A field does not fit its rules, the name is taken, the store is full, or the database failed.
    pub async fn create(&self, new: NewKey) -> Result<CreatedKey, KeyStoreError> {
        check_name(&new.name)?;
        if new.scopes.is_empty() {
            return Err(InvalidName {
                what: "scopes",
                reason: "must name at least one scope",
            }
            .into());
        }
        let now = self.clock.unix_seconds();
        if new.expires_unix.is_some_and(|end| end <= now) {
            return Err(InvalidName {
                what: "expiry",
                reason: "must lie in the future",
            }
            .into());
        }
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let created = insert(&mut transaction, new, now).await?;
        transaction.commit().await?;
        Ok(created)
    }

    /// Makes the first administrator's key if no key was ever made in this store; `None` if one was.
    ///
    /// # Errors
    /// The database failed.
    pub async fn create_first_admin(&self) -> Result<Option<CreatedKey>, KeyStoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if count(&mut transaction).await? > 0 {
            return Ok(None);
        }
        let admin = NewKey {
            name: FIRST_ADMIN_NAME.to_owned(),
            tenant: TenantId::default(),
            scopes: Scopes::from(Scope::Admin),
            expires_unix: None,
        };
        let created = insert(&mut transaction, admin, self.clock.unix_seconds()).await?;
        transaction.commit().await?;
        Ok(Some(created))
    }

    /// All keys, or those of one tenant; by tenant, name and age.
    ///
    /// # Errors
    /// The database failed, or a row is damaged.
    pub async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<KeyRecord>, KeyStoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE ?1 IS NULL OR tenant = ?1 ORDER BY tenant, name, created_unix, id"
        )))
        .bind(tenant.map(TenantId::as_str))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| read_row(row).map(|known| known.record))
            .collect()
    }

    /// Ends the key with this id, or the one live key with this name. In this process it counts before this returns;
    /// in another within [`CACHE_TTL`]. Ending an ended key changes nothing.
    ///
    /// # Errors
    /// No such key, several keys of that name, or the database failed.
    pub async fn revoke(&self, id_or_name: &str) -> Result<KeyRecord, KeyStoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE id = ?1 OR (name = ?1 AND revoked_unix IS NULL) LIMIT 3"
        )))
        .bind(id_or_name)
        .fetch_all(&mut *transaction)
        .await?;
        let mut records = rows.iter().map(read_row).collect::<Result<Vec<_>, _>>()?;
        // An id is exact: it wins over another key's name.
        if let Some(position) = records
            .iter()
            .position(|known| known.record.id == id_or_name)
        {
            records = vec![records.swap_remove(position)];
        }
        let wanted = || id_or_name.to_owned();
        let mut record = match records.len() {
            0 => return Err(KeyStoreError::NotFound { wanted: wanted() }),
            1 => records.remove(0).record,
            count => {
                return Err(KeyStoreError::Ambiguous {
                    wanted: wanted(),
                    count,
                });
            }
        };
        if record.revoked_unix.is_none() {
            let now = self.clock.unix_seconds();
            sqlx::query("UPDATE api_keys SET revoked_unix = ? WHERE id = ?")
                .bind(now)
                .bind(&record.id)
                .execute(&mut *transaction)
                .await?;
            record.revoked_unix = Some(now);
        }
        transaction.commit().await?;
        self.cache.forget(&record.id);
        Ok(record)
    }

    /// Who presented `presented`, the whole text of a key.
    ///
    /// # Errors
    /// It is no live key, or the store could not be read.
    pub async fn authenticate(&self, presented: &str) -> Result<Identity, AuthenticationError> {
        let Some(text) = KeyText::parse(presented) else {
            return Err(AuthenticationError::Malformed);
        };
        let offered = text.secret_hash();
        let known = self.known(text.id()).await?;
        // An unknown id is compared too, with a hash that no secret has been seen to have.
        let expected = known
            .as_deref()
            .map_or([0u8; 32], |known| known.secret_hash);
        let equal = bool::from(offered.ct_eq(&expected));
        let (Some(known), true) = (known, equal) else {
            return Err(AuthenticationError::Unknown);
        };
        match known.record.status(self.clock.unix_seconds()) {
            KeyStatus::Live => Ok(known.record.identity()),
            KeyStatus::Expired => Err(AuthenticationError::Expired),
            KeyStatus::Revoked => Err(AuthenticationError::Revoked),
        }
    }

    /// Whether the keys can be read, at the cost of one row.
    ///
    /// # Errors
    /// The database failed.
    pub async fn check(&self) -> Result<(), KeyStoreError> {
        sqlx::query("SELECT id FROM api_keys LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        Ok(())
    }

    /// Closes the connections after what they are doing.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The key with this id, from memory or the database.
    async fn known(&self, id: &str) -> Result<Option<Arc<KnownKey>>, KeyStoreError> {
        let (cached, epoch) = self.cache.look_up(id);
        if cached.is_some() {
            return Ok(cached);
        }
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = ?")))
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let known = Arc::new(read_row(&row)?);
        self.cache.keep(&known, epoch);
        self.note_use(&known.record);
        Ok(Some(known))
    }

    /// Writes the time of use beside the request, seldom. A lost write only makes the shown time older.
    fn note_use(&self, record: &KeyRecord) {
        let now = self.clock.unix_seconds();
        if record
            .last_used_unix
            .is_some_and(|last| now - last < LAST_USED_WRITE_SECONDS)
        {
            return;
        }
        let (pool, id) = (self.pool.clone(), record.id.clone());
        tokio::spawn(async move {
            let written = sqlx::query("UPDATE api_keys SET last_used_unix = ? WHERE id = ?")
                .bind(now)
                .bind(id)
                .execute(&pool)
                .await;
            // Nobody waits for it; the next read tries again.
            drop(written);
        });
    }
}

async fn count(connection: &mut sqlx::SqliteConnection) -> Result<i64, KeyStoreError> {
    Ok(sqlx::query("SELECT count(*) FROM api_keys")
        .fetch_one(connection)
        .await?
        .try_get(0)?)
}

/// Writes one new row inside the caller's transaction.
async fn insert(
    connection: &mut sqlx::SqliteConnection,
    new: NewKey,
    now: i64,
) -> Result<CreatedKey, KeyStoreError> {
    if count(connection).await? >= KEYS_MAX {
        sqlx::query("DELETE FROM api_keys WHERE revoked_unix < ?")
            .bind(now - REVOKED_KEEP_SECONDS)
            .execute(&mut *connection)
            .await?;
        if count(connection).await? >= KEYS_MAX {
            return Err(KeyStoreError::Full { limit: KEYS_MAX });
        }
    }
    let fresh = FreshKey::draw()?;
    let written = sqlx::query(
        "INSERT INTO api_keys (id, secret_sha256, name, tenant, scopes, created_unix, expires_unix) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&fresh.id)
    .bind(fresh.secret_hash.to_vec())
    .bind(&new.name)
    .bind(new.tenant.as_str())
    .bind(new.scopes.to_string())
    .bind(now)
    .bind(new.expires_unix)
    .execute(connection)
    .await;
    match written {
        Ok(_) => {}
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            return Err(KeyStoreError::NameTaken {
                name: new.name,
                tenant: new.tenant.to_string(),
            });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(CreatedKey {
        record: KeyRecord {
            id: fresh.id,
            name: new.name,
            tenant: new.tenant,
            scopes: new.scopes,
            created_unix: now,
            expires_unix: new.expires_unix,
            revoked_unix: None,
            last_used_unix: None,
        },
        key: fresh.text,
    })
}

fn read_row(row: &SqliteRow) -> Result<KnownKey, KeyStoreError> {
    let id: String = row.try_get("id")?;
    let damaged = |column: &'static str| KeyStoreError::Damaged {
        id: id.clone(),
        column,
    };
    let secret_hash: Vec<u8> = row.try_get("secret_sha256")?;
    let tenant: String = row.try_get("tenant")?;
    let scopes: String = row.try_get("scopes")?;
    Ok(KnownKey {
        secret_hash: secret_hash
            .try_into()
            .map_err(|_| damaged("secret_sha256"))?,
        record: KeyRecord {
            name: row.try_get("name")?,
            tenant: TenantId::new(&tenant).map_err(|_| damaged("tenant"))?,
            scopes: scopes.parse().map_err(|_| damaged("scopes"))?,
            created_unix: row.try_get("created_unix")?,
            expires_unix: row.try_get("expires_unix")?,
            revoked_unix: row.try_get("revoked_unix")?,
            last_used_unix: row.try_get("last_used_unix")?,
            id: id.clone(),
        },
    })
}

fn check_name(name: &str) -> Result<(), InvalidName> {
    let reason = if name.trim().is_empty() {
        "is empty"
    } else if name.chars().count() > KEY_NAME_CHARACTERS_MAX {
        "is longer than 64 characters"
    } else if name.chars().any(char::is_control) {
        "may not hold control characters"
    } else if name.trim() != name {
        "may not begin or end with a space"
    } else {
        return Ok(());
    };
    Err(InvalidName {
        what: "name",
        reason,
    })
}
