//! The queue's promises, checked with long and random runs.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

fn entry(id: u64, tenant: &str, weight: u32, class: Class, cost_tokens: u64) -> Entry<u64> {
    Entry {
        id,
        tenant: Arc::from(tenant),
        weight,
        class,
        cost_tokens,
        deadline: None,
        item: id,
    }
}

fn queue(limit: usize) -> FairQueue<u64> {
    FairQueue::new(FairQueueOptions::with_limit(limit))
}

/// Serves `pops` requests of tenants that always have several waiting; each costs `cost` prompt tokens and the same
/// number of output tokens. Returns the tokens each tenant received.
fn saturate(
    tenants: &[(&str, u32)],
    pops: usize,
    mut cost: impl FnMut(usize, usize) -> u64,
) -> BTreeMap<String, u64> {
    let mut queue = queue(1000);
    let now = Instant::now();
    let mut next = 0;
    let mut served: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..pops {
        for (index, (name, weight)) in tenants.iter().enumerate() {
            while queue.tenant_depth(name) < 3 {
                let tokens = cost(index, round);
                queue
                    .push(entry(next, name, *weight, Class::Interactive, tokens), now)
                    .expect("room");
                next += 1;
            }
        }
        let popped = queue.pop(now).expect("saturated");
        let tokens = popped.entry.cost_tokens;
        for _ in 0..tokens {
            queue.charge(&popped.entry.tenant, 1);
        }
        *served.entry(popped.entry.tenant.to_string()).or_default() += 2 * tokens;
    }
    served
}

#[test]
fn weights_8_4_2_1_become_shares_within_five_percent() {
    let tenants = [("a", 8), ("b", 4), ("c", 2), ("d", 1)];
    // Sizes differ between tenants and over time, so that counting requests instead of tokens would fail.
    let served = saturate(&tenants, 6_000, |index, round| {
        [20, 50, 100, 7][(index + round / 3) % 4] + (round % 11) as u64
    });
    let total: u64 = served.values().sum();
    for (name, weight) in tenants {
        let share = served[name] as f64 / total as f64;
        let fair = f64::from(weight) / 15.0;
        assert!(
            (share / fair - 1.0).abs() < 0.05,
            "{name}: {share} instead of {fair}"
        );
    }
}

#[test]
fn equal_tenants_with_unequal_requests_have_a_jain_index_above_0_999() {
    let tenants = [("small", 1), ("medium", 1), ("large", 1), ("mixed", 1)];
    let served = saturate(&tenants, 8_000, |index, round| match index {
        0 => 5,
        1 => 60,
        2 => 400,
        _ => [5, 400][round % 2],
    });
    let sum: f64 = served.values().map(|tokens| *tokens as f64).sum();
    let squares: f64 = served.values().map(|tokens| (*tokens as f64).powi(2)).sum();
    let jain = sum * sum / (served.len() as f64 * squares);
    assert!(jain > 0.999, "{jain} {served:?}");
}

#[test]
fn a_tenant_that_returns_has_no_credit_from_its_absence() {
    let mut queue = queue(10_000);
    let now = Instant::now();
    for id in 0..2_000 {
        queue
            .push(entry(id, "busy", 1, Class::Interactive, 10), now)
            .expect("room");
    }
    for _ in 0..1_000 {
        queue.pop(now).expect("waiting");
    }
    for id in 5_000..6_000 {
        queue
            .push(entry(id, "newcomer", 1, Class::Interactive, 10), now)
            .expect("room");
    }
    let first: Vec<_> = (0..100)
        .map(|_| queue.pop(now).expect("waiting").entry.tenant)
        .collect();
    let newcomer = first.iter().filter(|name| &***name == "newcomer").count();
    assert!((49..=51).contains(&newcomer), "{newcomer} of 100");
}

#[test]
fn work_done_while_nobody_else_waited_is_no_debt() {
    let now = Instant::now();
    for newcomer_first in [false, true] {
        let mut queue = queue(100);
        queue
            .push(entry(0, "lone", 1, Class::Interactive, 1_000_000), now)
            .expect("room");
        queue.pop(now).expect("waiting");
        queue.charge("lone", 1_000);
        let mut names = ["lone", "newcomer"];
        if newcomer_first {
            names.reverse();
        }
        for (offset, name) in names.into_iter().enumerate() {
            for id in 0..20 {
                let id = 1 + id + 20 * offset as u64;
                queue
                    .push(entry(id, name, 1, Class::Interactive, 10), now)
                    .expect("room");
            }
        }
        let lone = (0..10)
            .filter(|_| &*queue.pop(now).expect("waiting").entry.tenant == "lone")
            .count();
        assert_eq!(lone, 5, "newcomer first: {newcomer_first}");
    }
}

