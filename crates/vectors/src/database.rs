//! A directory of collections: one writer process, one memory budget, a few maintenance threads for all.
//!
//! ```text
//! <directory>/
//!   lock                     held while the database is open
//!   collections/<name>/      MANIFEST, wal/, segments/, snapshots/
//!   collections/.<name>.…    a restore that was not finished
//!   imports/                 archives being restored; removed at the next start
//! ```
//! Opening lists names and opens nothing: a collection opens when it is first asked for, and costs no thread and no open
//! file while nothing is written. Bytes of a name other than letters, digits, `.`, `_` and `-` stand as `%` and two
//! hexadecimal digits in its directory's name.

mod snapshots;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use platform::Clock;

pub use snapshots::Existing;

use crate::collection::limits::{self, NAME_BYTES_MAX};
use crate::collection::{Collection, CollectionOptions, Surroundings};
use crate::error::VectorsError;
use crate::memory::{Ledger, MemoryReport};
use crate::schema::CollectionSchema;
use crate::storage::disk::{SharedDisk, parent_of};
use crate::storage::{Disk, RealDisk, manifest, snapshot};

/// Collections whose maintenance can wait at once; more are asked for again by their next write.
const MAINTENANCE_QUEUE: usize = 1_024;
/// How long until a collection into which points come fast is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// What a directory's name may take in most file systems is 255; a restore adds some in front and behind.
const DIRECTORY_NAME_BYTES_MAX: usize = 240;
/// Begins the names of collections that are being deleted; `%` is followed by two digits in all others.
const DELETED: &str = "%deleted-";

/// How a database is opened.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// Heap bytes that all collections together may hold; `None` sets no limit. Writes that need more are refused.
    pub memory_budget_bytes: Option<u64>,
    /// The ledger that this database counts in as well: databases with one ledger above them share its budget. `None`
    /// stands alone.
    pub shared_ledger: Option<Arc<Ledger>>,
    /// Threads that seal, merge and index in the background. With 0 the writes that make such work necessary do it, which
    /// makes a run of operations repeatable.
    pub maintenance_threads: usize,
    /// How much the maintenance threads, and the ones that they start, give way to others: 0 not at all, 19 most. Where
    /// threads have no priority of their own it changes nothing.
    pub niceness: u8,
    /// Open collections kept for the next caller. The least recently used ones that nobody holds are closed.
    pub open_collections_max: usize,
    /// What collections do.
    pub collection: CollectionOptions,
    /// Time of points with an end.
    pub clock: Clock,
    /// Where files are.
    pub disk: SharedDisk,
}

impl Default for DatabaseOptions {
    /// No budget, one maintenance thread of niceness 10, 500 open collections (each that was written holds a
    /// file, and a process may by default have 1,024), the machine's clock and disk.
    fn default() -> Self {
        DatabaseOptions {
            memory_budget_bytes: None,
            shared_ledger: None,
            maintenance_threads: 1,
            niceness: 10,
            open_collections_max: 500,
            collection: CollectionOptions::default(),
            clock: Clock::system(),
            disk: Arc::new(RealDisk),
        }
    }
}

/// An open database. Shared between threads; dropping it closes every collection.
#[derive(Debug)]
pub struct Database {
    directory: PathBuf,
    surroundings: Surroundings,
    ledger: Arc<Ledger>,
    state: Arc<Mutex<State>>,
    open_collections_max: usize,
    threads: Vec<JoinHandle<()>>,
    /// The last to go: nobody else writes here while it lives.
    _lock: Box<dyn std::fmt::Debug + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    /// Counts uses, to tell which collection was not used for the longest time.
    uses: u64,
    open: usize,
}

#[derive(Debug, Default)]
struct Entry {
    open: Option<Arc<Collection>>,
    /// Taken while the collection is being opened, so that two callers do not open it twice.
    opening: Arc<Mutex<()>>,
    last_use: u64,
}

/// Where collections ask for maintenance.
#[derive(Debug, Clone)]
pub(crate) struct MaintenanceQueue {
    sender: Arc<Mutex<Option<SyncSender<String>>>>,
}

impl MaintenanceQueue {
    /// Asks for maintenance of a collection; false when the queue is full or the database is closing.
    pub(crate) fn ask(&self, name: &str) -> bool {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        match sender
            .as_ref()
            .map(|sender| sender.try_send(name.to_owned()))
        {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
        }
    }

