//! Power cuts in windows that random runs hardly ever hit: each is held open, or gone through step by step with many outcomes.

use std::collections::BTreeMap;

use vectors::collection::WriteOptions;
use vectors::database::Existing;

use super::{Expected, FaultDisk, check, contents, open, open_with, point, schema};

/// Ways in which a cut may turn out, tried for each window.
const OUTCOMES: u64 = 24;

/// Rows of a full segment wait to be sealed by a thread that is slower than the writer. Their log is not the one that the next
/// write syncs, and yet what is acknowledged then includes them.
#[test]
fn a_write_is_durable_only_with_all_before_it_also_those_of_a_full_segment() {
    let disk = FaultDisk::default();
    let database = open_with(&disk, 1).expect("open");
    let collection = database
        .create_collection("notes", schema())
        .expect("create");
    // Dropped before the database, whose thread must not wait for ever when a check fails.
    let _held = Held::new(&disk, "/segments");
    let mut expected = Expected {
        exists: true,
        ..Expected::default()
    };
    // Eight points fill a segment; nobody waits for them.
    let first = (0..8).map(|id| point(id, 1)).collect();
    collection
        .upsert(first, &WriteOptions::default())
        .expect("written");
    collection
        .upsert(vec![point(8, 1)], &WriteOptions::durable())
        .expect("acknowledged");
    expected.settled = (0..9).map(|id| (id, 1)).collect();
    for outcome in 0..OUTCOMES {
        let context = format!("outcome {outcome}");
        check(&disk.after_power_cut(outcome), &mut expected, &context);
    }
}

/// Changes of some paths wait for as long as this lives.
struct Held(FaultDisk);

impl Held {
    fn new(disk: &FaultDisk, part: &'static str) -> Self {
        disk.hold(part);
        Held(disk.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A restore takes the place of a collection. Whatever becomes of it, the collection's snapshots stay.
#[test]
fn a_cut_while_a_collection_is_replaced_keeps_its_snapshots() {
    let begin = || {
        let disk = FaultDisk::default();
        let database = open(&disk).expect("open");
        let collection = database
            .create_collection("notes", schema())
            .expect("create");
        let mut snapshots = BTreeMap::new();
        for (tag, name) in [(1, "first"), (2, "second")] {
            let points = (tag..12).map(|id| point(id, tag)).collect();
            collection
                .upsert(points, &WriteOptions::durable())
                .expect("written");
            collection.snapshot(name).expect("taken");
            snapshots.insert(name.to_owned(), contents(&collection));
        }
        collection
            .upsert(vec![point(20, 3)], &WriteOptions::durable())
            .expect("written");
        let expected = Expected {
            exists: true,
            settled: contents(&collection),
            restored: Some(snapshots["first"].clone()),
            snapshots,
            ..Expected::default()
        };
        drop(collection);
        (disk, database, expected)
    };
    let (disk, database, _) = begin();
    let before = disk.steps();
    let restore = |database: &vectors::database::Database| {
        database.restore("notes", "first", "notes", Existing::Replace)
    };
    restore(&database).expect("restored");
    let steps = disk.steps() - before;
    assert!(steps > 10, "the restore reaches the disk");
    for cut in 0..steps {
        let (disk, database, expected) = begin();
        disk.cut_power_after(cut);
        let _ = restore(&database);
        for outcome in 0..OUTCOMES {
            let context = format!("power cut at step {cut} of {steps}, outcome {outcome}");
            let mut expected = expected.clone();
            check(&disk.after_power_cut(outcome), &mut expected, &context);
        }
    }
}