#[test]
fn interactive_goes_first_and_aged_batch_gets_one_turn_in_eight() {
    let mut queue = queue(1000);
    let start = Instant::now();
    for id in 0..50 {
        queue
            .push(entry(id, "night", 1, Class::Batch, 10), start)
            .expect("room");
    }
    for id in 100..400 {
        queue
            .push(entry(id, "day", 1, Class::Interactive, 10), start)
            .expect("room");
    }
    let fresh: Vec<Class> = (0..40)
        .map(|_| queue.pop(start).expect("waiting").entry.class)
        .collect();
    assert!(fresh.iter().all(|class| *class == Class::Interactive));
    let aged = start + Duration::from_secs(6);
    let mixed: Vec<Class> = (0..80)
        .map(|_| queue.pop(aged).expect("waiting").entry.class)
        .collect();
    let turns = mixed.iter().filter(|class| **class == Class::Batch).count();
    assert_eq!(turns, 10);
    assert_eq!(mixed[0], Class::Batch);
}

#[test]
fn nobody_waits_longer_than_the_number_of_tenants_times_the_largest_request() {
    // One tenant sends tiny requests against nine greedy ones with large requests: fairness means that it is served at
    // the latest after each other tenant had one turn.
    let mut queue = queue(1000);
    let now = Instant::now();
    let mut id = 0;
    let mut since_tiny = 0;
    for _ in 0..2_000 {
        for tenant in 0..9 {
            let name = format!("greedy{tenant}");
            while queue.tenant_depth(&name) < 4 {
                queue
                    .push(entry(id, &name, 1, Class::Interactive, 500), now)
                    .expect("room");
                id += 1;
            }
        }
        if queue.tenant_depth("tiny") == 0 {
            queue
                .push(entry(id, "tiny", 1, Class::Interactive, 1), now)
                .expect("room");
            id += 1;
            since_tiny = 0;
        }
        let popped = queue.pop(now).expect("saturated");
        if &*popped.entry.tenant != "tiny" {
            since_tiny += 1;
        }
        assert!(since_tiny <= 9, "tiny waited for {since_tiny} others");
    }
}

#[test]
fn bounds_refuse_and_hand_the_item_back() {
    let mut queue = FairQueue::new(FairQueueOptions {
        tenant_limit: 2,
        ..FairQueueOptions::with_limit(3)
    });
    let now = Instant::now();
    let mut push = |id, tenant: &str| queue.push(entry(id, tenant, 1, Class::Interactive, 1), now);
    push(0, "a").expect("room");
    push(1, "a").expect("room");
    let full = push(2, "a").expect_err("tenant bound");
    assert_eq!(
        (full.scope, full.depth, full.limit, full.item),
        (FullScope::Tenant, 2, 2, 2)
    );
    push(3, "b").expect("room");
    let full = push(4, "c").expect_err("queue bound");
    assert_eq!(
        (full.scope, full.depth, full.limit),
        (FullScope::Queue, 3, 3)
    );
    assert_eq!(queue.backpressure(), BackpressureLevel::Full);
}

#[test]
fn expired_entries_are_never_popped_and_always_returned_once() {
    let mut queue = queue(10);
    let now = Instant::now();
    for id in 0..4 {
        let mut waiting = entry(id, "a", 1, Class::Interactive, 1);
        waiting.deadline = Some(now + Duration::from_secs(id));
        queue.push(waiting, now).expect("room");
    }
    assert_eq!(queue.next_deadline(), Some(now));
    let later = now + Duration::from_secs(1);
    assert_eq!(queue.peek(later).map(|entry| entry.id), Some(2));
    assert_eq!(queue.pop(later).map(|popped| popped.entry.id), Some(2));
    assert_eq!(queue.depth(), 3);
    let expired: HashSet<u64> = queue.expire(later).iter().map(|entry| entry.id).collect();
    assert_eq!(expired, HashSet::from([0, 1]));
    assert_eq!(queue.depth(), 1);
    assert_eq!(queue.remove(3).map(|entry| entry.id), Some(3));
    assert!(queue.pop(later).is_none());
}

#[test]
fn a_requeued_entry_is_first_again_keeps_its_age_and_costs_nothing_twice() {
    let mut queue = queue(10);
    let start = Instant::now();
    for id in 0..3 {
        queue
            .push(entry(id, "a", 1, Class::Interactive, 100), start)
            .expect("room");
    }
    queue
        .push(entry(9, "b", 1, Class::Interactive, 100), start)
        .expect("room");
    let popped = queue.pop(start).expect("waiting");
    assert_eq!(popped.entry.id, 0);
    queue.requeue_front(popped);
    let later = start + Duration::from_secs(2);
    let again = queue.pop(later).expect("waiting");
    assert_eq!((again.entry.id, again.waited), (0, Duration::from_secs(2)));
    assert_eq!(queue.pop(later).expect("b's turn").entry.id, 9);
}

#[test]
fn idle_tenants_do_not_pile_up() {
    let mut queue = queue(10);
    let now = Instant::now();
    for id in 0..20_000u64 {
        queue
            .push(
                entry(id, &format!("t{id}"), 1, Class::Interactive, id % 50),
                now,
            )
            .expect("room");
        queue.pop(now).expect("waiting");
    }
    assert!(queue.tenants.len() <= IDLE_TENANTS_MAX + 2);
}

