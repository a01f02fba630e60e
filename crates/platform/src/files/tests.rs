//! Files behave at their boundary: what a second reader finds on disk.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests look at files from outside"
)]

use super::*;
use std::io::Write;
use std::path::PathBuf;

/// A directory of its own, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!(
            "fornax-platform-{:016x}",
            crate::entropy::random_u64().expect("entropy")
        ));
        create_private_directory(&path).expect("scratch directory");
        Scratch(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .expect("list")
            .map(|entry| {
                entry
                    .expect("entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).expect("metadata").permissions().mode() & 0o777
}

#[test]
fn commit_replaces_whole_and_leaves_no_temporary() {
    let scratch = Scratch::new();
    let path = scratch.0.join("config");
    write_atomic(&path, b"old", MODE_SHARED).expect("first write");
    let mut file = AtomicFile::create(&path, MODE_PRIVATE).expect("create");
    file.write_all(b"new ").expect("write");
    assert_eq!(fs::read(&path).expect("read"), b"old", "not before commit");
    file.write_all(b"text").expect("write");
    file.commit().expect("commit");
    assert_eq!(fs::read(&path).expect("read"), b"new text");
    assert_eq!(scratch.names(), ["config"]);
    #[cfg(unix)]
    assert_eq!(mode_of(&path), 0o600);
}

#[test]
fn dropping_without_commit_keeps_the_old_file() {
    let scratch = Scratch::new();
    let path = scratch.0.join("data");
    write_atomic(&path, b"old", MODE_SHARED).expect("write");
    let mut file = AtomicFile::create(&path, MODE_SHARED).expect("create");
    file.write_all(b"half").expect("write");
    drop(file);
    assert_eq!(fs::read(&path).expect("read"), b"old");
    assert_eq!(scratch.names(), ["data"]);
}

#[test]
fn a_failed_rename_is_an_error_and_cleans_up() {
    let scratch = Scratch::new();
    let path = scratch.0.join("taken");
    fs::create_dir(&path).expect("directory in the way");
    write_atomic(&path, b"x", MODE_SHARED).expect_err("cannot replace a directory");
    assert_eq!(scratch.names(), ["taken"]);
}

#[test]
#[cfg(unix)]
fn private_directory_is_for_the_owner_only() {
    let scratch = Scratch::new();
    let path = scratch.0.join("a/b");
    create_private_directory(&path).expect("create");
    create_private_directory(&path).expect("again");
    assert_eq!(mode_of(&path), 0o700);
}

#[test]
fn a_locked_directory_refuses_a_second_holder_until_release() {
    let scratch = Scratch::new();
    let lock = DirectoryLock::acquire(&scratch.0).expect("first");
    let error = DirectoryLock::acquire(&scratch.0).expect_err("second");
    match &error {
        LockError::Held { pid, .. } => assert_eq!(*pid, Some(std::process::id())),
        other => panic!("unexpected {other}"),
    }
    assert!(error.to_string().contains("in use by another process"));
    drop(lock);
    DirectoryLock::acquire(&scratch.0).expect("free again");
}

#[test]
fn sha256_matches_published_vectors() {
    // FIPS 180-2, appendix B.1 and the empty message.
    assert_eq!(
        sha256_bytes(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        sha256_bytes(b""),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let scratch = Scratch::new();
    let path = scratch.0.join("million");
    fs::write(&path, vec![b'a'; 1_000_000]).expect("write");
    let mut last = 0;
    let digest = sha256_file(&path, &mut |bytes| last = bytes).expect("hash");
    // Appendix B.3: one million times "a".
    assert_eq!(
        digest,
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    );
    assert_eq!(last, 1_000_000);
}

#[test]
fn a_finished_file_gets_its_name() {
    let scratch = Scratch::new();
    let (from, to) = (scratch.0.join("partial"), scratch.0.join("whole"));
    write_atomic(&from, b"bytes", MODE_SHARED).expect("write");
    rename_durable(&from, &to).expect("rename");
    assert_eq!(scratch.names(), ["whole"]);
    rename_durable(&from, &to).expect_err("nothing to rename");
    assert_eq!(fs::read(&to).expect("read"), b"bytes");
}

#[test]
#[cfg(unix)]
fn free_space_is_known_where_a_file_can_be_written() {
    let scratch = Scratch::new();
    assert!(free_bytes(&scratch.0).expect("known") > 0);
    assert_eq!(free_bytes(&scratch.0.join("absent")), None);
}
