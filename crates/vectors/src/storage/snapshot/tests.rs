//! Snapshots at their boundary: what is taken comes back, and nothing else appears.

use super::*;
use crate::storage::disk::RealDisk;

fn write(path: &Path, bytes: &[u8]) {
    RealDisk
        .create_directory(parent_of(path))
        .expect("directory");
    RealDisk.remove(path).expect("remove");
    RealDisk
        .create(path)
        .expect("create")
        .append(bytes)
        .expect("append");
}

fn read(path: &Path) -> Vec<u8> {
    RealDisk.read(path, 1 << 20).expect("read")
}

/// A directory with one segment and a log, and the snapshot `first` of it taken while the log grew and the segment went.
fn taken() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("directory");
    let collection = directory.path().join("notes");
    write(&collection.join("segments/1/rows"), &[7; 3000]);
    write(&collection.join("wal/1.log"), b"durable, and");
    let capture = Capture {
        immutable: vec!["segments/1/rows".into()],
        logs: vec![("wal/1.log".into(), 7)],
        contents: vec![("MANIFEST".into(), b"facts".to_vec())],
        derived: vec!["segments/1/gone.fxv".into()],
    };
    let pending = Pending::begin(&RealDisk, &collection, "first", capture).expect("begin");
    RealDisk
        .open_append(&collection.join("wal/1.log"))
        .expect("open")
        .append(b" more")
        .expect("append");
    RealDisk
        .remove_directory(&collection.join("segments/1"))
        .expect("merged away");
    assert!(list(&RealDisk, &collection).expect("list").is_empty());
    let snapshot = pending
        .finish(&RealDisk, 1_700_000_000_000)
        .expect("finish");
    assert_eq!(snapshot.bytes(), 3000 + 7 + 5);
    (directory, collection)
}

fn check_restored(target: &Path) {
    assert_eq!(read(&target.join("segments/1/rows")), [7; 3000]);
    assert_eq!(read(&target.join("wal/1.log")), b"durable");
    assert_eq!(read(&target.join("MANIFEST")), b"facts");
    assert_eq!(
        directory::files_below(&RealDisk, target)
            .expect("walk")
            .len(),
        3
    );
}

#[test]
fn a_snapshot_is_listed_verified_restored_and_removed() {
    let (directory, collection) = taken();
    let listed = list(&RealDisk, &collection).expect("list");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].as_ref().expect("facts").name, "first");
    let path = find(&RealDisk, &collection, "first").expect("find");
    assert!(verify(&RealDisk, &path).expect("verify").is_empty());
    Pending::begin(&RealDisk, &collection, "first", Capture::default()).expect_err("taken");
    let target = directory.path().join("copy");
    restore(&RealDisk, &path, &target).expect("restore");
    check_restored(&target);
    restore(&RealDisk, &path, &target).expect_err("exists");
    remove(&RealDisk, &collection, "first").expect("remove");
    remove(&RealDisk, &collection, "first").expect_err("gone");
    assert!(list(&RealDisk, &collection).expect("list").is_empty());
}

#[test]
fn a_changed_file_is_named_and_nothing_is_restored_from_it() {
    let (directory, collection) = taken();
    let path = find(&RealDisk, &collection, "first").expect("find");
    write(&path.join("data/segments/1/rows"), &[8; 3000]);
    RealDisk
        .remove(&path.join("data/wal/1.log"))
        .expect("remove");
    let damages = verify(&RealDisk, &path).expect("verify");
    assert_eq!(damages.len(), 2, "{damages:?}");
    assert!(damages[0].to_string().contains("SHA-256"), "{damages:?}");
    let target = directory.path().join("copy");
    restore(&RealDisk, &path, &target).expect_err("damaged");
    assert_eq!(RealDisk.list(&target).expect("list"), None);
    let facts = path.join(FACTS);
    let mut bytes = read(&facts);
    bytes[40] ^= 1;
    write(&facts, &bytes);
    verify(&RealDisk, &path).expect_err("facts differ");
}

