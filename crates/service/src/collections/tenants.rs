//! The databases of the tenants, each opened when it is first asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use platform::files::create_private_directory;
use security::TenantId;
use vectors::memory::Ledger;
use vectors::{Database, DatabaseOptions, VectorsError};

use super::CollectionsOptions;
use super::aliases::Aliases;
use super::failures;
use crate::error::Result;
use crate::failures as kinds;

/// The open parts of one tenant.
pub(crate) struct Tenant {
    /// Its collections.
    pub(crate) database: Database,
    /// Their other names.
    pub(crate) aliases: Aliases,
    /// Held by who changes which names there are: one name never becomes two things.
    pub(super) naming: Mutex<()>,
    /// Held by who reads a schema and writes it changed.
    pub(super) changing: Mutex<()>,
}

impl Tenant {
    /// The collection that `name` means: itself, or what the alias stands for.
    pub(crate) fn resolve(&self, name: &str) -> String {
        self.aliases.target(name).unwrap_or_else(|| name.to_owned())
    }

    /// Holds the names as they are.
    pub(super) fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One tenant's place, whether or not its database is open.
#[derive(Default)]
struct Slot {
    /// Locked while the database is being opened, so that two callers do not open it twice.
    open: Mutex<Option<Arc<Tenant>>>,
}

/// All tenants. Blocking.
pub(crate) struct Tenants {
    options: CollectionsOptions,
    ledger: Arc<Ledger>,
    /// `None` once closed.
    slots: Mutex<Option<BTreeMap<TenantId, Arc<Slot>>>>,
}

impl Tenants {
    pub(super) fn new(options: CollectionsOptions, ledger: Arc<Ledger>) -> Self {
        Tenants {
            options,
            ledger,
            slots: Mutex::new(Some(BTreeMap::new())),
        }
    }

    fn directory(&self, tenant: &TenantId) -> PathBuf {
        self.options.directory.join(tenant.as_str())
    }

    /// The tenant's parts; `None` when it never had a collection.
    pub(crate) fn find(&self, tenant: &TenantId) -> Result<Option<Arc<Tenant>>> {
        self.open(tenant, false)
    }

    /// The tenant's parts, made when there are none.
    pub(crate) fn find_or_create(&self, tenant: &TenantId) -> Result<Arc<Tenant>> {
        let open = self.open(tenant, true)?;
        open.ok_or_else(|| kinds::internal("the directory of the tenant was not made"))
    }

    fn open(&self, tenant: &TenantId, create: bool) -> Result<Option<Arc<Tenant>>> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let slots = slots.as_mut().ok_or_else(kinds::draining)?;
            match slots.get(tenant) {
                Some(slot) => Arc::clone(slot),
                None => {
                    // Who only asks leaves nothing behind.
                    if !create && !self.directory(tenant).is_dir() {
                        return Ok(None);
                    }
                    Arc::clone(slots.entry(tenant.clone()).or_default())
                }
            }
        };
        let mut open = slot.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.as_ref() {
            return Ok(Some(Arc::clone(open)));
        }
        let opened = Arc::new(self.open_directory(tenant)?);
        *open = Some(Arc::clone(&opened));
        Ok(Some(opened))
    }

    fn open_directory(&self, tenant: &TenantId) -> Result<Tenant> {
        let directory = self.directory(tenant);
        create_private_directory(&directory)
            .map_err(|error| VectorsError::io("create", &directory, error))
            .map_err(failures::from_vectors)?;
        let options = DatabaseOptions {
            shared_ledger: Some(Arc::clone(&self.ledger)),
            maintenance_threads: self.options.maintenance_threads.max(1),
            clock: self.options.clock.clone(),
            ..DatabaseOptions::default()
        };
        let database = Database::open(&directory, options).map_err(failures::from_vectors)?;
        let aliases = Aliases::open(&directory, &|name| database.contains(name))?;
        Ok(Tenant {
            database,
            aliases,
            naming: Mutex::default(),
            changing: Mutex::default(),
        })
    }

    /// The tenants that are open now.
    pub(super) fn opened(&self) -> Vec<Arc<Tenant>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slots: Vec<Arc<Slot>> = slots
            .iter()
            .flat_map(|slots| slots.values().cloned())
            .collect();
        // A slot that is being opened just now has nothing to show yet.
        slots
            .iter()
            .filter_map(|slot| slot.open.try_lock().ok()?.clone())
            .collect()
    }

    /// Closes every database and opens none from now on. Returns when everything is on disk, but for what a caller still
    /// holds: that closes with its last holder.
    pub(super) fn close(&self) {
        let slots = self
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        for slot in slots.into_iter().flat_map(BTreeMap::into_values) {
            let tenant = slot
                .open
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            drop(tenant);
        }
    }
}
