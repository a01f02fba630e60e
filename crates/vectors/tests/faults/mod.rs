//! A disk in memory that loses, tears and reorders whatever was not synced when the power goes.
//!
//! Stricter than any file system: bytes survive for certain only up to a sync of their file, a name only after a sync of
//! its directory, and the name of the directory itself only after a sync of its parent. Everything else survives or not as
//! the seed decides: lost, kept, cut in the middle, or in pieces of one sector with zeros or noise between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::{Error, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use vectors::VectorsError;
use vectors::storage::Bytes;
use vectors::storage::disk::{DirectoryEntry, Disk, DiskFile};

/// What a disk writes at once, or not at all.
const SECTOR_BYTES: usize = 512;
/// The directory that is always there.
const ROOT: usize = 0;

/// Numbers from a seed (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn chance(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[derive(Debug, Clone)]
enum Node {
    File {
        bytes: Vec<u8>,
        /// Bytes that survive for certain.
        durable: usize,
    },
    Directory {
        entries: BTreeMap<String, usize>,
        /// Entries that survive for certain.
        durable: BTreeMap<String, usize>,
    },
}

/// Names that change together: `None` takes the name away.
type NameChange = Vec<(usize, String, Option<usize>)>;

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Node>,
    /// Changes of names that were not synced, in order.
    pending: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    /// Changes made so far.
    steps: u64,
    /// The step at which the power goes.
    power_until: Option<u64>,
    /// Changes of paths that contain this wait.
    held: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when nothing is held any more.
    released: Condvar,
}

/// The disk. Clones share it.
#[derive(Debug, Clone)]
pub struct FaultDisk(Arc<Shared>);

impl Default for FaultDisk {
    fn default() -> Self {
        FaultDisk::of(State {
            nodes: vec![empty_directory()],
            ..State::default()
        })
    }
}

fn empty_directory() -> Node {
    Node::Directory {
        entries: BTreeMap::new(),
        durable: BTreeMap::new(),
    }
}

impl FaultDisk {
    fn of(state: State) -> Self {
        FaultDisk(Arc::new(Shared {
            state: Mutex::new(state),
            released: Condvar::new(),
        }))
    }

    /// Has changes of paths that contain `part` wait until [`FaultDisk::release`].
    pub fn hold(&self, part: &'static str) {
        self.lock().held = Some(part);
    }

    /// Lets everything go on that waits.
    pub fn release(&self) {
        self.lock().held = None;
        self.0.released.notify_all();
    }

    /// Lets the power go when `steps` more changes were made: that one and all after it fail and change nothing.
    pub fn cut_power_after(&self, steps: u64) {
        let mut state = self.lock();
        state.power_until = Some(state.steps + steps);
    }

    /// Changes made since the disk was new: writes, syncs, names.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// What a machine finds on this disk when the power is back.
    pub fn after_power_cut(&self, seed: u64) -> FaultDisk {
        let mut random = Random(seed);
        let state = self.lock();
        let mut nodes: Vec<Node> = state
            .nodes
            .iter()
            .map(|node| match node {
                Node::File { bytes, durable } => {
                    let bytes = surviving(bytes, *durable, &mut random);
                    let durable = bytes.len();
                    Node::File { bytes, durable }
                }
                Node::Directory { durable, .. } => Node::Directory {
                    entries: durable.clone(),
                    durable: durable.clone(),
                },
            })
            .collect();
        let kept: Vec<bool> = match random.below(4) {
            0 => vec![false; state.pending.len()],
            1 => vec![true; state.pending.len()],
            2 => {
                let until = random.below(state.pending.len() + 1);
                (0..state.pending.len()).map(|at| at < until).collect()
            }
            _ => state.pending.iter().map(|_| random.chance()).collect(),
        };
        for (change, kept) in state.pending.iter().zip(kept) {
            if kept {
                apply(&mut nodes, change, true);
                apply(&mut nodes, change, false);
            }
        }
        FaultDisk::of(State {
            nodes,
            ..State::default()
        })
    }

    /// What a new process finds when the old one was killed and the machine runs on: everything.
    pub fn after_kill(&self) -> FaultDisk {
        let state = self.lock();
        FaultDisk::of(State {
            nodes: state.nodes.clone(),
            pending: state.pending.clone(),
            ..State::default()
        })
    }

