//! What was acknowledged is there after the power was cut at any step, and nothing that was deleted is back; and a byte
//! that changed on disk is named, whatever file it is in.
//!
//! The disk of these tests loses, tears and reorders everything that was not synced (see `faults`). A run is repeated once
//! for each change it makes to the disk, with the power cut at that change, then the collection is opened again, the power
//! cut once more during that, and again.

#[path = "../faults/mod.rs"]
mod faults;
#[path = "../notes/mod.rs"]
mod notes;
mod windows;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use faults::{FaultDisk, Random};
use platform::Clock;
use serde_json::json;
use vectors::collection::{
    Collection, CollectionOptions, ScrollRequest, SearchRequest, Selection, With, WriteOptions,
};
use vectors::database::{Database, DatabaseOptions, Existing};
use vectors::filter::{Condition, FieldPath, FieldTest, Filter, Scalar};
use vectors::payload::PayloadIndexKind;
use vectors::schema::{CollectionSchema, VectorSchema};
use vectors::{Payload, Point, PointId, SparseVector, Vector, VectorsError};

/// Different points: few, so that most writes replace or delete something.
const POINTS: usize = 24;
/// Values of the field that deletes by filter look at.
const GROUPS: u64 = 6;

fn schema() -> CollectionSchema {
    notes::schema(12)
}

fn open(disk: &FaultDisk) -> Result<Database, VectorsError> {
    open_with(disk, 0)
}

fn open_with(disk: &FaultDisk, maintenance_threads: usize) -> Result<Database, VectorsError> {
    Database::open(
        Path::new("/data"),
        DatabaseOptions {
            maintenance_threads,
            disk: Arc::new(disk.clone()),
            clock: Clock::system(),
            collection: CollectionOptions {
                growing_rows_max: 8,
                merge_width: 3,
                ..CollectionOptions::default()
            },
            ..DatabaseOptions::default()
        },
    )
}

fn payload(value: serde_json::Value) -> Payload {
    value.as_object().expect("object").clone()
}

fn point(id: u64, tag: u64) -> Point {
    Point {
        id: PointId::Number(id),
        vectors: [(String::new(), notes::vector(id))].into(),
        payload: payload(json!({"tag": tag, "group": id % GROUPS})),
        expires_unix_ms: None,
    }
}

/// Ids and tags of all points.
fn contents(collection: &Collection) -> BTreeMap<u64, u64> {
    let page = collection
        .scroll(&ScrollRequest {
            limit: 1000,
            with: With::everything(),
            ..ScrollRequest::default()
        })
        .expect("scroll");
    let found: BTreeMap<u64, u64> = page
        .points
        .iter()
        .map(|stored| {
            let PointId::Number(id) = stored.id else {
                panic!("{:?} was never written", stored.id);
            };
            assert_eq!(stored.vectors[""], notes::vector(id));
            let payload = stored.payload.as_ref().expect("payload");
            (id, payload["tag"].as_u64().expect("tag"))
        })
        .collect();
    assert_eq!(found.len(), page.points.len(), "a point came twice");
    assert_eq!(collection.count(None).expect("count"), found.len() as u64);
    for &id in found.keys() {
        let got = collection
            .get(&[PointId::Number(id)], &With::nothing())
            .expect("get");
        assert_eq!(got.len(), 1, "{id} is in the walk and not found by id");
    }
    found
}

/// One write: ids and their tags after it, `None` for deleted.
type Write = Vec<(u64, Option<u64>)>;

/// What may be on disk.
#[derive(Debug, Default, Clone)]
struct Expected {
    exists: bool,
    /// Acknowledged as durable.
    settled: BTreeMap<u64, u64>,
    /// Written since, in order; the last one perhaps in part.
    open: Vec<Write>,
    /// What a restore that was not acknowledged may have put in the place of all that.
    restored: Option<BTreeMap<u64, u64>>,
    /// Acknowledged snapshots and what they hold.
    snapshots: BTreeMap<String, BTreeMap<u64, u64>>,
}

impl Expected {
    fn now(&self) -> BTreeMap<u64, u64> {
        let mut now = self.settled.clone();
        for write in &self.open {
            apply(&mut now, write);
        }
        now
    }

    fn settle(&mut self) {
        self.settled = self.now();
        self.open.clear();
    }

