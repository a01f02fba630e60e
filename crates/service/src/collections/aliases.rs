//! Other names of collections, in one small file per tenant that is replaced as a whole: several changes are made at
//! once or not at all, and a reader sees the names before or after them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use platform::files::{MODE_PRIVATE, write_atomic};
use serde::{Deserialize, Serialize};
use vectors::VectorsError;
use vectors::collection::limits::NAME_BYTES_MAX;

use super::failures::from_vectors;
use super::types::AliasChange;
use crate::error::{Error, ErrorKind, Result};

/// Name of the file.
const FILE: &str = "aliases.json";
/// Version of the file. Others are refused.
const VERSION: u32 = 1;
/// Most aliases of a tenant: the file is written whole with each change.
pub(super) const ALIASES_MAX: usize = 10_000;
/// Most changes in one request.
pub(super) const CHANGES_MAX: usize = 1_000;
/// The longest file: all names at their longest, escaped.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    /// Alias to collection.
    aliases: BTreeMap<String, String>,
}

/// The aliases of one tenant.
pub(crate) struct Aliases {
    path: PathBuf,
    /// What is on disk. Writers hold the tenant's `naming` besides.
    current: RwLock<Arc<BTreeMap<String, String>>>,
}

impl Aliases {
    /// Reads the file. Aliases of collections that `exists` does not know are what a crash left of a deletion; they go.
    pub(super) fn open(directory: &Path, exists: &dyn Fn(&str) -> bool) -> Result<Self> {
        let path = directory.join(FILE);
        let mut aliases = read(&path)?;
        aliases.retain(|_, collection| exists(collection));
        Ok(Aliases {
            path,
            current: RwLock::new(Arc::new(aliases)),
        })
    }

    /// All of them, by alias.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The collection that an alias stands for.
    pub(crate) fn target(&self, alias: &str) -> Option<String> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(alias)
            .cloned()
    }

    /// Makes the changes, all or none. Called by the holder of `naming`.
    pub(super) fn change(
        &self,
        changes: &[AliasChange],
        exists: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        let mut next = self.all().as_ref().clone();
        for change in changes {
            apply(&mut next, change, exists)?;
        }
        if next.len() > ALIASES_MAX {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                format!("There would be more than {ALIASES_MAX} aliases."),
            ));
        }
        self.store(next)
    }

    /// Forgets the aliases of a collection that was deleted. Called by the holder of `naming`.
    pub(super) fn forget(&self, collection: &str) -> Result<()> {
        let mut next = self.all().as_ref().clone();
        let before = next.len();
        next.retain(|_, target| target != collection);
        if next.len() == before {
            return Ok(());
        }
        self.store(next)
    }

    fn store(&self, next: BTreeMap<String, String>) -> Result<()> {
        let file = File {
            version: VERSION,
            aliases: next,
        };
        let bytes = serde_json::to_vec_pretty(&file)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        write_atomic(&self.path, &bytes, MODE_PRIVATE)
            .map_err(|error| from_vectors(VectorsError::io("write", &self.path, error)))?;
        let next = Arc::new(file.aliases);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

fn apply(
    aliases: &mut BTreeMap<String, String>,
    change: &AliasChange,
    exists: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let check_name = |alias: &str| {
        if alias.is_empty() || alias.len() > NAME_BYTES_MAX {
            return Err(Error::invalid(
                "alias_name",
                format!("An alias has 1 to {NAME_BYTES_MAX} bytes."),
            ));
        }
        if exists(alias) {
            return Err(super::failures::exists(alias));
        }
        Ok(())
    };
    let missing = |alias: &str| {
        Error::new(
            ErrorKind::NotFound,
            format!("Alias {alias} does not exists!"),
        )
    };
    match change {
        AliasChange::Create { alias, collection } => {
            check_name(alias)?;
            if !exists(collection) {
                return Err(super::failures::missing(collection));
            }
            // An alias that there is already is switched.
            aliases.insert(alias.clone(), collection.clone());
        }
        AliasChange::Delete { alias } => {
            // Deleting what is not there is done already.
            aliases.remove(alias);
        }
        AliasChange::Rename { from, to } => {
            check_name(to)?;
            let target = aliases.remove(from).ok_or_else(|| missing(from))?;
            aliases.insert(to.clone(), target);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<BTreeMap<String, String>> {
    let io = |error| from_vectors(VectorsError::io("read", path, error));
    let damaged = |message: String| {
        from_vectors(VectorsError::Corrupt {
            path: path.to_owned(),
            message,
        })
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(io(error)),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(damaged(format!("{} bytes", metadata.len())));
        }
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(io)?;
    let file: File = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if file.version != VERSION {
        return Err(damaged(format!("version {}", file.version)));
    }
    Ok(file.aliases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(alias: &str, collection: &str) -> AliasChange {
        AliasChange::Create {
            alias: alias.to_owned(),
            collection: collection.to_owned(),
        }
    }

    fn delete(alias: &str) -> AliasChange {
        AliasChange::Delete {
            alias: alias.to_owned(),
        }
    }

    #[test]
    fn several_changes_are_one_and_outlive_a_restart() {
        let directory = tempfile::tempdir().expect("directory");
        let exists = |name: &str| ["one", "two"].contains(&name);
        let aliases = Aliases::open(directory.path(), &exists).expect("open");
        aliases
            .change(&[create("live", "one")], &exists)
            .expect("created");
        // The switch: nobody sees a moment without `live`.
        aliases
            .change(
                &[delete("live"), create("live", "two"), create("old", "one")],
                &exists,
            )
            .expect("switched");
        let refused = aliases.change(&[delete("live"), create("x", "three")], &exists);
        assert_eq!(refused.expect_err("refused").kind, ErrorKind::NotFound);
        assert_eq!(aliases.target("live").as_deref(), Some("two"));
        let refused = aliases.change(&[create("one", "two")], &exists);
        assert_eq!(refused.expect_err("taken").kind, ErrorKind::Conflict);

        let again = Aliases::open(directory.path(), &|name| name == "two").expect("open");
        assert_eq!(again.target("live").as_deref(), Some("two"));
        assert_eq!(again.target("old"), None, "its collection is gone");
    }
}
