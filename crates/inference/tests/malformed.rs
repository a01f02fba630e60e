//! Every damaged file of `testdata/malformed` is refused with an error of the right kind that names the right field.
//! `generate.py` there writes the files and the table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use inference::files::FileError;
use inference::files::gguf::GgufHeader;
use inference::files::safetensors::SafetensorsHeader;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/malformed")
}

/// The error of both ways to read a file, which must be the same.
fn refusal(path: &Path) -> Option<FileError> {
    let bytes = std::fs::read(path).expect("readable");
    let (from_disk, from_memory) = if path.extension().is_some_and(|ending| ending == "gguf") {
        (
            GgufHeader::read(path).err(),
            GgufHeader::parse(&bytes).err(),
        )
    } else {
        (
            SafetensorsHeader::read(path).err(),
            SafetensorsHeader::parse(&bytes).err(),
        )
    };
    assert_eq!(from_disk, from_memory, "{}", path.display());
    from_disk
}

#[test]
fn every_damaged_file_names_its_field() {
    let table = std::fs::read_to_string(corpus().join("expected.tsv")).expect("table");
    let mut wrong = Vec::new();
    let mut listed = BTreeSet::new();
    for row in table.lines().skip(1) {
        let [file, kind, field] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("row without three columns: {row}");
        };
        listed.insert(file.to_owned());
        match refusal(&corpus().join(file)) {
            Some(error) if error.kind.as_str() == kind && error.field == field => {
                assert!(!error.message.is_empty());
            }
            Some(error) => wrong.push(format!(
                "{file}: {} {error}, expected {kind} {field}",
                error.kind.as_str()
            )),
            None => wrong.push(format!("{file}: accepted, expected {kind} {field}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(listed.len() >= 50, "only {} files", listed.len());
    for format in ["gguf", "safetensors"] {
        for entry in std::fs::read_dir(corpus().join(format)).expect("directory") {
            let name = entry.expect("entry").file_name();
            let name = format!("{format}/{}", name.to_string_lossy());
            assert!(listed.contains(&name), "{name} is not in the table");
        }
    }
}

/// Whatever is done to a damaged file, reading it ends without a panic.
#[test]
fn damaged_files_cut_and_changed_again_never_panic() {
    for format in ["gguf", "safetensors"] {
        for entry in std::fs::read_dir(corpus().join(format)).expect("directory") {
            let bytes = std::fs::read(entry.expect("entry").path()).expect("readable");
            let read = |bytes: &[u8]| {
                let _ = GgufHeader::parse(bytes);
                let _ = SafetensorsHeader::parse(bytes);
            };
            for place in 0..bytes.len().min(400) {
                read(&bytes[..place]);
                for value in [0, 1, 0x7F, 0x80, 0xFF] {
                    let mut changed = bytes.clone();
                    changed[place] = value;
                    read(&changed);
                }
            }
        }
    }
}

#[test]
fn good_files_with_everything_in_them_are_accepted() {
    let directory = corpus().join("../wellformed");
    for entry in std::fs::read_dir(directory.join("gguf")).expect("directory") {
        let path = entry.expect("entry").path();
        assert_eq!(GgufHeader::read(&path).err(), None, "{}", path.display());
    }
    for entry in std::fs::read_dir(directory.join("safetensors")).expect("directory") {
        let path = entry.expect("entry").path();
        assert_eq!(
            SafetensorsHeader::read(&path).err(),
            None,
            "{}",
            path.display()
        );
    }
    let rich = GgufHeader::read(&directory.join("gguf/rich.gguf")).expect("rich");
    assert_eq!(rich.eos_token.as_deref(), Some("t299"));
    assert_eq!((rich.alignment, rich.head_count_kv), (64, Some(2)));
}