    fn close(&self) {
        self.sender
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl Database {
    /// Opens the database in `directory`, which is created when it is missing.
    ///
    /// # Errors
    /// [`VectorsError::Locked`] while another process has it open, or as the disk says.
    pub fn open(directory: &Path, options: DatabaseOptions) -> Result<Database, VectorsError> {
        let disk = Arc::clone(&options.disk);
        let root = directory.join("collections");
        disk.create_directory(&root)?;
        // The names of both directories, without which everything below them would go with a power cut.
        disk.sync_directory(directory)?;
        disk.sync_directory(parent_of(directory))?;
        let lock = disk.lock(directory)?;
        snapshot::recover_replaced(disk.as_ref(), &root)?;
        disk.remove_directory(&directory.join(snapshots::IMPORTS))?;
        let mut state = State::default();
        for entry in disk.list(&root)?.unwrap_or_default() {
            if !entry.is_directory {
                continue;
            }
            if entry.name.starts_with(DELETED)
                || never_finished(disk.as_ref(), &root.join(&entry.name))?
            {
                disk.remove_directory(&root.join(&entry.name))?;
            } else if let Some(name) = decode(&entry.name) {
                state.entries.insert(name, Entry::default());
            }
        }
        let state = Arc::new(Mutex::new(state));
        let mut threads = Vec::new();
        let mut queue = None;
        if options.maintenance_threads > 0 {
            let (sender, receiver) = sync_channel(MAINTENANCE_QUEUE);
            queue = Some(MaintenanceQueue {
                sender: Arc::new(Mutex::new(Some(sender))),
            });
            let receiver = Arc::new(Mutex::new(receiver));
            for number in 0..options.maintenance_threads {
                let (receiver, state) = (Arc::clone(&receiver), Arc::downgrade(&state));
                let niceness = i32::from(options.niceness);
                let thread = std::thread::Builder::new()
                    .name(format!("vectors-maintenance-{number}"))
                    .spawn(move || {
                        platform::cpu::lower_thread_priority(niceness);
                        maintenance_thread(&receiver, &state);
                    })
                    .map_err(|error| VectorsError::io("start a thread for", directory, error))?;
                threads.push(thread);
            }
        }
        Ok(Database {
            directory: directory.to_owned(),
            ledger: match &options.shared_ledger {
                Some(shared) => shared.with_budget(options.memory_budget_bytes),
                None => Ledger::new(options.memory_budget_bytes),
            },
            surroundings: Surroundings {
                disk,
                clock: options.clock,
                options: Arc::new(options.collection),
                maintenance: queue,
            },
            state,
            open_collections_max: options.open_collections_max.max(1),
            threads,
            _lock: lock,
        })
    }

    /// Names of all collections, sorted.
    pub fn list(&self) -> Vec<String> {
        self.lock().entries.keys().cloned().collect()
    }

    /// Whether there is such a collection.
    pub fn contains(&self, name: &str) -> bool {
        self.lock().entries.contains_key(name)
    }

    /// Makes a collection.
    ///
    /// # Errors
    /// [`VectorsError::CollectionExists`], [`VectorsError::Invalid`] for a name or schema that cannot be, or as the disk says.
    pub fn create_collection(
        &self,
        name: &str,
        schema: CollectionSchema,
    ) -> Result<Arc<Collection>, VectorsError> {
        let directory = self.directory_of(name)?;
        let mut state = self.lock();
        if state.entries.contains_key(name) {
            return Err(VectorsError::CollectionExists {
                name: name.to_owned(),
            });
        }
        // Taken under the lock: of two creators of one name the second finds it taken.
        state.entries.insert(name.to_owned(), Entry::default());
        let opening = Arc::clone(&state.entries[name].opening);
        let guard = opening.lock().unwrap_or_else(PoisonError::into_inner);
        drop(state);
        let created = Collection::create(&self.surroundings, &directory, schema);
        drop(guard);
        if let Err(error) = created {
            self.lock().entries.remove(name);
            // What was made of the directory has no manifest, or one nobody was told of.
            let _ = self.surroundings.disk.remove_directory(&directory);
            return Err(error);
        }
        self.collection(name)
    }

    /// A collection, opened when it is not open yet.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`], or as opening it says.
    pub fn collection(&self, name: &str) -> Result<Arc<Collection>, VectorsError> {
        let missing = || VectorsError::CollectionMissing {
            name: name.to_owned(),
        };
        let mut state = self.lock();
        if let Some(open) = state.touch(name).ok_or_else(missing)? {
            return Ok(open);
        }
        let opening = Arc::clone(&state.entries[name].opening);
        drop(state);
        let _opening = opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = self.lock().touch(name).ok_or_else(missing)? {
            return Ok(open);
        }
        let opened = Arc::new(Collection::open(
            name,
            &self.directory_of(name)?,
            self.surroundings.clone(),
            self.ledger.below(),
        )?);
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(name) else {
            return Err(missing());
        };
        entry.open = Some(Arc::clone(&opened));
        state.open += 1;
        let idle = state.take_idle(self.open_collections_max);
        drop(state);
        for collection in idle {
            collection.close()?;
        }
        opened.maintain_if_needed()?;
        Ok(opened)
    }

    /// The collections that are open now. Asking is no use of them: who was not used for long is still closed first.
    pub fn open_collections(&self) -> Vec<Arc<Collection>> {
        let state = self.lock();
        let open = state
            .entries
            .values()
            .filter_map(|entry| entry.open.clone());
        open.collect()
    }

    /// Closes the collections that nobody holds and returns how many were closed. They open again when they are asked for.
    ///
    /// # Errors
    /// As the disk says.
    pub fn close_idle(&self) -> Result<usize, VectorsError> {
        let idle = self.lock().take_idle(0);
        for collection in &idle {
            collection.close()?;
        }
        Ok(idle.len())
    }

    /// Deletes a collection and its files. Who still holds it can read it to the end.
    ///
    /// # Errors
    /// [`VectorsError::CollectionMissing`], or as the disk says.
    pub fn delete_collection(&self, name: &str) -> Result<(), VectorsError> {
        let directory = self.directory_of(name)?;
        let disk = self.surroundings.disk.as_ref();
        let root = self.directory.join("collections");
        let opening = self.opening_of(name)?;
        let guard = opening.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.close_for_good(name, &opening)?;
        // A new name first: after it a crash cannot bring half a collection back, and the old name is free.
        let gone = root.join(format!("{DELETED}{number}"));
        disk.remove_directory(&gone)?;
        disk.rename(&directory, &gone)?;
        self.lock().entries.remove(name);
        drop(guard);
        disk.sync_directory(&root)?;
        disk.remove_directory(&gone)
    }

    /// What is held by who opens a collection, or puts other files in its place.
    fn opening_of(&self, name: &str) -> Result<Arc<Mutex<()>>, VectorsError> {
        let state = self.lock();
        let entry = state.entries.get(name);
        entry
            .map(|entry| Arc::clone(&entry.opening))
            .ok_or_else(|| VectorsError::CollectionMissing {
                name: name.to_owned(),
            })
    }

    /// Closes a collection whose files are about to go, and returns when nothing works on them. Who holds it can read it
    /// to the end. Returns a number that no other call gets. Called by the holder of `opening`, so that nobody opens it
    /// again meanwhile.
    fn close_for_good(&self, name: &str, opening: &Arc<Mutex<()>>) -> Result<u64, VectorsError> {
        let mut state = self.lock();
        state.uses += 1;
        let number = state.uses;
        let entry = state.entries.get_mut(name);
        // Deleted, and perhaps made again, while this call waited for its turn.
        let Some(entry) = entry.filter(|entry| Arc::ptr_eq(&entry.opening, opening)) else {
            return Err(VectorsError::CollectionMissing {
                name: name.to_owned(),
            });
        };
        let open = entry.open.take();
        state.open -= usize::from(open.is_some());
        drop(state);
        if let Some(open) = open {
            open.retire();
        }
        Ok(number)
    }

    /// Memory of all collections.
    pub fn memory(&self) -> MemoryReport {
        self.ledger.report()
    }

    /// Where the database is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory_of(&self, name: &str) -> Result<PathBuf, VectorsError> {
        if name.is_empty() {
            return Err(VectorsError::invalid("name", "is empty"));
        }
        limits::check("bytes of a collection's name", name.len(), NAME_BYTES_MAX)?;
        let encoded = encode(name);
        limits::check(
            "bytes of a collection's directory name",
            encoded.len(),
            DIRECTORY_NAME_BYTES_MAX,
        )?;
        Ok(self.directory.join("collections").join(encoded))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(queue) = &self.surroundings.maintenance {
            queue.close();
        }
        let entries = std::mem::take(&mut self.lock().entries);
        for collection in entries.into_values().filter_map(|entry| entry.open) {
            if let Err(error) = collection.close() {
                tracing::error!(collection = collection.name(), %error, "could not be closed well");
            }
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a maintenance thread panicked");
            }
        }
    }
}

