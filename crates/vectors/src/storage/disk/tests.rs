//! The machine's disk at its boundary.

use super::*;

#[test]
fn files_are_created_once_appended_linked_renamed_and_cut() {
    let directory = tempfile::tempdir().expect("directory");
    let disk = RealDisk;
    let (one, two, three) = (
        directory.path().join("one"),
        directory.path().join("two"),
        directory.path().join("three"),
    );
    let file = disk.create(&one).expect("create");
    file.append(b"hello ").expect("append");
    disk.create(&one).expect_err("the name is taken");
    disk.open_append(&one)
        .expect("open")
        .append(b"world")
        .expect("append");
    file.append(b"!").expect("both write at the end");
    file.sync().expect("sync");
    assert_eq!(disk.read(&one, 12).expect("read"), b"hello world!");
    disk.read(&one, 11).expect_err("longer than the limit");
    disk.hard_link(&one, &two).expect("link");
    disk.rename(&two, &three).expect("rename");
    disk.truncate(&one, 5).expect("cut");
    assert_eq!(disk.map(&three).expect("map").as_slice(), b"hello");
    assert_eq!(disk.length(&two).expect("length"), None);
    disk.sync_directory(directory.path()).expect("sync names");
    let names: Vec<_> = disk
        .list(directory.path())
        .expect("list")
        .expect("there")
        .into_iter()
        .map(|entry| (entry.name, entry.bytes))
        .collect();
    assert_eq!(names, [("one".into(), 5), ("three".into(), 5)]);
    disk.remove(&one).expect("remove");
    disk.remove(&one).expect("gone already");
}

#[test]
fn replacing_a_file_gets_over_what_a_crash_left_behind() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("facts");
    for text in ["first", "second"] {
        RealDisk
            .create(&temporary_name(&path))
            .expect("left behind")
            .append(b"half")
            .expect("append");
        replace_file(&RealDisk, &path, text.as_bytes()).expect("replace");
        assert_eq!(RealDisk.read(&path, 100).expect("read"), text.as_bytes());
    }
}

#[test]
fn one_writer_holds_a_directory() {
    let directory = tempfile::tempdir().expect("directory");
    let held = RealDisk.lock(directory.path()).expect("free");
    assert!(matches!(
        RealDisk.lock(directory.path()),
        Err(VectorsError::Locked { .. })
    ));
    drop(held);
    RealDisk.lock(directory.path()).expect("free again");
}