    /// Compares what was found; from then on that is what is expected.
    fn found(&mut self, found: BTreeMap<u64, u64>, context: &str) {
        self.check(&found, context);
        self.settled = found;
        self.open.clear();
        self.restored = None;
    }

    /// The log keeps the order of writes: what is found is all of some, a part of the next, and none after.
    fn check(&self, found: &BTreeMap<u64, u64>, context: &str) {
        let mut state = self.settled.clone();
        let mut possible = state == *found || self.restored.as_ref() == Some(found);
        for write in &self.open {
            let mut partly = state.clone();
            for (id, tag) in write {
                if found.get(id) == tag.as_ref() {
                    apply(&mut partly, &vec![(*id, *tag)]);
                }
            }
            possible |= partly == *found;
            apply(&mut state, write);
            possible |= state == *found;
        }
        assert!(possible, "{context}: found {found:?}\nof {self:?}");
    }
}

fn apply(state: &mut BTreeMap<u64, u64>, write: &Write) {
    for (id, tag) in write {
        match tag {
            Some(tag) => state.insert(*id, *tag),
            None => state.remove(id),
        };
    }
}

/// Creates a collection and writes to it at random until something fails or `count` operations are done.
fn run(
    disk: &FaultDisk,
    random: &mut Random,
    count: usize,
    expected: &mut Expected,
) -> Result<(), VectorsError> {
    let mut database = open(disk)?;
    let mut collection = if database.contains("notes") {
        database.collection("notes")?
    } else {
        database.create_collection("notes", schema())?
    };
    expected.exists = true;
    // What an opened collection shows is durable: it cannot be lost by the next cut.
    expected.found(contents(&collection), "at the start");
    for _ in 0..count {
        match random.below(22) {
            20 => {
                let name = format!("s{}", random.next() >> 40);
                collection.snapshot(&name)?;
                expected.snapshots.insert(name, expected.now());
            }
            21 => {
                let place = random.below(expected.snapshots.len());
                if let Some((name, held)) = expected.snapshots.iter().nth(place) {
                    expected.restored = Some(held.clone());
                    collection = database.restore("notes", name, "notes", Existing::Replace)?;
                    expected.found(contents(&collection), "after a restore");
                }
            }
            0 => {
                drop(collection);
                drop(database);
                database = open(disk)?;
                collection = database.collection("notes")?;
            }
            1 | 2 => collection.maintain()?,
            3 => collection.optimize()?,
            4 => {
                collection.flush()?;
                expected.settle();
            }
            _ => write(&collection, random, expected)?,
        }
    }
    Ok(())
}

fn write(
    collection: &Collection,
    random: &mut Random,
    expected: &mut Expected,
) -> Result<(), VectorsError> {
    let options = WriteOptions {
        wait: random.below(3) > 0,
        ..WriteOptions::default()
    };
    let tag = random.next() >> 12;
    let now = expected.now();
    let mut ids: Vec<u64> = (0..=random.below(4))
        .map(|_| random.below(POINTS) as u64)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let selection = Selection::Ids(ids.iter().map(|&id| PointId::Number(id)).collect());
    let there = || ids.iter().filter(|id| now.contains_key(id));
    let group = random.next() % GROUPS;
    let of_group = Filter {
        must: vec![Condition::field(
            FieldPath::key("group"),
            FieldTest::Equal(Scalar::Integer(group as i64)),
        )],
        ..Filter::default()
    };
    let kind = random.below(10);
    // Noted before it is tried: a write that fails may have reached the disk.
    expected.open.push(match kind {
        0..5 => ids.iter().map(|&id| (id, Some(tag))).collect(),
        5..7 => there().map(|&id| (id, None)).collect(),
        7 => now
            .keys()
            .filter(|&&id| id % GROUPS == group)
            .map(|&id| (id, None))
            .collect(),
        _ => there().map(|&id| (id, Some(tag))).collect(),
    });
    match kind {
        0..5 => collection.upsert(ids.iter().map(|&id| point(id, tag)).collect(), &options)?,
        5..7 => {
            let ids: Vec<PointId> = ids.iter().map(|&id| PointId::Number(id)).collect();
            collection.delete(&ids, &options)?
        }
        7 => collection.delete_by_filter(of_group, &options)?,
        _ => collection.set_payload(selection, payload(json!({"tag": tag})), None, &options)?,
    };
    if options.wait {
        expected.settle();
    }
    Ok(())
}

