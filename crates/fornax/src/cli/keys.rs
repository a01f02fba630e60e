//! `keys`: the key database of the data directory, beside a running server or without one.

use std::sync::Arc;

use anyhow::Context as _;
use platform::clock::SystemClock;
use security::{KeyRecord, KeyStore, KeyStoreOptions, NewKey, Scopes, TenantId};
use serde_json::json;

use super::args::KeysCommand;
use super::output::{error_line, moment, now_unix, print, print_json, relative, table};
use super::{Context, small_runtime};
use crate::config::values::read_duration;
use crate::exit::{Ended, Exit};

/// Opens the key database.
///
/// # Errors
/// The directory or the file cannot be used.
pub async fn open(context: &Context) -> anyhow::Result<KeyStore> {
    context.directory.create()?;
    let options = KeyStoreOptions {
        clock: Arc::new(SystemClock),
    };
    KeyStore::open(&context.directory.database(), options)
        .await
        .context("could not use the keys")
}

/// `fornax keys …`.
pub fn keys(context: &Context, command: KeysCommand) -> anyhow::Result<()> {
    small_runtime()?.block_on(async {
        let store = open(context).await?;
        let done = match command {
            KeysCommand::Create {
                name,
                scopes,
                tenant,
                expires,
            } => {
                let new = NewKey {
                    name,
                    tenant: tenant_id(&tenant)?,
                    scopes: scope_set(&scopes)?,
                    expires_unix: expiry(&expires)?,
                };
                create(&store, new).await
            }
            KeysCommand::List { tenant, json } => {
                let tenant = tenant.as_deref().map(tenant_id).transpose()?;
                list(&store, tenant.as_ref(), json).await
            }
            KeysCommand::Revoke { key } => revoke(&store, &key).await,
        };
        store.close().await;
        done
    })
}

fn tenant_id(text: &str) -> anyhow::Result<TenantId> {
    TenantId::new(text).map_err(|error| Ended::error(Exit::Usage, error.to_string()))
}

fn scope_set(texts: &[String]) -> anyhow::Result<Scopes> {
    texts
        .join(",")
        .parse()
        .map_err(|error: security::InvalidName| Ended::error(Exit::Usage, error.to_string()))
}

fn expiry(text: &str) -> anyhow::Result<Option<i64>> {
    if text == "never" {
        return Ok(None);
    }
    let after = read_duration(text).ok_or_else(|| {
        Ended::error(
            Exit::Usage,
            format!("--expires {text}: write 12h, 30d or never"),
        )
    })?;
    let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
    Ok(Some(now_unix().saturating_add(seconds)))
}

async fn create(store: &KeyStore, new: NewKey) -> anyhow::Result<()> {
    let created = store.create(new).await.context("could not make the key")?;
    let record = &created.record;
    let until = record.expires_unix.map_or_else(
        || "without end".to_owned(),
        |end| format!("until {}", moment(end)),
    );
    error_line(&format!(
        "key \"{}\" of tenant {} may use: {}; valid {until}. It is shown only now:",
        record.name, record.tenant, record.scopes
    ));
    // Alone on standard output, so that KEY=$(fornax keys create …) works.
    print(&format!("{}\n", created.key.expose()))
}

async fn list(store: &KeyStore, tenant: Option<&TenantId>, as_json: bool) -> anyhow::Result<()> {
    let records = store.list(tenant).await?;
    let now = now_unix();
    if as_json {
        let keys: Vec<_> = records.iter().map(|record| to_json(record, now)).collect();
        return print_json(&json!({ "keys": keys }));
    }
    if records.is_empty() {
        return print(
            "no keys yet; the first `fornax serve` makes one, `fornax keys create NAME` makes more\n",
        );
    }
    let when = |moment: Option<i64>, otherwise: &str| {
        moment.map_or_else(|| otherwise.to_owned(), |moment| relative(moment, now))
    };
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            vec![
                record.id.clone(),
                record.name.clone(),
                record.tenant.to_string(),
                record.scopes.to_string(),
                record.status(now).name().to_owned(),
                relative(record.created_unix, now),
                when(record.expires_unix, "never"),
                when(record.last_used_unix, "never"),
            ]
        })
        .collect();
    print(&table(
        &[
            "id", "name", "tenant", "scopes", "status", "created", "expires", "used",
        ],
        &rows,
    ))
}

fn to_json(record: &KeyRecord, now: i64) -> serde_json::Value {
    json!({
        "id": record.id,
        "name": record.name,
        "tenant": record.tenant.as_str(),
        "scopes": record.scopes.iter().map(security::Scope::name).collect::<Vec<_>>(),
        "status": record.status(now).name(),
        "created_unix": record.created_unix,
        "expires_unix": record.expires_unix,
        "revoked_unix": record.revoked_unix,
        "last_used_unix": record.last_used_unix,
    })
}

async fn revoke(store: &KeyStore, wanted: &str) -> anyhow::Result<()> {
    let record = store
        .revoke(wanted)
        .await
        .context("could not end the key")?;
    print(&format!(
        "key \"{}\" ({}) is ended; a running server refuses it within {} seconds\n",
        record.name,
        record.id,
        security::CACHE_TTL.as_secs()
    ))
}