    /// Every file and its length.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let state = self.lock();
        let mut files = Vec::new();
        let mut left = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, node)) = left.pop() {
            match &state.nodes[node] {
                Node::File { bytes, .. } => files.push((path, bytes.len())),
                Node::Directory { entries, .. } => {
                    left.extend(entries.iter().map(|(name, &node)| (path.join(name), node)));
                }
            }
        }
        files.sort();
        files
    }

    /// Changes one byte of a file behind everybody's back.
    pub fn flip(&self, path: &Path, offset: usize) {
        let mut state = self.lock();
        let node = state.find(path).expect("a file");
        let Node::File { bytes, .. } = &mut state.nodes[node] else {
            panic!("{} is a directory", path.display());
        };
        bytes[offset] ^= 0x20;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a change when there is power.
    fn change<T>(
        &self,
        action: &'static str,
        path: &Path,
        work: impl FnOnce(&mut State) -> Result<T, ErrorKind>,
    ) -> Result<T, VectorsError> {
        let held = |state: &mut State| {
            let part = state.held;
            part.is_some_and(|part| path.to_string_lossy().contains(part))
        };
        let waiting = self.0.released.wait_while(self.lock(), held);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        let power = state.power_until.is_none_or(|until| state.steps < until);
        if !power {
            return Err(VectorsError::io(action, path, Error::other("no power")));
        }
        state.steps += 1;
        work(&mut state).map_err(|kind| VectorsError::io(action, path, kind.into()))
    }

    fn file(&self, path: &Path, node: usize) -> Box<dyn DiskFile> {
        Box::new(FaultFile {
            disk: self.clone(),
            path: path.to_owned(),
            node,
        })
    }
}

/// The bytes of a file after the power was cut.
fn surviving(bytes: &[u8], durable: usize, random: &mut Random) -> Vec<u8> {
    let unsynced = bytes.len() - durable;
    let mut left = bytes.to_vec();
    match random.below(4) {
        0 => left.truncate(durable),
        1 => {}
        2 => left.truncate(durable + random.below(unsynced + 1)),
        _ => {
            let noise = random.chance();
            let mut start = durable;
            while start < left.len() {
                let end = (start / SECTOR_BYTES + 1) * SECTOR_BYTES;
                let end = end.min(left.len());
                if random.chance() {
                    let fill = if noise { random.next() as u8 } else { 0 };
                    left[start..end].fill(fill);
                }
                start = end;
            }
        }
    }
    left
}

/// Does a change of names, of the visible entries or of those that survive.
fn apply(nodes: &mut [Node], change: &NameChange, of_durable: bool) {
    for (directory, name, node) in change {
        let Node::Directory { entries, durable } = &mut nodes[*directory] else {
            panic!("names live in directories");
        };
        let map = if of_durable { durable } else { entries };
        match node {
            Some(node) => map.insert(name.clone(), *node),
            None => map.remove(name),
        };
    }
}

impl State {
    fn find(&self, path: &Path) -> Result<usize, ErrorKind> {
        let mut node = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let Node::Directory { entries, .. } = &self.nodes[node] else {
                return Err(ErrorKind::NotADirectory);
            };
            let name = name.to_str().expect("tests use Unicode");
            node = *entries.get(name).ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn place(&self, path: &Path) -> Result<(usize, String), ErrorKind> {
        let parent = self.find(path.parent().ok_or(ErrorKind::InvalidInput)?)?;
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        Ok((parent, name.to_str().expect("tests use Unicode").to_owned()))
    }

    fn rename_all(&mut self, change: NameChange) {
        apply(&mut self.nodes, &change, false);
        self.pending.push(change);
    }

    fn add(&mut self, path: &Path, node: Node) -> Result<usize, ErrorKind> {
        if self.find(path).is_ok() {
            return Err(ErrorKind::AlreadyExists);
        }
        let (parent, name) = self.place(path)?;
        self.nodes.push(node);
        let node = self.nodes.len() - 1;
        self.rename_all(vec![(parent, name, Some(node))]);
        Ok(node)
    }

    fn bytes(&self, path: &Path) -> Result<&Vec<u8>, ErrorKind> {
        match &self.nodes[self.find(path)?] {
            Node::File { bytes, .. } => Ok(bytes),
            Node::Directory { .. } => Err(ErrorKind::IsADirectory),
        }
    }
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    path: PathBuf,
    node: usize,
}

impl DiskFile for FaultFile {
    fn append(&self, more: &[u8]) -> Result<(), VectorsError> {
        self.disk.change("write", &self.path, |state| {
            if let Node::File { bytes, .. } = &mut state.nodes[self.node] {
                bytes.extend_from_slice(more);
            }
            Ok(())
        })
    }

    fn sync(&self) -> Result<(), VectorsError> {
        self.disk.change("sync", &self.path, |state| {
            if let Node::File { bytes, durable } = &mut state.nodes[self.node] {
                *durable = bytes.len();
            }
            Ok(())
        })
    }
}

#[derive(Debug)]
struct FaultLock {
    disk: FaultDisk,
    path: PathBuf,
}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.path);
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(ErrorKind) -> VectorsError {
    move |kind| VectorsError::io(action, path, kind.into())
}