/// Opens what a disk holds and compares it.
fn check(disk: &FaultDisk, expected: &mut Expected, context: &str) {
    let database = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    if !database.contains("notes") {
        assert!(!expected.exists, "{context}: the collection is gone");
        return;
    }
    let collection = match database.collection("notes") {
        // Its creation was not acknowledged: a name without a manifest.
        Err(VectorsError::CollectionMissing { .. }) if !expected.exists => return,
        opened => opened.unwrap_or_else(|error| panic!("{context}: {error}")),
    };
    let info = collection.info().expect("info");
    assert!(info.damages.is_empty(), "{context}: {:?}", info.damages);
    let damages = collection.verify().expect("verify");
    assert!(damages.is_empty(), "{context}: {damages:?}");
    expected.found(contents(&collection), context);
    let listed: Vec<String> = database
        .snapshots("notes")
        .expect("list")
        .into_iter()
        .map(|snapshot| snapshot.expect("whole").name)
        .collect();
    for (name, held) in &expected.snapshots {
        assert!(listed.contains(name), "{context}: {name} of {listed:?}");
        let damages = database.verify_snapshot("notes", name).expect("facts");
        assert!(damages.is_empty(), "{context}: {damages:?}");
        let copy = database
            .restore("notes", name, "copy", Existing::Refuse)
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(contents(&copy), *held, "{context}: {name}");
        drop(copy);
        database.delete_collection("copy").expect("delete");
    }
}

