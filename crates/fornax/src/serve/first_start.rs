//! What the first start on a data directory brings: an administrator's key and the small model that the program carries.

use anyhow::Context as _;
use inference::store::{ModelStore, Origin, StoreError};
use platform::Secret;
use platform::files::{sha256_bytes, write_atomic};
use security::KeyStore;
use serde_json::json;

use crate::directory::{DataDirectory, MODE_PRIVATE};

/// Name of the shipped model.
pub const NANO_NAME: &str = "fornax-nano";
/// The shipped model itself.
static NANO: &[u8] = include_bytes!("../../../../models/fornax-nano/fornax-nano.gguf");

/// Makes the first administrator's key if this directory never had one, and writes it to `admin.key`.
///
/// # Errors
/// The database or the file cannot be written.
pub async fn first_admin(
    directory: &DataDirectory,
    keys: &KeyStore,
) -> anyhow::Result<Option<Secret>> {
    let Some(created) = keys
        .create_first_admin()
        .await
        .context("could not make the first key")?
    else {
        return Ok(None);
    };
    let path = directory.admin_key();
    write_atomic(
        &path,
        format!("{}\n", created.key.expose()).as_bytes(),
        MODE_PRIVATE,
    )
    .with_context(|| {
        format!(
            "could not write {}; `fornax keys create NAME --scope admin` makes another key",
            path.display()
        )
    })?;
    Ok(Some(created.key))
}

/// Puts the shipped model into a store that was never offered it, and renews one of an older version. A model that the
/// user removed or replaced stays so. True when the model is in the store because of this call.
///
/// # Errors
/// The store or the marker cannot be written.
pub fn offer_nano(directory: &DataDirectory, store: &ModelStore) -> anyhow::Result<bool> {
    let digest = format!("sha256:{}", sha256_bytes(NANO));
    let offered = offered_digest(directory);
    if offered.as_deref() == Some(&digest) {
        return Ok(false);
    }
    let wanted = match store.manifest(NANO_NAME) {
        // Ours, from an older version.
        Ok(manifest) => manifest.origin == Origin::Embedded && manifest.digest != digest,
        // Offered before and gone: the user does not want it.
        Err(StoreError::NotFound { .. }) => offered.is_none(),
        // A damaged manifest is for the user to decide about.
        Err(_) => false,
    };
    if wanted {
        store
            .import_bytes(NANO_NAME, NANO, Origin::Embedded)
            .context("could not add the shipped model")?;
    }
    let marker = format!("{}\n", json!({ NANO_NAME: digest }));
    write_atomic(
        &directory.embedded_marker(),
        marker.as_bytes(),
        MODE_PRIVATE,
    )
    .context("could not note the shipped model")?;
    Ok(wanted)
}

fn offered_digest(directory: &DataDirectory) -> Option<String> {
    let text = std::fs::read(directory.embedded_marker()).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
    value[NANO_NAME].as_str().map(str::to_owned)
}
