//! SHA-256 of streams and files, as lowercase hexadecimal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes read at a time when hashing a file: large enough that system calls do not matter, small enough for any stack of
/// caches (and allocated once).
pub const HASH_BUFFER_BYTES: usize = 1 << 20;

/// A SHA-256 fed piece by piece. Also a `Write`, so that it can stand in a copy.
#[derive(Debug, Clone, Default)]
pub struct Sha256Hasher {
    state: Sha256,
    length: u64,
}

impl Sha256Hasher {
    /// A hasher of nothing yet.
    pub fn new() -> Self {
        Sha256Hasher::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Bytes added so far.
    pub fn length_bytes(&self) -> u64 {
        self.length
    }

    /// The digest, 64 lowercase hexadecimal digits.
    pub fn finish(self) -> String {
        hex::encode(self.state.finalize())
    }
}

impl Write for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of `bytes`, 64 lowercase hexadecimal digits.
pub fn sha256_bytes(bytes: &[u8]) -> String {
    let mut hasher = Sha256Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}

/// The SHA-256 of a file read from start to end; `progress` hears the bytes read so far after each piece.
///
/// # Errors
/// As the operating system says.
pub fn sha256_file(path: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    let mut hasher = Sha256Hasher::new();
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                progress(hasher.length_bytes());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
