//! The store at its boundary: what another handle on the same directory finds.

use super::*;
use crate::files::gguf::tests::Sample;

struct Scratch {
    directory: tempfile::TempDir,
    store: ModelStore,
}

fn scratch() -> Scratch {
    let directory = tempfile::tempdir().expect("directory");
    let store = ModelStore::open(&directory.path().join("models")).expect("store");
    Scratch { directory, store }
}

/// A model that differs from others by its name.
fn model(name: &str) -> Vec<u8> {
    Sample::llama().text("general.author", name).bytes()
}

fn encoder() -> Vec<u8> {
    Sample::empty()
        .text("general.architecture", "bert")
        .number("bert.pooling_type", 1)
        .number("bert.embedding_length", 384)
        .tensor("w", &[32], 0, 128)
        .bytes()
}

impl Scratch {
    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join("incoming.gguf");
        write_atomic(&path, bytes, MODE_SHARED).expect("write");
        path
    }

    fn add(&self, name: &str, bytes: &[u8]) -> Manifest {
        self.store
            .import_bytes(name, bytes, Origin::Embedded)
            .expect("import")
    }

    fn blobs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.blobs()).expect("blobs");
        let names = entries.map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

#[test]
fn an_imported_file_is_found_by_another_handle() {
    let scratch = scratch();
    let bytes = model("one");
    let path = scratch.file(&bytes);
    let origin = Origin::File {
        path: path.display().to_string(),
    };
    let mut told = Vec::new();
    let manifest = scratch
        .store
        .import_file(
            "org/tiny:Q4_K_M",
            &path,
            origin.clone(),
            &mut |done, total| told.push((done, total)),
        )
        .expect("import");
    assert_eq!(told.last(), Some(&(bytes.len() as u64, bytes.len() as u64)));
    assert_eq!(manifest.digest, format!("sha256:{}", sha256_bytes(&bytes)));
    assert_eq!(manifest.origin, origin);
    assert_eq!(manifest.facts.quantization, "Q4_K_M");
    assert!(manifest.facts.has_chat_template && !manifest.normalize);
    assert!(manifest.created_unix > 1_700_000_000);

    // The store owns the content: the source may go.
    fs::remove_file(&path).expect("remove");
    let other = ModelStore::open(scratch.store.directory()).expect("open again");
    let resolved = other.resolve("org/tiny:Q4_K_M").expect("resolve");
    assert_eq!(resolved.manifest, manifest);
    assert_eq!(fs::read(&resolved.path).expect("read"), bytes);
    assert_eq!(other.list().expect("list"), [manifest]);
    assert_eq!(scratch.blobs().len(), 1, "no temporary file stays");
}

#[test]
fn latest_is_the_name_without_a_tag() {
    let scratch = scratch();
    scratch.add("a", &model("a"));
    scratch.add("b:latest", &model("b"));
    scratch.add("c:v1", &model("c"));
    assert_eq!(
        scratch.store.resolve("a:latest").expect("a").manifest.name,
        "a"
    );
    assert_eq!(
        scratch.store.resolve("b").expect("b").manifest.name,
        "b:latest"
    );
    scratch
        .store
        .resolve("c")
        .expect_err("another tag is another model");
}

#[test]
fn an_unknown_name_is_told_its_neighbour_and_never_touches_the_disk() {
    let scratch = scratch();
    scratch.add("minilm", &encoder());
    for (asked, expected) in [
        ("minilmm", Some("minilm")),
        ("gpt-4o", None),
        ("../../etc/passwd", None),
    ] {
        match scratch.store.resolve(asked) {
            Err(StoreError::NotFound { name, nearest }) => {
                assert_eq!((name.as_str(), nearest.as_deref()), (asked, expected));
            }
            other => panic!("{asked}: {other:?}"),
        }
    }
}