#[derive(Debug, Clone)]
enum Operation {
    Push {
        tenant: u8,
        weight: u32,
        batch: bool,
        cost: u64,
        deadline: Option<u64>,
    },
    Pop,
    Peek,
    Requeue,
    Remove(usize),
    Expire,
    Charge {
        tenant: u8,
        tokens: u64,
    },
    Pass(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = prop_oneof![
        6 => (0..5u8, 0..5u32, any::<bool>(), 0..200u64, proptest::option::of(0..30u64)).prop_map(
            |(tenant, weight, batch, cost, deadline)| Operation::Push { tenant, weight, batch, cost, deadline }
        ),
        4 => Just(Operation::Pop),
        1 => Just(Operation::Peek),
        2 => Just(Operation::Requeue),
        1 => any::<usize>().prop_map(Operation::Remove),
        1 => Just(Operation::Expire),
        2 => (0..6u8, 0..300u64).prop_map(|(tenant, tokens)| Operation::Charge { tenant, tokens }),
        2 => (0..10u64).prop_map(Operation::Pass),
    ];
    proptest::collection::vec(one, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Random operations against a plain list: nothing is lost, doubled, popped late or out of order.
    #[test]
    fn nothing_is_lost_or_doubled(operations in operations()) {
        let limit = 40;
        let mut queue = queue(limit);
        let mut now = Instant::now();
        let mut waiting: BTreeMap<u64, (u8, Class, Option<Instant>)> = BTreeMap::new();
        let mut held: Vec<Popped<u64>> = Vec::new();
        for (id, operation) in operations.into_iter().enumerate() {
            let id = id as u64;
            match operation {
                Operation::Push { tenant, weight, batch, cost, deadline } => {
                    let class = if batch { Class::Batch } else { Class::Interactive };
                    let deadline = deadline.map(|seconds| now + Duration::from_secs(seconds));
                    let mut new = entry(id, &format!("t{tenant}"), weight, class, cost);
                    new.deadline = deadline;
                    let pushed = queue.push(new, now).is_ok();
                    prop_assert_eq!(pushed, waiting.len() < limit);
                    if pushed {
                        waiting.insert(id, (tenant, class, deadline));
                    }
                }
                Operation::Peek | Operation::Pop => {
                    let expected = queue.peek(now).map(|entry| entry.id);
                    let live = waiting.values().any(|(_, _, deadline)| deadline.is_none_or(|at| at > now));
                    prop_assert_eq!(expected.is_some(), live);
                    if matches!(operation, Operation::Pop)
                        && let Some(popped) = queue.pop(now)
                    {
                        prop_assert_eq!(Some(popped.entry.id), expected);
                        let facts = waiting.remove(&popped.entry.id).expect("was waiting");
                        prop_assert!(facts.2.is_none_or(|at| at > now));
                        let earlier = waiting.iter().any(|(other, (tenant, class, deadline))| {
                            *other < popped.entry.id
                                && (*tenant, *class) == (facts.0, facts.1)
                                && deadline.is_none_or(|at| at > now)
                        });
                        prop_assert!(!earlier, "first in, first out within tenant and class");
                        held.push(popped);
                    }
                }
                Operation::Requeue => {
                    if let Some(popped) = held.pop() {
                        let tenant = popped.entry.tenant[1..].parse().expect("number");
                        waiting.insert(popped.entry.id, (tenant, popped.entry.class, popped.entry.deadline));
                        queue.requeue_front(popped);
                    }
                }
                Operation::Remove(choice) => {
                    let target = waiting.keys().nth(choice % (waiting.len() + 1)).copied();
                    let removed = queue.remove(target.unwrap_or(u64::MAX)).map(|entry| entry.id);
                    prop_assert_eq!(removed, target);
                    target.map(|id| waiting.remove(&id));
                }
                Operation::Expire => {
                    for entry in queue.expire(now) {
                        let facts = waiting.remove(&entry.id).expect("was waiting");
                        prop_assert!(facts.2.is_some_and(|at| at <= now));
                    }
                    prop_assert!(waiting.values().all(|(_, _, deadline)| deadline.is_none_or(|at| at > now)));
                }
                Operation::Charge { tenant, tokens } => queue.charge(&format!("t{tenant}"), tokens),
                Operation::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            prop_assert_eq!(queue.depth(), waiting.len());
        }
        let rest: HashSet<u64> = queue.drain().iter().map(|entry| entry.id).collect();
        prop_assert_eq!(rest, waiting.keys().copied().collect::<HashSet<_>>());
        prop_assert_eq!(queue.depth(), 0);
        prop_assert!(queue.active.is_empty() && queue.deadlines.is_empty() && queue.batch_ages.is_empty());
        prop_assert!(queue.interactive.is_empty() && queue.batch.is_empty());
    }
}
