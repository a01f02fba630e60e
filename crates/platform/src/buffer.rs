//! Zeroed memory for large tables that are read at random: aligned to cache lines, on huge pages where the system has them.
//!
//! A table of 80 MB has 20,000 ordinary pages, more than a processor keeps translations of; each random read then walks the
//! page table first. With pages of 2 MiB it has 40.

#![expect(
    unsafe_code,
    reason = "a view of plain memory as atomics has no safe form yet"
)]

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU32;

use memmap2::MmapMut;

/// Tables from this size on get their own mapping: below, a huge page would mostly be air.
const MAPPED_FROM_BYTES: usize = 2 * HUGE_PAGE_BYTES;
/// The usual size of a huge page on x86-64 and on arm64 with 4 KiB pages.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// One cache line.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Zeroed, writable bytes whose first one lies on a multiple of 64.
#[derive(Debug)]
pub struct AlignedBuffer {
    memory: Memory,
    length: usize,
}

enum Memory {
    Lines(Vec<Line>),
    /// The bytes start at `offset`, on a huge page.
    Mapped {
        map: MmapMut,
        offset: usize,
    },
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Memory::Lines(_) => "lines",
            Memory::Mapped { .. } => "mapped",
        })
    }
}

impl AlignedBuffer {
    /// `length` bytes, all 0.
    ///
    /// # Errors
    /// `OutOfMemory` when the system has no room for them.
    pub fn zeroed(length: usize) -> io::Result<Self> {
        let memory = if length < MAPPED_FROM_BYTES {
            let mut lines = Vec::new();
            let count = length.div_ceil(64);
            lines
                .try_reserve_exact(count)
                .map_err(|_| io::ErrorKind::OutOfMemory)?;
            lines.resize(count, Line([0; 64]));
            Memory::Lines(lines)
        } else {
            let map = MmapMut::map_anon(length + HUGE_PAGE_BYTES)?;
            // Without huge pages the buffer only is slower; the advice may fail where the kernel has none.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            let offset = map.as_ptr().align_offset(HUGE_PAGE_BYTES);
            let offset = if offset <= HUGE_PAGE_BYTES { offset } else { 0 };
            Memory::Mapped { map, offset }
        };
        Ok(AlignedBuffer { memory, length })
    }

    /// The bytes as native-endian numbers that several threads read and write. The length must be a multiple of 4.
    ///
    /// # Panics
    /// When it is not.
    pub fn as_atomics(&mut self) -> &[AtomicU32] {
        let words: &mut [u32] = bytemuck::cast_slice_mut(&mut self[..]);
        // SAFETY: `AtomicU32` has the size and bit validity of `u32` and, on every target with 4-byte alignment of `u32`, its
        // alignment; the exclusive borrow ends all other access for as long as the atomics live.
        unsafe { std::slice::from_raw_parts(words.as_mut_ptr().cast::<AtomicU32>(), words.len()) }
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// As [`AlignedBuffer::zeroed`].
    pub fn copy_of(bytes: &[u8]) -> io::Result<Self> {
        let mut buffer = Self::zeroed(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Ok(buffer)
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Lines(lines) => &bytemuck::cast_slice(lines)[..self.length],
            Memory::Mapped { map, offset } => &map[*offset..][..self.length],
        }
    }
}

impl DerefMut for AlignedBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Lines(lines) => &mut bytemuck::cast_slice_mut(lines)[..self.length],
            Memory::Mapped { map, offset } => &mut map[*offset..][..self.length],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_every_size_are_zero_aligned_and_writable() {
        for length in [
            0,
            1,
            64,
            65,
            1 << 20,
            MAPPED_FROM_BYTES,
            MAPPED_FROM_BYTES + 777,
        ] {
            let mut buffer = AlignedBuffer::zeroed(length).expect("memory");
            assert_eq!(buffer.len(), length);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(buffer.iter().all(|&byte| byte == 0));
            if let Some(last) = buffer.last_mut() {
                *last = 7;
            }
            let copy = AlignedBuffer::copy_of(&buffer).expect("memory");
            assert!(copy[..] == buffer[..]);
        }
        let _ = AlignedBuffer::zeroed(usize::MAX / 4).expect_err("more than any machine has");
    }
}
