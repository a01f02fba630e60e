//! Read-only memory maps of whole files: gigabytes of weights are read without copying them.

#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; the condition is stated once, here"
)]

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
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

/// How a range of a map will be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// As the system does by itself.
    Normal,
    /// Here and there: nothing beside what is touched is worth reading.
    Random,
    /// From start to end: reading ahead pays.
    Sequential,
    /// Soon: start reading it now.
    WillNeed,
    /// Not for a while: the process gives its pages back and reads them again, from the page cache or the disk, when it needs to.
    Release,
}

impl MappedFile {
    /// Tells the system how `range` will be read. A hint: ranges behind the end, and systems that know no such hint,
    /// are no error.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn advise(&self, range: Range<usize>, advice: Advice) -> io::Result<()> {
        let Some(map) = &self.map else { return Ok(()) };
        let end = range.end.min(map.len());
        if range.start >= end {
            return Ok(());
        }
        #[cfg(unix)]
        {
            let advice = match advice {
                Advice::Normal => memmap2::Advice::Normal,
                Advice::Random => memmap2::Advice::Random,
                Advice::Sequential => memmap2::Advice::Sequential,
                Advice::WillNeed => memmap2::Advice::WillNeed,
                Advice::Release => {
                    // SAFETY: the map is read-only and of a file, so whoever reads a released page gets the same bytes again.
                    return unsafe {
                        map.unchecked_advise_range(
                            memmap2::UncheckedAdvice::DontNeed,
                            range.start,
                            end - range.start,
                        )
                    };
                }
            };
            map.advise_range(advice, range.start, end - range.start)?;
        }
        #[cfg(not(unix))]
        let _ = advice;
        Ok(())
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
        let map = MappedFile::open(&path).expect("map");
        assert_eq!(&*map, b"weights");
        for advice in [
            Advice::Random,
            Advice::WillNeed,
            Advice::Release,
            Advice::Normal,
        ] {
            map.advise(1..4, advice).expect("inside");
            map.advise(5..900, advice).expect("beyond the end");
        }
        crate::files::write_atomic(&path, b"", crate::files::MODE_SHARED).expect("write");
        assert_eq!(&*MappedFile::open(&path).expect("map"), b"");
        std::fs::remove_file(&path).expect("remove");
    }
}