impl Disk for FaultDisk {
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, VectorsError> {
        let node = self.change("create", path, |state| {
            state.add(
                path,
                Node::File {
                    bytes: Vec::new(),
                    durable: 0,
                },
            )
        })?;
        Ok(self.file(path, node))
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn DiskFile>, VectorsError> {
        let node = self.lock().find(path).map_err(io("open", path))?;
        Ok(self.file(path, node))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, VectorsError> {
        let state = self.lock();
        let bytes = state.bytes(path).map_err(io("read", path))?;
        assert!(bytes.len() as u64 <= limit);
        Ok(bytes.clone())
    }

    fn map(&self, path: &Path) -> Result<Bytes, VectorsError> {
        let state = self.lock();
        let bytes = state.bytes(path).map_err(io("map", path))?;
        Ok(Bytes::from_file_contents(bytes.clone(), path))
    }

    fn truncate(&self, path: &Path, length: u64) -> Result<(), VectorsError> {
        self.change("truncate", path, |state| {
            let node = state.find(path)?;
            if let Node::File { bytes, durable } = &mut state.nodes[node] {
                bytes.truncate(length as usize);
                *durable = bytes.len();
            }
            Ok(())
        })
    }

    fn length(&self, path: &Path) -> Result<Option<u64>, VectorsError> {
        let state = self.lock();
        Ok(match state.find(path).map(|node| &state.nodes[node]) {
            Ok(Node::File { bytes, .. }) => Some(bytes.len() as u64),
            Ok(Node::Directory { .. }) => Some(0),
            Err(_) => None,
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), VectorsError> {
        self.change("rename", from, |state| {
            let node = state.find(from)?;
            let (old, old_name) = state.place(from)?;
            let (new, new_name) = state.place(to)?;
            state.rename_all(vec![(old, old_name, None), (new, new_name, Some(node))]);
            Ok(())
        })
    }

    fn hard_link(&self, existing: &Path, new: &Path) -> Result<(), VectorsError> {
        self.change("link", existing, |state| {
            let node = state.find(existing)?;
            if state.find(new).is_ok() {
                return Err(ErrorKind::AlreadyExists);
            }
            let (parent, name) = state.place(new)?;
            state.rename_all(vec![(parent, name, Some(node))]);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> Result<(), VectorsError> {
        self.change("remove", path, |state| {
            if state.find(path).is_ok() {
                let (parent, name) = state.place(path)?;
                state.rename_all(vec![(parent, name, None)]);
            }
            Ok(())
        })
    }

    fn remove_directory(&self, path: &Path) -> Result<(), VectorsError> {
        // As the machine does it: one file after the other, so that a power cut leaves half of them.
        for entry in self.list(path)?.unwrap_or_default() {
            let below = path.join(&entry.name);
            if entry.is_directory {
                self.remove_directory(&below)?;
            } else {
                self.remove(&below)?;
            }
        }
        self.remove(path)
    }

    fn create_directory(&self, path: &Path) -> Result<(), VectorsError> {
        self.change("create", path, |state| {
            let mut at = PathBuf::from("/");
            for part in path.components() {
                at.push(part);
                if state.find(&at).is_err() {
                    state.add(&at, empty_directory())?;
                }
            }
            Ok(())
        })
    }

    fn sync_directory(&self, path: &Path) -> Result<(), VectorsError> {
        self.change("sync", path, |state| {
            let directory = state.find(path)?;
            let (synced, left): (Vec<_>, Vec<_>) = std::mem::take(&mut state.pending)
                .into_iter()
                .partition(|change| change.iter().any(|(place, ..)| *place == directory));
            for change in synced {
                apply(&mut state.nodes, &change, true);
            }
            state.pending = left;
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<DirectoryEntry>>, VectorsError> {
        let state = self.lock();
        let Ok(node) = state.find(path) else {
            return Ok(None);
        };
        let Node::Directory { entries, .. } = &state.nodes[node] else {
            return Err(io("list", path)(ErrorKind::NotADirectory));
        };
        let entry = |(name, &node): (&String, &usize)| DirectoryEntry {
            name: name.clone(),
            is_directory: matches!(state.nodes[node], Node::Directory { .. }),
            bytes: match &state.nodes[node] {
                Node::File { bytes, .. } => bytes.len() as u64,
                Node::Directory { .. } => 0,
            },
        };
        Ok(Some(entries.iter().map(entry).collect()))
    }

    fn free_bytes(&self, _path: &Path) -> Option<u64> {
        None
    }

    fn lock(&self, directory: &Path) -> Result<Box<dyn Debug + Send + Sync>, VectorsError> {
        if !FaultDisk::lock(self).locks.insert(directory.to_owned()) {
            return Err(VectorsError::Locked {
                path: directory.to_owned(),
            });
        }
        Ok(Box::new(FaultLock {
            disk: self.clone(),
            path: directory.to_owned(),
        }))
    }
}
