//! Files made by hand. The table of damaged files with their fields is in `tests/malformed.rs`.

use proptest::prelude::*;

use super::*;

fn file(json: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// Two rows of F32, one F16, one BF16 and one integer, with metadata and an escaped name.
fn sample() -> Vec<u8> {
    let json = r#"{"__metadata__":{"format":"pt"},
        "w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
        "h\u00e9\ud83d\ude00":{"shape":[1],"data_offsets":[16,18],"dtype":"F16"},
        "b":{"dtype":"BF16","shape":[],"data_offsets":[18,20]},
        "empty":{"dtype":"F32","shape":[0,4],"data_offsets":[20,20]},
        "i":{"dtype":"I64","shape":[1],"data_offsets":[20,28]}}   "#;
    let mut data = Vec::new();
    for value in [1.0f32, -2.5, 0.0, f32::MAX] {
        data.extend_from_slice(&value.to_le_bytes());
    }
    data.extend_from_slice(&[0x00, 0x3C, 0xC0, 0xBF]);
    data.extend_from_slice(&7i64.to_le_bytes());
    file(json, &data)
}

#[test]
fn tensors_are_read_in_place_and_as_floats() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("model.safetensors");
    platform::files::write_atomic(&path, &sample(), platform::files::MODE_SHARED).expect("write");
    let file = SafetensorsFile::open(&path).expect("open");
    assert_eq!(SafetensorsHeader::read(&path).expect("header"), file.header);
    assert_eq!(file.header.metadata["format"], "pt");
    let weights = file.tensor("w").expect("w");
    assert_eq!((weights.rows(), weights.columns()), (2, 2));
    let mut row = Vec::new();
    weights.read_row(1, &mut row).expect("row");
    assert_eq!(row, [0.0, f32::MAX]);
    assert_eq!(weights.to_f32().expect("all"), [1.0, -2.5, 0.0, f32::MAX]);
    assert_eq!(
        file.tensor("hé😀").expect("escaped").to_f32().expect("F16"),
        [1.0]
    );
    let scalar = file.tensor("b").expect("b");
    assert_eq!((scalar.rows(), scalar.columns()), (1, 1));
    assert_eq!(scalar.to_f32().expect("BF16"), [-1.5]);
    assert_eq!(file.tensor("empty").expect("empty").rows(), 0);
    let integers = file.tensor("i").expect("i");
    assert_eq!(integers.bytes(), 7i64.to_le_bytes());
    assert_eq!(
        integers.to_f32().expect_err("integers").field,
        "tensor \"i\".dtype"
    );
    assert!(file.tensor("absent").is_none());
    assert_eq!(file.tensors().len(), 5);
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = sample();
    for length in 0..bytes.len() {
        let error = SafetensorsHeader::parse(&bytes[..length]).expect_err("cut");
        assert!(
            error.offset <= length as u64 && !error.field.is_empty(),
            "{length}: {error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_panics(flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)) {
        let mut bytes = sample();
        for (place, value) in flips {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        if let Ok(header) = SafetensorsHeader::parse(&bytes) {
            for tensor in &header.tensors {
                prop_assert!(tensor.offset + tensor.bytes <= bytes.len() as u64);
                prop_assert_eq!(tensor.elements() * tensor.element.bytes(), tensor.bytes);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = SafetensorsHeader::parse(&file(&text, &[]));
        let _ = SafetensorsHeader::parse(&file(&format!("{{{text}"), &[]));
    }
}