#[test]
fn embedding_models_normalize_unless_told_otherwise() {
    let scratch = scratch();
    let manifest = scratch.add("minilm", &encoder());
    assert!(manifest.normalize);
    assert_eq!(
        (manifest.facts.kind, manifest.facts.pooling),
        (Kind::Embed, Some(Pooling::Mean))
    );
    assert_eq!(manifest.facts.kv_bytes_per_token, 0);
    let settings = ModelSettings {
        context_tokens: Some(256),
        stop: vec!["\n".into()],
        ..ModelSettings::default()
    };
    scratch
        .store
        .configure("minilm", Some(false), settings.clone())
        .expect("configure");
    // Importing the name again keeps what its administrator chose.
    let again = scratch.add("minilm", &encoder());
    assert_eq!((again.normalize, &again.settings), (false, &settings));
}

#[test]
fn a_file_says_whether_its_embeddings_are_normalized() {
    const KEY: &str = "fornax.embedding.normalize";
    let saying = |normalize: bool| {
        let sample = Sample::empty()
            .text("general.architecture", "bert")
            .number("bert.pooling_type", 1)
            .truth(KEY, normalize)
            .tensor("w", &[32], 0, 128);
        sample.bytes()
    };
    let scratch = scratch();
    assert!(!scratch.add("raw", &saying(false)).normalize);
    assert!(scratch.add("unit", &saying(true)).normalize);
    // Another file under the name speaks for itself; one that is silent changes nothing.
    assert!(!scratch.add("unit", &saying(false)).normalize);
    assert!(!scratch.add("unit", &encoder()).normalize);
    // A choice for these very weights stays.
    scratch
        .store
        .configure("raw", Some(true), ModelSettings::default())
        .expect("configure");
    assert!(scratch.add("raw", &saying(false)).normalize);

    let wrong = Sample::empty()
        .text("general.architecture", "bert")
        .number(KEY, 1)
        .tensor("w", &[32], 0, 128);
    let error = scratch
        .store
        .import_bytes("wrong", &wrong.bytes(), Origin::Embedded)
        .expect_err("not a truth value");
    assert!(error.to_string().contains(KEY), "{error}");
}

#[test]
fn weights_live_as_long_as_a_name_uses_them() {
    let scratch = scratch();
    let bytes = model("shared");
    let first = scratch.add("first", &bytes);
    let second = scratch.store.copy("first", "org/second:x").expect("copy");
    assert_eq!(
        (second.digest.clone(), second.name.as_str()),
        (first.digest, "org/second:x")
    );
    assert_eq!(scratch.blobs().len(), 1);
    assert_eq!(
        scratch.store.remove("first").expect("remove").freed_bytes,
        0
    );
    scratch.store.resolve("org/second:x").expect("still whole");
    assert_eq!(
        scratch
            .store
            .remove("org/second:x")
            .expect("remove")
            .freed_bytes,
        bytes.len() as u64
    );
    assert!(scratch.blobs().is_empty());
    assert!(matches!(
        scratch.store.remove("first"),
        Err(StoreError::NotFound { .. })
    ));
}

#[test]
fn replacing_a_model_drops_its_old_weights() {
    let scratch = scratch();
    let old = scratch.add("m", &model("old"));
    let new = scratch.add("m", &model("new"));
    assert_ne!(old.digest, new.digest);
    assert!(!scratch.store.blob_path(&old.digest).exists());
    assert_eq!(scratch.store.resolve("m").expect("new").manifest, new);
}

