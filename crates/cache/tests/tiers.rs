//! The cache through its public face: bounds, times to live, tenants, damage, single flight.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cache::disk::DiskOptions;
use cache::{Cache, CacheOptions, Key, RemoteState, Turn, Value};
use platform::Clock;

const HOUR: Duration = Duration::from_secs(3600);

fn open(clock: &Clock, directory: Option<&Path>, disk_bytes: u64) -> Cache {
    Cache::open(CacheOptions {
        memory_bytes: 1 << 20,
        value_bytes_max: 64 << 10,
        disk: directory.map(|directory| DiskOptions {
            directory: directory.to_owned(),
            bytes_max: disk_bytes,
            compress_from_bytes: 1024,
        }),
        remote: None,
        clock: clock.clone(),
    })
    .expect("a cache")
}

fn clock() -> Clock {
    Clock::manual(Duration::from_secs(1_000_000))
}

fn value(text: &str) -> Value {
    text.as_bytes().into()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(directory).expect("directory");
    shards
        .flat_map(|shard| std::fs::read_dir(shard.expect("shard").path()).expect("shard"))
        .map(|file| file.expect("file").path())
        .collect()
}

#[test]
fn a_result_is_found_until_its_time_is_over_and_only_by_its_tenant() {
    let clock = clock();
    let cache = open(&clock, None, 0);
    let key = Key::new("a", "spectrum:1");
    assert!(cache.get(&key).is_none());
    cache.put(&key, value("E"), HOUR);
    assert_eq!(cache.get(&key).as_deref(), Some(&b"E"[..]));
    assert!(cache.get(&Key::new("b", "spectrum:1")).is_none());
    clock.advance(HOUR - Duration::from_millis(1));
    assert!(cache.get(&key).is_some());
    clock.advance(Duration::from_millis(1));
    assert!(cache.get(&key).is_none());
    let kind = cache.statistics().kinds["spectrum"];
    assert_eq!((kind.memory_hits, kind.misses, kind.stores), (2, 3, 1));
    assert_eq!(kind.hit_ratio(), Some(0.4));
    assert_eq!(cache.statistics().remote, RemoteState::Off);
}

#[test]
fn memory_stays_within_its_bound_and_oversized_values_are_not_kept() {
    let cache = open(&clock(), None, 0);
    for number in 0..5_000 {
        cache.put(
            &Key::new("t", &format!("embed:{number}")),
            vec![7; 1_000].into(),
            HOUR,
        );
    }
    let large = Key::new("t", "large:1");
    cache.put(&large, vec![7; (64 << 10) + 1].into(), HOUR);
    assert!(cache.get(&large).is_none());
    let statistics = cache.statistics();
    assert!(
        statistics.memory_bytes <= 1 << 20,
        "{}",
        statistics.memory_bytes
    );
    assert!(statistics.memory_entries > 500 && statistics.kinds["embed"].evictions > 3_000);
}

#[test]
fn results_on_disk_survive_a_restart_and_come_back_to_memory() {
    let directory = tempfile::tempdir().expect("directory");
    let clock = clock();
    let key = Key::new("t", "embed:1");
    let long: Value = vec![9; 40_000].into();
    open(&clock, Some(directory.path()), 1 << 20).put(&key, Arc::clone(&long), HOUR);
    let cache = open(&clock, Some(directory.path()), 1 << 20);
    assert!(cache.get_fast(&key).is_none());
    assert_eq!(cache.get(&key), Some(long));
    assert!(cache.get_fast(&key).is_some(), "promoted");
    let statistics = cache.statistics();
    assert_eq!(statistics.kinds["embed"].disk_hits, 1);
    assert_eq!(
        (statistics.disk_entries, statistics.disk_bytes),
        (1, 4096),
        "compressed to one block"
    );
    clock.advance(HOUR);
    assert!(cache.get(&key).is_none());
    assert_eq!(
        files(directory.path()).len(),
        0,
        "what is over leaves the disk"
    );
}

#[test]
fn a_damaged_file_is_a_miss_and_leaves_the_disk() {
    let directory = tempfile::tempdir().expect("directory");
    let clock = clock();
    let key = Key::new("t", "embed:1");
    open(&clock, Some(directory.path()), 1 << 20).put(&key, value("true"), HOUR);
    let path = files(directory.path()).remove(0);
    let mut bytes = std::fs::read(&path).expect("entry");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::File::create(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &bytes))
        .expect("damage");
    let cache = open(&clock, Some(directory.path()), 1 << 20);
    assert!(cache.get(&key).is_none());
    assert_eq!(cache.statistics().disk_damaged, 1);
    assert!(!path.exists());
    cache.put(&key, value("again"), HOUR);
    assert_eq!(cache.get(&key), Some(value("again")));
}

