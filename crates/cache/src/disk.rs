//! The disk tier: one checksummed file for each result, bounded in bytes, the least recently used leaving first.
//!
//! Files are renamed into place but not synced: a cache entry may be lost, and a torn one is a miss. Their names are the
//! hash of the key, in 256 directories; the key itself stands inside (see `frame`).

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Value;
use crate::frame;
use crate::key::{Key, matches};

/// Files take whole blocks of the file system.
const BLOCK_BYTES: u64 = 4096;

/// Bounds of the disk tier.
#[derive(Debug, Clone)]
pub struct DiskOptions {
    /// Where the files live; made when missing. Nothing else may write there.
    pub directory: PathBuf,
    /// Bytes of disk it may take, counted in whole blocks.
    pub bytes_max: u64,
    /// Values from this size on are compressed when that gains a tenth.
    pub compress_from_bytes: usize,
}

/// Results on disk.
#[derive(Debug)]
pub(crate) struct DiskTier {
    options: DiskOptions,
    value_bytes_max: usize,
    files: Mutex<Files>,
    damaged: AtomicU64,
    temporary: AtomicU64,
}

/// What is there, by hash and by last use.
#[derive(Debug, Default)]
struct Files {
    by_hash: HashMap<[u8; 32], (u64, u64)>,
    by_use: BTreeMap<u64, [u8; 32]>,
    uses: u64,
    bytes: u64,
}

impl Files {
    fn touch(&mut self, hash: [u8; 32], bytes: u64) {
        self.forget(&hash);
        self.uses += 1;
        self.by_hash.insert(hash, (bytes, self.uses));
        self.by_use.insert(self.uses, hash);
        self.bytes += bytes;
    }

    fn forget(&mut self, hash: &[u8; 32]) {
        if let Some((bytes, used)) = self.by_hash.remove(hash) {
            self.by_use.remove(&used);
            self.bytes -= bytes;
        }
    }

    fn oldest(&self) -> Option<[u8; 32]> {
        self.by_use.values().next().copied()
    }
}

fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

impl DiskTier {
    /// Takes stock of the directory: names and sizes only.
    pub(crate) fn open(options: DiskOptions, value_bytes_max: usize) -> std::io::Result<Self> {
        fs::create_dir_all(&options.directory)?;
        let mut found = Vec::new();
        for shard in fs::read_dir(&options.directory)? {
            let shard = shard?.path();
            if !shard.is_dir() {
                continue;
            }
            for file in fs::read_dir(&shard)? {
                let file = file?;
                let facts = file.metadata()?;
                match parse_name(&file.path()) {
                    Some(hash) => found.push((facts.modified().ok(), hash, blocks(facts.len()))),
                    // A write that a crash cut off.
                    None => drop(fs::remove_file(file.path())),
                }
            }
        }
        found.sort_by_key(|(modified, hash, _)| (*modified, *hash));
        let mut files = Files::default();
        for (_, hash, bytes) in found {
            files.touch(hash, bytes);
        }
        let tier = DiskTier {
            options,
            value_bytes_max,
            files: Mutex::new(files),
            damaged: AtomicU64::new(0),
            temporary: AtomicU64::new(0),
        };
        tier.make_room(0);
        Ok(tier)
    }

    /// The value and when it expires. Damaged and expired files are deleted.
    pub(crate) fn get(&self, key: &Key, now_ms: u64) -> Option<(Value, u64)> {
        let hash = key.hash();
        let bytes = self.files().by_hash.get(&hash)?.0;
        let path = self.path(&hash);
        let mut content = Vec::new();
        let limit = (frame::HEADER_BYTES + key.text().len() + self.value_bytes_max) as u64;
        let read =
            File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut content));
        let entry = read
            .ok()
            .and_then(|_| frame::decode(&content, key.text(), self.value_bytes_max));
        match entry {
            Some((value, expires_ms)) if expires_ms > now_ms => {
                self.files().touch(hash, bytes);
                Some((value, expires_ms))
            }
            expired => {
                if expired.is_none() {
                    self.damaged.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(file = %path.display(), "a cached result was damaged and is dropped");
                }
                self.drop_file(&hash);
                None
            }
        }
    }

    /// Stores a result; what does not fit or cannot be written is left out.
    pub(crate) fn put(&self, key: &Key, value: &[u8], expires_ms: u64) {
        let frame = frame::encode(
            key.text(),
            value,
            expires_ms,
            self.options.compress_from_bytes,
        );
        let bytes = blocks(frame.len() as u64);
        if bytes > self.options.bytes_max {
            return;
        }
        self.make_room(bytes);
        let hash = key.hash();
        if let Err(error) = self.write(&hash, &frame) {
            tracing::warn!(%error, directory = %self.options.directory.display(), "a result could not be cached on disk");
            return;
        }
        self.files().touch(hash, bytes);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an entry may be lost by a crash but never torn unnoticed: it carries a checksum, so no sync is paid for"
    )]
    fn write(&self, hash: &[u8; 32], frame: &[u8]) -> std::io::Result<()> {
        let path = self.path(hash);
        if let Some(shard) = path.parent() {
            fs::create_dir_all(shard)?;
        }
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{number}.part"));
        File::create(&temporary)?.write_all(frame)?;
        fs::rename(&temporary, &path)
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.drop_file(&key.hash());
    }

    /// Deletes matching entries; how many there were.
    pub(crate) fn clear(&self, tenant: Option<&str>, prefix: &str) -> u64 {
        let hashes: Vec<[u8; 32]> = self.files().by_hash.keys().copied().collect();
        let mut cleared = 0;
        for hash in hashes {
            // The key stands in the first bytes; 4 KiB hold every key that the product makes.
            let mut head = Vec::new();
            let read = File::open(self.path(&hash))
                .and_then(|file| file.take(BLOCK_BYTES).read_to_end(&mut head));
            let doomed = read.is_err()
                || frame::key_text(&head).is_none_or(|text| matches(text, tenant, prefix));
            if doomed {
                self.drop_file(&hash);
                cleared += 1;
            }
        }
        cleared
    }

    /// Entries, bytes on disk, and damaged entries found.
    pub(crate) fn usage(&self) -> (u64, u64, u64) {
        let files = self.files();
        (
            files.by_hash.len() as u64,
            files.bytes,
            self.damaged.load(Ordering::Relaxed),
        )
    }

    fn make_room(&self, bytes: u64) {
        loop {
            let oldest = {
                let files = self.files();
                if files.bytes + bytes <= self.options.bytes_max {
                    return;
                }
                files.oldest()
            };
            let Some(hash) = oldest else { return };
            self.drop_file(&hash);
        }
    }

    fn drop_file(&self, hash: &[u8; 32]) {
        self.files().forget(hash);
        // Gone already is as good.
        drop(fs::remove_file(self.path(hash)));
    }

    fn path(&self, hash: &[u8; 32]) -> PathBuf {
        let name = blake3::Hash::from_bytes(*hash).to_hex();
        self.options.directory.join(&name[..2]).join(&name[2..])
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse_name(path: &Path) -> Option<[u8; 32]> {
    let shard = path.parent()?.file_name()?.to_str()?;
    let rest = path.file_name()?.to_str()?;
    blake3::Hash::from_hex(format!("{shard}{rest}"))
        .ok()
        .map(|hash| *hash.as_bytes())
}
