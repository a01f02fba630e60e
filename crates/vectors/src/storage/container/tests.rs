//! Containers at their boundary: what is written is read, and no flipped or missing byte goes unnoticed.

use std::path::{Path, PathBuf};

use super::*;
use crate::storage::bytes::{BLOCK_BYTES, Bytes};
use crate::storage::disk::{Disk, RealDisk};

const SMALL: SectionId = SectionId::new(b"head", 0);
const EMPTY: SectionId = SectionId::new(b"none", 7);
const LARGE: SectionId = SectionId::new(b"vect", 1);

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 253) as u8).collect()
}

fn written() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("rows");
    let mut writer =
        ContainerWriter::create(&RealDisk, &path, ContainerKind::ROWS).expect("create");
    writer.section(SMALL, b"hello").expect("small");
    writer.section(EMPTY, b"").expect("empty");
    writer
        .section_from(LARGE, pattern(5 * BLOCK_BYTES + 11).chunks(777))
        .expect("large");
    let bytes = writer.finish().expect("finish");
    assert_eq!(RealDisk.length(&path).expect("length"), Some(bytes));
    (directory, path)
}

#[test]
fn sections_are_read_as_written() {
    let (_directory, path) = written();
    let container = Container::open(&RealDisk, &path, ContainerKind::ROWS).expect("open");
    assert_eq!(
        container.section(SMALL).expect("small").as_slice(),
        b"hello"
    );
    assert!(container.section(EMPTY).expect("empty").is_empty());
    let large = container.section(LARGE).expect("large");
    assert!(large.is_mapped());
    assert_eq!(large.as_slice().as_ptr().align_offset(64), 0);
    assert_eq!(
        large.verify().expect("checked"),
        pattern(5 * BLOCK_BYTES + 11)
    );
    assert!(
        container
            .optional(SectionId::new(b"vect", 2))
            .expect("absent")
            .is_none()
    );
    container.verify_all().expect("whole");
    let error = Container::open(&RealDisk, &path, ContainerKind::TOMBSTONES).expect_err("kind");
    assert!(
        error.to_string().contains("holds `rows` instead of `tomb`"),
        "{error}"
    );
}

#[test]
fn every_flipped_byte_is_found_and_named() {
    let (_directory, path) = written();
    let good = RealDisk.read(&path, 1 << 20).expect("read");
    // Every byte of the frames, the table and the small sections; a stride through the rest.
    let offsets = (0..256)
        .chain((256..good.len() - 700).step_by(997))
        .chain(good.len() - 700..good.len());
    for offset in offsets {
        let mut bad = good.clone();
        bad[offset] ^= 0x10;
        let bytes = Bytes::from_file_contents(bad, Path::new("rows"));
        let error = Container::parse(bytes)
            .and_then(|container| container.verify_all())
            .expect_err(&format!("byte {offset} was flipped"))
            .to_string();
        let part = ["header: ", "section ", "table: ", "trailer: "];
        assert!(
            part.iter().any(|part| error.contains(part)),
            "{offset}: {error}"
        );
    }
}

#[test]
fn a_damaged_section_leaves_the_others_readable() {
    let (_directory, path) = written();
    let mut bytes = RealDisk.read(&path, 1 << 20).expect("read");
    bytes[64] ^= 1;
    let container =
        Container::parse(Bytes::from_file_contents(bytes, &path)).expect("table is whole");
    container.section(SMALL).expect_err("damaged");
    container
        .section(LARGE)
        .expect("whole")
        .verify()
        .expect("whole");
    let damages = container.damages();
    assert_eq!(damages.len(), 1);
    assert!(
        damages[0].to_string().contains("section head.0"),
        "{damages:?}"
    );
}

#[test]
fn a_cut_file_is_refused() {
    let (_directory, path) = written();
    let good = RealDisk.read(&path, 1 << 20).expect("read");
    for length in (0..good.len()).rev().step_by(97) {
        let bytes = Bytes::from_file_contents(good[..length].to_vec(), Path::new("rows"));
        Container::parse(bytes).expect_err("cut");
    }
}
