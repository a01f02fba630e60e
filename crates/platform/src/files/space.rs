//! Free space of a file system.

#![cfg_attr(
    unix,
    expect(unsafe_code, reason = "statvfs is a call into the C library")
)]

use std::path::Path;

/// Bytes that an unprivileged process may still write on the file system of `path`; `None` when unknown.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    use std::ffi::CString;
    use std::mem::MaybeUninit;
    use std::os::unix::ffi::OsStrExt;

    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut facts = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` is a zero-terminated string and `facts` has room for the structure, both alive during the call.
    if unsafe { libc::statvfs(path.as_ptr(), facts.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it has filled the structure.
    let facts = unsafe { facts.assume_init() };
    #[expect(
        clippy::unnecessary_cast,
        reason = "the fields have 32 bits on some systems"
    )]
    Some((facts.f_bavail as u64).saturating_mul(facts.f_frsize as u64))
}

/// Bytes that an unprivileged process may still write on the file system of `path`; `None` when unknown.
#[cfg(not(unix))]
pub fn free_bytes(_path: &Path) -> Option<u64> {
    None
}
