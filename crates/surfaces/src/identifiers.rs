//! Identifiers that are unique but not secret: request ids and trace ids. The keys come from the standard library's
//! per-process random state, so two processes do not repeat each other; nothing here guards anything.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// 64 bits that this process has not given out before and that another is unlikely to.
pub fn unique() -> u64 {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    KEYS.get_or_init(RandomState::new)
        .hash_one(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A request id of our own.
pub fn request_id() -> String {
    format!("req_{:016x}{:016x}", unique(), unique())
}

/// 16 bytes in hexadecimal, never all zero (W3C forbids that).
pub fn trace_id() -> String {
    format!("{:016x}{:016x}", unique() | 1, unique())
}

/// 8 bytes in hexadecimal, never all zero.
pub fn span_id() -> String {
    format!("{:016x}", unique() | 1)
}
