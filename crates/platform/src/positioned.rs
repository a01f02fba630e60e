//! Reads at given places of a file, into memory of the caller: what is read does not stay in the process, as pages of a map
//! do. Pages that the system has cached are copied; for the others the disk is asked once, for all of them together.

#![expect(
    unsafe_code,
    reason = "the system calls that read without waiting and that announce reads exist only as C functions"
)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file to be read at places. Shared between threads: there is no position that they would fight over.
#[derive(Debug)]
pub struct PositionedFile {
    file: File,
    /// Whether the file system refused to say what it has cached; asked once.
    cannot_tell: AtomicBool,
}

impl PositionedFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// As the operating system says; `InvalidInput` when `path` is not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        advise(&file, 0, 0, Announcement::Random);
        Ok(PositionedFile {
            file,
            cannot_tell: AtomicBool::new(false),
        })
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before, or as the operating system says.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        read_exact(&self.file, buffer, offset)
    }

    /// Fills `buffer` with one piece of `length` bytes for each of `offsets`, in their order. Pieces that are cached are
    /// copied at once; those that are not are announced to the disk together before the first of them is waited for, so that
    /// it reads them at the same time.
    ///
    /// # Errors
    /// As [`PositionedFile::read`].
    ///
    /// # Panics
    /// When `buffer` is not `offsets.len() * length` bytes long, or `length` is 0.
    pub fn read_pieces(&self, offsets: &[u64], length: usize, buffer: &mut [u8]) -> io::Result<()> {
        assert_eq!(buffer.len(), offsets.len() * length, "a place for each");
        if offsets.len() < 2 || self.cannot_tell.load(Ordering::Relaxed) {
            for (piece, &offset) in buffer.chunks_exact_mut(length).zip(offsets) {
                self.read(piece, offset)?;
            }
            return Ok(());
        }
        // Which pieces are not there yet, by 64: a number that needs no memory of its own.
        for (offsets, buffer) in offsets.chunks(64).zip(buffer.chunks_mut(64 * length)) {
            let mut absent = 0u64;
            for (place, (piece, &offset)) in
                (0u32..).zip(buffer.chunks_exact_mut(length).zip(offsets))
            {
                if !self.read_cached(piece, offset)? {
                    absent |= 1 << place;
                    advise(&self.file, offset, length, Announcement::Soon);
                }
            }
            for (place, (piece, &offset)) in
                (0u32..).zip(buffer.chunks_exact_mut(length).zip(offsets))
            {
                if absent >> place & 1 == 1 {
                    self.read(piece, offset)?;
                }
            }
        }
        Ok(())
    }

    /// Fills `piece` when the system has all of it in memory; false when it has not, or cannot tell.
    fn read_cached(&self, piece: &mut [u8], offset: u64) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let Ok(at) = libc::off_t::try_from(offset) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let target = libc::iovec {
                iov_base: piece.as_mut_ptr().cast(),
                iov_len: piece.len(),
            };
            // SAFETY: `target` describes `piece`, which is ours alone and lives longer than the call; the descriptor belongs
            // to `self.file`, which is open.
            let count =
                unsafe { libc::preadv2(self.file.as_raw_fd(), &target, 1, at, libc::RWF_NOWAIT) };
            if let Ok(count) = usize::try_from(count) {
                return Ok(count == piece.len());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(false),
                // The file system, or this kernel, knows no such reads.
                Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => {
                    self.cannot_tell.store(true, Ordering::Relaxed);
                    Ok(false)
                }
                _ => Err(error),
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (piece, offset);
            self.cannot_tell.store(true, Ordering::Relaxed);
            Ok(false)
        }
    }
}

#[cfg(unix)]
fn read_exact(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

/// What is said about reads to come.
#[derive(Debug, Clone, Copy)]
enum Announcement {
    /// They jump: nothing beside what is asked for is worth reading.
    Random,
    /// This range follows at once.
    Soon,
}

/// Tells the system of reads to come. A hint: what it makes of it is no error.
fn advise(file: &File, offset: u64, length: usize, announcement: Announcement) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let advice = match announcement {
            Announcement::Random => libc::POSIX_FADV_RANDOM,
            Announcement::Soon => libc::POSIX_FADV_WILLNEED,
        };
        if let (Ok(offset), Ok(length)) =
            (libc::off_t::try_from(offset), libc::off_t::try_from(length))
        {
            // SAFETY: no memory is passed; the descriptor belongs to `file`, which is open.
            let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), offset, length, advice) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, offset, length, announcement);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_the_order_asked_for_cached_or_not() {
        let directory = std::env::temp_dir();
        PositionedFile::open(&directory).expect_err("a directory");
        let path = directory.join(format!(
            "fornax-positioned-{:016x}",
            crate::entropy::random_u64().expect("entropy")
        ));
        let contents: Vec<u8> = (0..400_000u32).flat_map(u32::to_le_bytes).collect();
        crate::files::write_atomic(&path, &contents, crate::files::MODE_SHARED).expect("write");
        let file = PositionedFile::open(&path).expect("open");
        // More than one chunk of places, not in order, some twice.
        let offsets: Vec<u64> = (0..150u64).map(|at| at * 7919 % 390_000 * 4).collect();
        for cannot_tell in [false, true] {
            file.cannot_tell.store(cannot_tell, Ordering::Relaxed);
            let mut buffer = vec![0; offsets.len() * 12];
            file.read_pieces(&offsets, 12, &mut buffer).expect("inside");
            for (piece, &offset) in buffer.chunks(12).zip(&offsets) {
                assert_eq!(piece, &contents[offset as usize..][..12]);
            }
        }
        file.cannot_tell.store(false, Ordering::Relaxed);
        let end = contents.len() as u64 - 6;
        for offsets in [[0, end], [end, u64::MAX]] {
            file.read_pieces(&offsets, 12, &mut [0; 24])
                .expect_err("behind the end");
        }
        let mut last = [0; 6];
        file.read(&mut last, end).expect("inside");
        assert_eq!(last, contents[end as usize..]);
        std::fs::remove_file(&path).expect("remove");
    }
}
