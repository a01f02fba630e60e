//! Bytes of an index: in its own memory while and after it is built, or a section of an open container.

use std::ops::Deref;
use std::sync::Arc;

use platform::buffer::AlignedBuffer;

use crate::error::VectorsError;

/// Bytes of a section, in memory or mapped. They must start on a multiple of 64 bytes.
pub type SectionBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Bytes that are read at random, on a multiple of 64.
pub(crate) enum Store {
    Owned(AlignedBuffer),
    Section(SectionBytes),
}

impl Store {
    /// Zeroed memory of its own.
    pub(crate) fn zeroed(component: &'static str, bytes: usize) -> Result<Self, VectorsError> {
        match AlignedBuffer::zeroed(bytes) {
            Ok(buffer) => Ok(Store::Owned(buffer)),
            Err(_) => Err(VectorsError::OverBudget {
                component,
                wanted_bytes: bytes as u64,
                free_bytes: 0,
            }),
        }
    }

    /// The bytes, to be written while an index is built; none of a section, which is never written.
    pub(crate) fn owned_mut(&mut self) -> &mut [u8] {
        match self {
            Store::Owned(buffer) => buffer,
            Store::Section(_) => &mut [],
        }
    }

    /// Bytes held in memory of its own.
    pub(crate) fn bytes_in_memory(&self) -> u64 {
        match self {
            Store::Owned(buffer) => buffer.len() as u64,
            Store::Section(_) => 0,
        }
    }

    /// The bytes as 32-bit words. Sections are checked for alignment when an index is opened.
    #[inline]
    pub(crate) fn words(&self) -> &[u32] {
        bytemuck::cast_slice(self)
    }

    /// The bytes as floats.
    #[inline]
    pub(crate) fn floats(&self) -> &[f32] {
        bytemuck::cast_slice(self)
    }
}

impl Deref for Store {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Store::Owned(buffer) => buffer,
            Store::Section(bytes) => (**bytes).as_ref(),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match self {
            Store::Owned(_) => "owned",
            Store::Section(_) => "section",
        };
        write!(formatter, "{place} {} bytes", self.len())
    }
}