impl State {
    /// `None` when there is no such collection; otherwise it, when it is open.
    fn touch(&mut self, name: &str) -> Option<Option<Arc<Collection>>> {
        let entry = self.entries.get_mut(name)?;
        self.uses += 1;
        entry.last_use = self.uses;
        Some(entry.open.clone())
    }

    /// Takes collections out that nobody else holds, least recently used first, until `keep` are open.
    fn take_idle(&mut self, keep: usize) -> Vec<Arc<Collection>> {
        if self.open <= keep {
            return Vec::new();
        }
        let mut idle: Vec<(u64, String)> = self
            .entries
            .iter()
            .filter(|(_, entry)| {
                let open = entry.open.as_ref();
                open.is_some_and(|open| Arc::strong_count(open) == 1 && !open.is_busy())
            })
            .map(|(name, entry)| (entry.last_use, name.clone()))
            .collect();
        idle.sort_unstable();
        idle.truncate(self.open - keep);
        self.open -= idle.len();
        idle.iter()
            .filter_map(|(_, name)| self.entries.get_mut(name)?.open.take())
            .collect()
    }
}

/// Whether a directory is what a crash left of a collection being created: no manifest, and nothing that needs one.
fn never_finished(disk: &dyn Disk, directory: &Path) -> Result<bool, VectorsError> {
    if disk.length(&directory.join(manifest::FILE_NAME))?.is_some() {
        return Ok(false);
    }
    let entries = disk.list(directory)?.unwrap_or_default();
    Ok(!entries.iter().any(|entry| entry.is_directory))
}

