//! Batches in the row counts that the processor's kernels compute best.
//!
//! ggml repacks some four-bit weights on x86 and multiplies them by blocks of 16 rows (tokens); rows beyond the last
//! whole block go by fours and then one by one. So a batch that ends in the middle of a block is filled up with tokens
//! that nobody reads, in a sequence of their own, which is emptied after every call.
//!
//! The thresholds come from a sweep of batch sizes that other work disturbed, and `bench/serve` shows no gain beyond the
//! spread of its repeats: measure this alone on an idle machine before relying on it.

use crate::files::gguf::GgufHeader;

/// Rows of a block.
pub(super) const BLOCK: usize = 16;
/// Fewest tokens of the first block that are worth filling up: below this, fours are cheaper than a block.
const FIRST_BLOCK_MIN: usize = 10;
/// Fewest tokens of a later block that are worth filling up.
const LATER_BLOCK_MIN: usize = 4;
/// Labels of weights that are multiplied by blocks.
const REPACKED: [&str; 4] = ["Q4_0", "Q4_K", "IQ4_NL", "Q2_K"];

/// Whether the weights of this file are multiplied by blocks of rows on this machine.
pub(super) fn come_in_blocks(header: &GgufHeader, offloads: bool) -> bool {
    cfg!(target_arch = "x86_64")
        && !offloads
        && REPACKED
            .iter()
            .any(|label| header.quantization.starts_with(label))
}

/// Tokens to add to a batch of `tokens`.
pub(super) fn padding(tokens: usize) -> usize {
    let rest = tokens % BLOCK;
    let least = if tokens < BLOCK {
        FIRST_BLOCK_MIN
    } else {
        LATER_BLOCK_MIN
    };
    if rest >= least { BLOCK - rest } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_filled_up_when_that_is_cheaper_than_its_rest() {
        for (tokens, added) in [
            (1, 0),
            (9, 0),
            (10, 6),
            (15, 1),
            (16, 0),
            (17, 0),
            (19, 0),
            (20, 12),
            (31, 1),
            (32, 0),
            (500, 12),
        ] {
            assert_eq!(padding(tokens), added, "{tokens}");
        }
    }
}