#[test]
fn an_archive_carries_a_snapshot_elsewhere_and_no_flipped_byte_passes() {
    let (directory, collection) = taken();
    let path = find(&RealDisk, &collection, "first").expect("find");
    let mut archive = Vec::new();
    let bytes = export(&RealDisk, &path, &mut archive).expect("export");
    assert_eq!((bytes, bytes % 512), (archive.len() as u64, 0));
    let elsewhere = directory.path().join("elsewhere/snapshots/copy");
    RealDisk
        .create_directory(parent_of(&elsewhere))
        .expect("directory");
    let take = |archive: &[u8], limit| import(&RealDisk, &mut &archive[..], &elsewhere, limit);
    take(&archive, 2000).expect_err("above the limit");
    for offset in (0..archive.len() - 1024).step_by(211) {
        let mut bad = archive.clone();
        bad[offset] ^= 1;
        // Padding between files is not part of any of them.
        if archive[offset] == 0 && take(&bad, u64::MAX).is_ok() {
            RealDisk.remove_directory(&elsewhere).expect("remove");
            continue;
        }
        assert_eq!(RealDisk.list(&elsewhere).expect("list"), None, "{offset}");
    }
    take(&archive[..archive.len() / 2], u64::MAX).expect_err("cut");
    let snapshot = take(&archive, u64::MAX).expect("import");
    assert_eq!(snapshot.name, "copy");
    let target = directory.path().join("restored");
    restore(&RealDisk, &elsewhere, &target).expect("restore");
    check_restored(&target);
}

#[test]
fn a_tar_program_reads_the_archive() {
    let (directory, collection) = taken();
    let path = find(&RealDisk, &collection, "first").expect("find");
    let mut archive = Vec::new();
    export(&RealDisk, &path, &mut archive).expect("export");
    let file = directory.path().join("first.tar");
    write(&file, &archive);
    let Ok(output) = std::process::Command::new("tar")
        .arg("tf")
        .arg(&file)
        .output()
    else {
        // A machine without tar proves nothing here.
        return;
    };
    let names = String::from_utf8(output.stdout).expect("names");
    let expected = [
        "SNAPSHOT",
        "data/MANIFEST",
        "data/segments/1/rows",
        "data/wal/1.log",
    ];
    assert_eq!(names.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn facts_that_lead_out_of_the_snapshot_are_refused() {
    let snapshot = Snapshot {
        version: VERSION,
        name: "x".into(),
        created_unix_ms: 0,
        files: vec![SnapshotFile {
            path: "../../etc/passwd".into(),
            bytes: 0,
            sha256: String::new(),
        }],
    };
    let directory = tempfile::tempdir().expect("directory");
    store(&RealDisk, directory.path(), &snapshot).expect("store");
    load(&RealDisk, directory.path()).expect_err("a way out");
}

#[test]
fn a_directory_takes_anothers_place_and_a_crash_between_is_undone() {
    let directory = tempfile::tempdir().expect("directory");
    let (old, new) = (
        directory.path().join("notes"),
        directory.path().join(".notes.partial"),
    );
    write(&old.join("which"), b"old");
    write(&new.join("which"), b"new");
    write(&old.join("snapshots/first/SNAPSHOT"), b"kept");
    replace_directory(&RealDisk, &new, &old).expect("replace");
    assert_eq!(read(&old.join("which")), b"new");
    // The crash: moved out of the way, and nothing in its place yet.
    write(&new.join("which"), b"newer");
    RealDisk
        .rename(&old, &directory.path().join(".notes.replaced"))
        .expect("rename");
    recover_replaced(&RealDisk, directory.path()).expect("recover");
    assert_eq!(read(&old.join("which")), b"new");
    assert_eq!(read(&old.join("snapshots/first/SNAPSHOT")), b"kept");
    assert_eq!(RealDisk.list(&new).expect("list"), None);
}