#[test]
fn power_cut_at_every_step_loses_no_acknowledged_write() {
    for seed in 1..=3 {
        let operations = 45;
        let whole = FaultDisk::default();
        run(
            &whole,
            &mut Random(seed),
            operations,
            &mut Expected::default(),
        )
        .expect("whole run");
        let steps = whole.steps();
        assert!(steps > 200, "the run reaches the disk");
        for cut in 0..steps {
            let context = format!("seed {seed}, power cut at step {cut} of {steps}");
            let disk = FaultDisk::default();
            let mut expected = Expected::default();
            disk.cut_power_after(cut);
            // The last steps are those of closing, which has nobody to tell.
            let _ = run(&disk, &mut Random(seed), operations, &mut expected);
            let mut random = Random(seed << 32 | cut);
            let disk = disk.after_power_cut(random.next());
            disk.cut_power_after(random.below(40) as u64);
            // Recovery, and whatever follows it, meets the next cut; or the few operations end before.
            let _ = run(&disk, &mut random, 3, &mut expected);
            let disk = disk.after_power_cut(random.next());
            check(&disk, &mut expected, &context);
            if cut % 8 == 0 {
                run(&disk, &mut random, 8, &mut expected).expect("it goes on");
                check(&disk.after_kill(), &mut expected, &context);
            }
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    for seed in 100..140 {
        let disk = FaultDisk::default();
        let mut expected = Expected::default();
        let mut random = Random(seed);
        for _ in 0..3 {
            run(
                &disk.after_kill(),
                &mut Random(seed),
                1,
                &mut Expected::default(),
            )
            .expect("run");
        }
        run(&disk, &mut random, 40, &mut expected).expect("run");
        // The machine runs on: also what nobody waited for is there.
        expected.settle();
        check(&disk.after_kill(), &mut expected, &format!("seed {seed}"));
    }
}

/// Every kind of file: a graph, payload and text indexes, sparse and multiple vectors.
fn rich_schema() -> CollectionSchema {
    let mut rich = schema();
    let mut tokens = rich.vectors[""].clone();
    if let VectorSchema::Dense { multi, .. } = &mut tokens {
        *multi = true;
    }
    rich.vectors.insert("tokens".into(), tokens);
    let sparse = VectorSchema::Sparse { idf: false };
    rich.vectors.insert("words".into(), sparse);
    rich
}

fn rich_point(id: u64) -> Point {
    let mut rich = point(id, id);
    let tokens = vec![vec![id as f32, 0.0], vec![1.0, id as f32]];
    rich.vectors.insert("tokens".into(), Vector::Multi(tokens));
    let words = SparseVector {
        indices: vec![id as u32 % 5, 10],
        values: vec![1.0, id as f32 + 1.0],
    };
    rich.vectors.insert("words".into(), Vector::Sparse(words));
    let title = format!("number {} of group {}", id % 7, id % GROUPS);
    rich.payload.insert("title".into(), json!(title));
    rich
}

/// Answers that come from each kind of index.
fn answers(collection: &Collection) -> Result<Vec<Vec<PointId>>, VectorsError> {
    let filters = [
        FieldTest::Equal(Scalar::Integer(2)),
        FieldTest::Text("number 3".into()),
        FieldTest::Phrase("of group 1".into()),
    ];
    let mut all = Vec::new();
    for (test, key) in filters.into_iter().zip(["group", "title", "title"]) {
        let filter = Filter {
            must: vec![Condition::field(FieldPath::key(key), test)],
            ..Filter::default()
        };
        let page = collection.scroll(&ScrollRequest {
            limit: 1000,
            filter: Some(filter),
            ..ScrollRequest::default()
        })?;
        all.push(page.points.iter().map(|stored| stored.id).collect());
    }
    let words = SparseVector {
        indices: vec![3, 10],
        values: vec![100.0, 1.0],
    };
    for (name, query) in [
        ("", Vector::Dense(vec![101.2, 1.0])),
        ("tokens", Vector::Dense(vec![107.3, 0.0])),
        ("words", Vector::Sparse(words)),
    ] {
        let found = collection.search(&SearchRequest::new(name, query, 6))?;
        all.push(found.iter().map(|scored| scored.point.id).collect());
    }
    Ok(all)
}

#[test]
fn a_flipped_byte_in_any_file_is_named_and_the_rest_answers() {
    let disk = FaultDisk::default();
    let database = open(&disk).expect("open");
    let collection = database
        .create_collection("notes", rich_schema())
        .expect("create");
    for (key, kind) in [
        ("group", PayloadIndexKind::Integer),
        (
            "title",
            PayloadIndexKind::Text {
                analyzer: None,
                scoring: None,
            },
        ),
    ] {
        collection
            .create_payload_index(&FieldPath::key(key), kind)
            .expect("index");
    }
    let durable = WriteOptions::durable();
    for first in [0, 100, 200] {
        let points = (first..first + 16).map(rich_point).collect();
        collection.upsert(points, &durable).expect("upsert");
        if first < 200 {
            collection.maintain().expect("seal");
        }
    }
    let dead = [3, 103].map(PointId::Number);
    collection.delete(&dead, &durable).expect("delete");
    // A switch of the manifest, which writes down what died.
    let points = (400..416).map(rich_point).collect();
    collection.upsert(points, &durable).expect("upsert");
    collection.maintain().expect("maintain");
    let points = (300..303).map(rich_point).collect();
    collection.upsert(points, &durable).expect("in the log");
    collection
        .delete(&[PointId::Number(5)], &durable)
        .expect("delete");
    let all = rich_contents(&collection);
    let expected = answers(&collection).expect("answers");
    let files: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("/data/collections/notes"))
        .collect();
    for part in [
        "rows", "index-", "payload-", "sparse-", "live-", "MANIFEST", ".log",
    ] {
        let is_there = files
            .iter()
            .any(|(path, _)| path.to_string_lossy().contains(part));
        assert!(is_there, "no {part} in {files:?}");
    }
    for (path, length) in files {
        let stride = (length / 23).max(1);
        for offset in (0..length).step_by(stride) {
            let context = format!("byte {offset} of {}", path.display());
            let copy = disk.after_kill();
            copy.flip(&path, offset);
            named(&copy, &path, &all, &expected, &context);
        }
    }
}

/// Ids and tags of all points.
fn rich_contents(collection: &Collection) -> BTreeMap<u64, u64> {
    let page = collection.scroll(&ScrollRequest {
        limit: 1000,
        with: With::everything(),
        ..ScrollRequest::default()
    });
    page.expect("scroll")
        .points
        .iter()
        .map(|stored| {
            let PointId::Number(id) = stored.id else {
                panic!("{:?} was never written", stored.id);
            };
            let expected = rich_point(id);
            assert_eq!(stored.vectors, expected.vectors);
            assert_eq!(stored.payload.as_ref(), Some(&expected.payload));
            (id, id)
        })
        .collect()
}

/// Opens a disk with one changed byte: its file is named, and points that are still there are as they were.
fn named(
    disk: &FaultDisk,
    path: &Path,
    all: &BTreeMap<u64, u64>,
    expected: &[Vec<PointId>],
    context: &str,
) {
    let file = path
        .file_name()
        .expect("name")
        .to_string_lossy()
        .into_owned();
    let database = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let collection = match database.collection("notes") {
        Ok(collection) => collection,
        Err(error) => {
            // Without its manifest nothing is known of a collection.
            assert!(error.to_string().contains("MANIFEST"), "{context}: {error}");
            return;
        }
    };
    let mut reports = collection.info().expect("info").damages;
    let found: Vec<String> = match collection.verify() {
        Ok(found) => found.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    };
    reports.extend(found);
    let mut whole = true;
    for (&id, &tag) in all {
        match collection.get(&[PointId::Number(id)], &With::payload()) {
            Ok(got) => match got.first() {
                Some(stored) => {
                    let payload = stored.payload.as_ref().expect("payload");
                    // An older state may show where a newer one was damaged, but nothing made up.
                    assert_eq!(payload["tag"], json!(tag), "{context}");
                }
                None => whole = false,
            },
            Err(error) => {
                whole = false;
                reports.push(error.to_string());
            }
        }
    }
    let is_named = reports.iter().any(|report| report.contains(&file));
    assert!(
        is_named || (whole && path.extension().is_some_and(|ending| ending == "log")),
        "{context}: {reports:?}"
    );
    match answers(&collection) {
        // Whatever became of an index, what is stored is found as before.
        Ok(found) => assert!(!whole || found == expected, "{context}: {found:?}"),
        Err(error) => assert!(is_named, "{context}: does not answer: {error}"),
    }
}

/// The power of the disk goes and the process lives on.
#[test]
fn a_failing_disk_makes_a_collection_read_only_and_reopening_recovers() {
    for steps in 0..12 {
        let disk = FaultDisk::default();
        let database = open(&disk).expect("database");
        let collection = database.create_collection("c", schema()).expect("new");
        let mut acknowledged = BTreeMap::new();
        for id in 0..20 {
            collection
                .upsert(vec![point(id, 1)], &WriteOptions::durable())
                .expect("written");
            acknowledged.insert(id, 1);
        }
        disk.cut_power_after(steps);
        let mut refused = None;
        for id in 10..40 {
            match collection.upsert(vec![point(id, 2)], &WriteOptions::durable()) {
                Ok(_) => {
                    acknowledged.insert(id, 2);
                }
                Err(error) => {
                    refused = Some((id, error));
                    break;
                }
            }
        }
        let (failed, error) = refused.expect("the disk failed");
        assert!(matches!(error, VectorsError::Io { .. }), "{error}");
        // Every write after it is refused with the reason, deletes too, and so is maintenance.
        for _ in 0..2 {
            let error = collection
                .upsert(vec![point(99, 3)], &WriteOptions::durable())
                .expect_err("read-only");
            let VectorsError::ReadOnly { message } = &error else {
                panic!("{error}");
            };
            assert!(message.contains("no power"), "{message}");
            let error = collection
                .delete(&[PointId::Number(0)], &WriteOptions::durable())
                .expect_err("read-only");
            assert!(matches!(error, VectorsError::ReadOnly { .. }), "{error}");
        }
        let info = collection.info().expect("info");
        assert_eq!(info.status, vectors::collection::Status::Red);
        assert!(
            info.read_only
                .is_some_and(|reason| reason.contains("no power"))
        );
        // Reads go on. The write that failed may be seen or not: it was neither acknowledged nor refused beforehand.
        let mut seen = contents(&collection);
        let undecided = seen.remove(&failed);
        let before = acknowledged.get(&failed).copied();
        assert!(
            undecided == before || undecided == Some(2),
            "{failed}: {undecided:?}"
        );
        let mut wanted = acknowledged.clone();
        wanted.remove(&failed);
        assert_eq!(seen, wanted);
        drop((collection, database));
        // A new process on a disk that works again, whether the machine ran on or not.
        for again in [disk.after_kill(), disk.after_power_cut(steps)] {
            let database = open(&again).expect("database");
            let collection = database.collection("c").expect("opens");
            let mut found = contents(&collection);
            let undecided = found.remove(&failed);
            assert!(
                undecided == before || undecided == Some(2),
                "{failed}: {undecided:?}"
            );
            assert_eq!(found, wanted);
            collection
                .upsert(vec![point(50, 4)], &WriteOptions::durable())
                .expect("writes again");
            assert_eq!(contents(&collection).get(&50), Some(&4));
        }
    }
}