#[test]
fn what_is_no_model_is_refused_before_it_is_copied() {
    let scratch = scratch();
    let vocabulary = Sample::empty()
        .text("general.architecture", "llama")
        .bytes();
    let mut cut = model("cut");
    cut.truncate(cut.len() - 3000);
    for (bytes, field) in [
        (&b"not a model"[..], "magic"),
        (&vocabulary, "tensor_count"),
        (&cut, "tensor \"blk.0.attn_q.weight\".data"),
    ] {
        let path = scratch.file(bytes);
        let by_file = scratch
            .store
            .import_file("m", &path, Origin::Embedded, &mut |_, _| panic!("copied"));
        let by_bytes = scratch.store.import_bytes("m", bytes, Origin::Embedded);
        for outcome in [by_file, by_bytes] {
            match outcome {
                Err(StoreError::File { error, .. }) => assert_eq!(error.field, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
    assert!(scratch.blobs().is_empty() && scratch.store.list().expect("list").is_empty());
    let bad_name = scratch
        .store
        .import_bytes("../m", &model("m"), Origin::Embedded);
    assert!(matches!(bad_name, Err(StoreError::InvalidName { .. })));
}

#[test]
fn a_damaged_manifest_hides_only_itself_and_keeps_all_weights() {
    let scratch = scratch();
    scratch.add("good", &model("good"));
    let damaged = scratch.add("damaged", &model("damaged"));
    let path = scratch.store.manifest_path("damaged");
    let text = fs::read_to_string(&path).expect("manifest");
    let breakages = [
        text.replace("\"version\": 1", "\"version\": 2"),
        text.replace("\"name\"", "\"label\""),
        text.replace("\"damaged\"", "\"good\""),
        text.replace("sha256:", "sha256:../"),
        text[..text.len() / 2].to_owned(),
        String::new(),
    ];
    for breakage in breakages {
        write_atomic(&path, breakage.as_bytes(), MODE_SHARED).expect("write");
        let listing = scratch.store.scan().expect("scan");
        assert_eq!(listing.manifests.len(), 1, "{breakage}");
        assert_eq!(listing.broken.len(), 1);
        assert_eq!(listing.broken[0].path, path);
        assert!(matches!(
            scratch.store.resolve("damaged"),
            Err(StoreError::Manifest { .. })
        ));
        scratch.store.resolve("good").expect("unharmed");
    }
    // It may name any weights, so none are removed.
    let removed = scratch.store.remove("good").expect("remove");
    assert_eq!(removed.freed_bytes, 0);
    assert_eq!(scratch.blobs().len(), 2);
    scratch
        .store
        .remove("damaged")
        .expect("its owner gets rid of it");
    assert!(scratch.store.scan().expect("scan").broken.is_empty());
    assert!(scratch.store.blob_path(&damaged.digest).exists());
}

#[test]
fn changed_weights_are_found_by_hashing_and_missing_ones_at_once() {
    let scratch = scratch();
    let mut bytes = model("m");
    let manifest = scratch.add("m", &bytes);
    scratch.store.verify("m", &mut |_, _| {}).expect("whole");
    let path = scratch.store.blob_path(&manifest.digest);
    *bytes.last_mut().expect("byte") ^= 1;
    write_atomic(&path, &bytes, MODE_SHARED).expect("damage");
    match scratch.store.verify("m", &mut |_, _| {}) {
        Err(StoreError::HashMismatch { actual, .. }) => assert_eq!(actual, sha256_bytes(&bytes)),
        other => panic!("{other:?}"),
    }
    // Importing the same bytes again heals it, though the size is right.
    scratch.add("m", &model("m"));
    scratch.store.verify("m", &mut |_, _| {}).expect("healed");
    write_atomic(&path, b"short", MODE_SHARED).expect("cut");
    assert!(matches!(
        scratch.store.resolve("m"),
        Err(StoreError::BlobMissing { .. })
    ));
    fs::remove_file(&path).expect("remove");
    assert!(matches!(
        scratch.store.resolve("m"),
        Err(StoreError::BlobMissing { .. })
    ));
    scratch.add("m", &model("m"));
    scratch
        .store
        .verify("m", &mut |_, _| {})
        .expect("whole again");
}

#[test]
fn many_writers_leave_a_consistent_store() {
    let scratch = scratch();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let directory = scratch.store.directory().to_owned();
            scope.spawn(move || {
                // A handle of its own each: only the lock file stands between them.
                let store = ModelStore::open(&directory).expect("open");
                for round in 0..5 {
                    let bytes = model(&format!("{}", round % 2));
                    let name = format!("m{}", writer % 2);
                    store
                        .import_bytes(&name, &bytes, Origin::Embedded)
                        .expect("import");
                }
            });
        }
    });
    let manifests = scratch.store.list().expect("list");
    assert_eq!(manifests.len(), 2);
    for manifest in &manifests {
        scratch
            .store
            .verify(&manifest.name, &mut |_, _| {})
            .expect("whole");
    }
    let digests: std::collections::BTreeSet<_> =
        manifests.iter().map(|manifest| &manifest.digest).collect();
    assert_eq!(scratch.blobs().len(), digests.len());
}