#[test]
fn the_disk_tier_stays_within_its_bound_and_drops_what_was_used_longest_ago() {
    let directory = tempfile::tempdir().expect("directory");
    let clock = clock();
    let key = |number: u32| Key::new("t", &format!("embed:{number}"));
    {
        let cache = open(&clock, Some(directory.path()), 10 * 4096);
        for number in 0..10 {
            cache.put(&key(number), value("v"), HOUR);
        }
    }
    let cache = open(&clock, Some(directory.path()), 10 * 4096);
    assert!(cache.get(&key(0)).is_some(), "used now");
    for number in 10..15 {
        cache.put(&key(number), value("v"), HOUR);
    }
    assert_eq!(cache.statistics().disk_bytes, 10 * 4096);
    assert_eq!(files(directory.path()).len(), 10);
    let reopened = open(&clock, Some(directory.path()), 10 * 4096);
    assert!(reopened.get(&key(0)).is_some() && reopened.get(&key(14)).is_some());
}

#[test]
fn clearing_takes_a_tenants_prefix_and_nothing_else() {
    let directory = tempfile::tempdir().expect("directory");
    let cache = open(&clock(), Some(directory.path()), 1 << 20);
    for (tenant, name) in [("a", "spectrum:1"), ("a", "unified:1"), ("b", "spectrum:1")] {
        cache.put(&Key::new(tenant, name), value(name), HOUR);
    }
    assert_eq!(cache.clear(Some("a"), "spectrum:"), 1);
    assert!(cache.get(&Key::new("a", "spectrum:1")).is_none());
    assert!(cache.get(&Key::new("a", "unified:1")).is_some());
    assert_eq!(cache.clear(None, ""), 2);
    assert!(cache.get(&Key::new("b", "spectrum:1")).is_none());
    assert_eq!(files(directory.path()).len(), 0);
}

/// What every caller of the cache does: look, join, compute if it is this call's turn.
fn answer(cache: &Cache, key: &Key, computed: &AtomicU32) -> Value {
    loop {
        if let Some(found) = cache.get(key) {
            return found;
        }
        match cache.join(key) {
            Turn::Lead(lead) => {
                // Another call may have landed between the look and the turn.
                if let Some(found) = cache.get_fast(key) {
                    lead.finish(Arc::clone(&found));
                    return found;
                }
                computed.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
                let made = value("made");
                cache.put(key, Arc::clone(&made), HOUR);
                lead.finish(Arc::clone(&made));
                return made;
            }
            Turn::Wait(waiting) => {
                if let Some(found) = waiting.wait(Duration::from_secs(30)) {
                    return found;
                }
            }
        }
    }
}

#[test]
fn a_thousand_equal_calls_compute_once() {
    let cache = open(&clock(), None, 0);
    let computed = AtomicU32::new(0);
    let key = Key::new("t", "unified:1");
    std::thread::scope(|scope| {
        for _ in 0..1_000 {
            scope.spawn(|| assert_eq!(answer(&cache, &key, &computed), value("made")));
        }
    });
    assert_eq!(computed.load(Ordering::SeqCst), 1);
}

#[test]
fn those_who_wait_try_again_when_the_computing_call_gives_up() {
    let cache = open(&clock(), None, 0);
    let key = Key::new("t", "unified:1");
    let Turn::Lead(lead) = cache.join(&key) else {
        panic!("the first call leads")
    };
    let Turn::Wait(first) = cache.join(&key) else {
        panic!("the second waits")
    };
    let Turn::Wait(second) = cache.join(&key) else {
        panic!("the third waits")
    };
    let Turn::Wait(impatient) = cache.join(&key) else {
        panic!("the fourth waits")
    };
    assert_eq!(impatient.wait(Duration::from_millis(1)), None);
    let waiter = std::thread::spawn(move || futures::executor::block_on(first));
    drop(lead);
    assert_eq!(waiter.join().expect("no panic"), None);
    assert_eq!(second.wait(Duration::from_secs(5)), None);
    let Turn::Lead(lead) = cache.join(&key) else {
        panic!("the next call leads")
    };
    let Turn::Wait(waiting) = cache.join(&key) else {
        panic!("and others wait")
    };
    lead.finish(value("made"));
    assert_eq!(futures::executor::block_on(waiting), Some(value("made")));
    assert_eq!(cache.statistics().kinds["unified"].joined, 4);
}
