//! Read-only memory maps of whole files: gigabytes of weights are read without copying them.

#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; the condition is stated once, here"
)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// The bytes of a file, mapped read-only. Empty files give an empty slice.
///
/// The file must not be truncated while it is mapped: reading behind the new end would end the process. Fornax maps
/// files of its model store, which it never changes in place, and files that its user names on the command line.
#[derive(Debug)]
pub struct MappedFile {
    /// `None` for an empty file, which cannot be mapped.
    map: Option<Mmap>,
}

impl MappedFile {
    /// Maps the regular file at `path`.
    ///
    /// # Errors
    /// As the operating system says; `InvalidInput` when `path` is not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        if facts.len() == 0 {
            return Ok(MappedFile { map: None });
        }
        // SAFETY: the map is read-only and private to this value. Its bytes stay valid as long as nobody truncates the
        // file; callers map only files of the store, which are immutable by construction, or files that the user
        // hands over for one command. The worst outcome of breaking that is a SIGBUS of this process.
        let map = unsafe { Mmap::map(&file)? };
        Ok(MappedFile { map: Some(map) })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_bytes_and_refuses_directories() {
        let directory = std::env::temp_dir();
        MappedFile::open(&directory).expect_err("a directory");
        let path = directory.join(format!(
            "fornax-mapping-{:016x}",
            crate::entropy::random_u64().expect("entropy")
        ));
        crate::files::write_atomic(&path, b"weights", crate::files::MODE_SHARED).expect("write");
        assert_eq!(&*MappedFile::open(&path).expect("map"), b"weights");
        crate::files::write_atomic(&path, b"", crate::files::MODE_SHARED).expect("write");
        assert_eq!(&*MappedFile::open(&path).expect("map"), b"");
        std::fs::remove_file(&path).expect("remove");
    }
}
