//! One tensor's data in place, and its rows as 32-bit floats.

use half::{bf16, f16};

use super::{ElementType, TensorInfo, field};
use crate::files::error::{FileError, FileErrorKind};

/// A tensor inside a mapped file. Nothing is copied until a row is read.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    info: &'a TensorInfo,
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// `bytes` is exactly the tensor's data.
    pub(super) fn new(info: &'a TensorInfo, bytes: &'a [u8]) -> Self {
        debug_assert_eq!(bytes.len() as u64, info.bytes);
        Self { info, bytes }
    }

    /// Name, type and shape.
    #[must_use]
    pub fn info(&self) -> &'a TensorInfo {
        self.info
    }

    /// The data as stored.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Elements of one row: the last dimension, 1 for a single number.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.info.shape.last().map_or(1, |&length| length as usize)
    }

    /// Number of rows: the product of all dimensions but the last.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self.columns() {
            0 => 0,
            columns => self.info.elements() as usize / columns,
        }
    }

    /// Reads row `index` into `row` (resized to [`TensorView::columns`]).
    ///
    /// # Errors
    /// [`FileErrorKind::Unsupported`] unless the elements are F32, F16 or BF16.
    ///
    /// # Panics
    /// When `index` is not below [`TensorView::rows`].
    pub fn read_row(&self, index: usize, row: &mut Vec<f32>) -> Result<(), FileError> {
        let columns = self.columns();
        let row_bytes = columns * self.info.element.bytes() as usize;
        self.decode(&self.bytes[index * row_bytes..(index + 1) * row_bytes], row)
    }

    /// All elements, row by row.
    ///
    /// # Errors
    /// As [`TensorView::read_row`].
    pub fn to_f32(&self) -> Result<Vec<f32>, FileError> {
        let mut all = Vec::new();
        self.decode(self.bytes, &mut all)?;
        Ok(all)
    }

    fn decode(&self, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), FileError> {
        fn each<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, to: impl Fn([u8; N]) -> f32) {
            let (elements, _) = bytes.as_chunks::<N>();
            out.extend(elements.iter().map(|&element| to(element)));
        }
        out.clear();
        match self.info.element {
            ElementType::F32 => each(bytes, out, f32::from_le_bytes),
            ElementType::F16 => each(bytes, out, |element| f16::from_le_bytes(element).to_f32()),
            ElementType::BF16 => each(bytes, out, |element| bf16::from_le_bytes(element).to_f32()),
            other => {
                let message = format!(
                    "{} cannot be read as numbers of 32 bits; F32, F16 or BF16 is expected",
                    other.name()
                );
                let place = field(&self.info.name, "dtype");
                return Err(FileError::new(
                    FileErrorKind::Unsupported,
                    place,
                    self.info.offset,
                    message,
                ));
            }
        }
        Ok(())
    }
}
