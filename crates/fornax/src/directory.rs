//! The data directory: where everything of one installation is.
//!
//! ```text
//! lock            held by the server that runs here        admin.key   the first administrator's key, mode 0600
//! fornax.db       keys, metadata (SQLite)                  models/     weights and manifests
//! run/address     host:port the server listens on          run/url     the same as a client needs it
//! run/runners/    sockets and pids of model processes      embedded.json   which shipped model was offered
//! cache/          kept results, when a disk is allowed     science/    science models by tenant
//! collections/    collections of vectors by tenant
//! files/          uploaded files by tenant
//! ```

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use platform::Secret;
use platform::files::{create_private_directory, write_atomic};

use crate::config::{Environment, Settings};

/// Only the owner may read.
pub const MODE_PRIVATE: u32 = 0o600;

/// Paths below one data directory.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    root: PathBuf,
}

impl DataDirectory {
    /// The directory that the configuration names, or the user's usual one. Nothing is created.
    pub fn locate(settings: &Settings, environment: &Environment) -> Self {
        let usual = || {
            let of_user = environment.data_home.clone().or_else(|| {
                environment
                    .home
                    .as_ref()
                    .map(|home| home.join(".local/share"))
            });
            of_user.map_or_else(
                || PathBuf::from("/var/lib/fornax"),
                |directory| directory.join("fornax"),
            )
        };
        DataDirectory {
            root: settings.data.dir.clone().unwrap_or_else(usual),
        }
    }

    /// Makes the directory, for its owner only, when it is missing.
    ///
    /// # Errors
    /// What the system said, with the path and a remedy.
    pub fn create(&self) -> anyhow::Result<()> {
        create_private_directory(&self.root).with_context(|| {
            format!(
                "could not make the data directory {}; choose another with --data-dir",
                self.root.display()
            )
        })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Kept results of deterministic calls.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Science models, by tenant.
    pub fn science(&self) -> PathBuf {
        self.root.join("science")
    }

    /// Collections of vectors, by tenant.
    pub fn collections(&self) -> PathBuf {
        self.root.join("collections")
    }

    /// Uploaded files, by tenant.
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// The model store's directory.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// The database of keys, and of metadata unless that is in PostgreSQL.
    pub fn database(&self) -> PathBuf {
        self.root.join("fornax.db")
    }

    /// The first administrator's key.
    pub fn admin_key(&self) -> PathBuf {
        self.root.join("admin.key")
    }

    /// Where the server says how it can be reached.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Sockets and pids of model processes.
    pub fn runners(&self) -> PathBuf {
        self.run().join("runners")
    }

    /// Which version of the shipped model was offered to this store.
    pub fn embedded_marker(&self) -> PathBuf {
        self.root.join("embedded.json")
    }

    /// The key in `admin.key`, if there is one.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read_admin_key(&self) -> io::Result<Option<Secret>> {
        match std::fs::read_to_string(self.admin_key()) {
            Ok(text) => Ok(Some(Secret::new(text.trim()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes how the server can be reached: `run/address` and `run/url`.
    ///
    /// # Errors
    /// What the system said.
    pub fn announce(&self, address: &str, url: &str) -> io::Result<()> {
        write_atomic(
            &self.run().join("url"),
            format!("{url}\n").as_bytes(),
            MODE_PRIVATE,
        )?;
        write_atomic(
            &self.run().join("address"),
            format!("{address}\n").as_bytes(),
            MODE_PRIVATE,
        )
    }

    /// Takes back what [`DataDirectory::announce`] wrote.
    pub fn withdraw(&self) {
        for name in ["address", "url"] {
            // Gone already is as good.
            drop(std::fs::remove_file(self.run().join(name)));
        }
    }

    /// The address of the server that runs here, as it announced it.
    pub fn server_url(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.run().join("url")).ok()?;
        Some(text.trim().to_owned()).filter(|url| !url.is_empty())
    }
}