/// The next collection to look after: one that was asked for, or after a moment without any the first of `later`. `None` when
/// the database closes.
fn next_to_maintain(
    receiver: &Mutex<Receiver<String>>,
    later: &mut VecDeque<String>,
) -> Option<String> {
    if later.is_empty() {
        // One thread waits for work with the lock, the others for the lock.
        let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
        return receiver.recv().ok();
    }
    match receiver.try_lock() {
        Ok(receiver) => match receiver.recv_timeout(LOOK_AGAIN) {
            Ok(name) => return Some(name),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        },
        // Another thread takes what is asked for.
        Err(_) => std::thread::sleep(LOOK_AGAIN),
    }
    later.pop_front()
}

fn maintenance_thread(receiver: &Mutex<Receiver<String>>, state: &Weak<Mutex<State>>) {
    // Collections into which points come fast, at most as many as this thread has looked after.
    let mut later = VecDeque::new();
    loop {
        let next = next_to_maintain(receiver, &mut later);
        let (Some(name), Some(state)) = (next, state.upgrade()) else {
            return;
        };
        let collection = state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .get(&name)
            .and_then(|entry| entry.open.clone());
        drop(state);
        let Some(collection) = collection else {
            continue;
        };
        match collection.maintain_in_background() {
            Ok(true) => {
                if !later.contains(&name) {
                    later.push_back(name);
                }
            }
            Ok(false) | Err(VectorsError::Cancelled) => {}
            // The collection was closed meanwhile, or failed and said so when it did.
            Err(VectorsError::ReadOnly { .. }) => {}
            Err(error) => collection.note_damage(&error),
        }
    }
}

/// The directory name of a collection.
fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && place > 0);
        if plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The collection of a directory name; `None` when no collection has such a directory.
fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (encode(&name) == encoded).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_being_directories() {
        for (name, encoded) in [
            ("docs", "docs"),
            ("a.b-c_9", "a.b-c_9"),
            ("../x", "%2E.%2Fx"),
            (".", "%2E"),
            ("a b%", "a%20b%25"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(encode(name), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(name));
        }
        for other in ["%deleted-3", ".hidden", "a b", "%2", "%2f"] {
            assert_eq!(decode(other), None, "{other}");
        }
    }
}
