//! The two parameters of BM25.

use serde::{Deserialize, Serialize};

use crate::error::VectorsError;

/// How repetitions and lengths count in BM25 (Robertson & Zaragoza 2009).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bm25 {
    /// How fast repetitions of a term stop to matter; at least 0.
    pub k1: f32,
    /// How much long texts are held back, 0 to 1.
    pub b: f32,
}

impl Default for Bm25 {
    /// `k1` 1.2 and `b` 0.75, the usual values since TREC-3 (Robertson et al. 1994).
    fn default() -> Self {
        Bm25 { k1: 1.2, b: 0.75 }
    }
}

/// By bits, so that schemas can be compared.
impl PartialEq for Bm25 {
    fn eq(&self, other: &Self) -> bool {
        (self.k1.to_bits(), self.b.to_bits()) == (other.k1.to_bits(), other.b.to_bits())
    }
}

impl Eq for Bm25 {}

impl Bm25 {
    /// Refuses values that would turn the order around.
    ///
    /// # Errors
    /// [`VectorsError::Invalid`] naming the parameter.
    pub fn validate(&self) -> Result<(), VectorsError> {
        if !self.k1.is_finite() || self.k1 < 0.0 {
            return Err(VectorsError::invalid("k1", "must be at least 0"));
        }
        if !(0.0..=1.0).contains(&self.b) {
            return Err(VectorsError::invalid("b", "must be from 0 to 1"));
        }
        Ok(())
    }
}
