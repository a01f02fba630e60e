//! Counts of live rows, remembered until a row dies.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::VectorsError;

/// Most keys remembered: 16 bytes each in a map, a few hundred kilobytes for each index at the most.
const KEYS_MAX: usize = 8_192;

/// How many live rows the lists of keys have. Counting takes time in proportion to the list, and queries repeat their
/// words, so counts are kept as long as the number of dead rows stays what it was.
#[derive(Debug, Default)]
pub(crate) struct LiveCounts {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    removed: u32,
    counts: HashMap<u32, u64>,
}

impl LiveCounts {
    /// The count of `key` while `removed` rows of the segment are dead, computed when it isn't known. Always to be asked
    /// about the same segment.
    pub(crate) fn get(
        &self,
        removed: u32,
        key: u32,
        count: impl FnOnce() -> Result<u64, VectorsError>,
    ) -> Result<u64, VectorsError> {
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.removed == removed
                && let Some(&count) = known.counts.get(&key)
            {
                return Ok(count);
            }
        }
        // Without the lock: others may count meanwhile, at worst the same.
        let counted = count()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.removed != removed || known.counts.len() >= KEYS_MAX {
            known.counts.clear();
            known.removed = removed;
        }
        known.counts.insert(key, counted);
        Ok(counted)
    }

    /// Forgets all counts, because rows were added.
    pub(crate) fn clear(&mut self) {
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        known.counts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_until_a_row_dies() {
        let mut counts = LiveCounts::default();
        assert_eq!(counts.get(1, 7, || Ok(5)).unwrap(), 5);
        assert_eq!(counts.get(1, 7, || Ok(9)).unwrap(), 5);
        assert_eq!(counts.get(1, 8, || Ok(6)).unwrap(), 6);
        assert_eq!(counts.get(2, 7, || Ok(4)).unwrap(), 4);
        assert_eq!(counts.get(2, 8, || Ok(3)).unwrap(), 3);
        counts.clear();
        assert_eq!(counts.get(2, 7, || Ok(2)).unwrap(), 2);
        for key in 0..3 * KEYS_MAX as u32 {
            counts.get(2, key, || Ok(1)).unwrap();
        }
        assert!(counts.known.lock().unwrap().counts.len() <= KEYS_MAX);
    }
}
