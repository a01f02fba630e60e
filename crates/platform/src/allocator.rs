//! Giving freed memory back to the system.
//!
//! The C library keeps what a program frees for its next allocations: after an import of a gigabyte, hundreds of megabytes of
//! pages that hold nothing. That is right for a moment and wrong for a service that is idle for a night.

#![expect(
    unsafe_code,
    reason = "the C library's own function is the only way to ask for this"
)]

/// Gives pages that hold no live allocation back to the system. Takes time in proportion to what was freed, so it is for the
/// end of large background work. Where the C library has no such call nothing happens.
pub fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes the allocator's own locks and changes no live allocation; any thread may make it at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn freed_pages_go_back() {
        let blocks: Vec<Vec<u8>> = (0..2_000).map(|_| vec![1; 32 << 10]).collect();
        // One block at the end keeps the heap from shrinking by itself.
        let last = vec![1u8; 32 << 10];
        drop(blocks);
        let before = crate::memory::own().expect("status").anonymous_bytes;
        super::release_freed_memory();
        let after = crate::memory::own().expect("status").anonymous_bytes;
        assert!(after <= before, "{after} bytes after {before}");
        assert!(last.iter().all(|&byte| byte == 1));
    }
}
