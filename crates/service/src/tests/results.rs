//! Kept results: what is computed once, what is computed anew, and for whom.

use std::time::Duration;

use cache::{Cache, CacheOptions};
use platform::Clock;

use super::scripted::{Reply, accepted, crash, finished, text};
use super::{bench_keeping, chat, collect, identity, text_of, user};
use crate::types::{ChatRequest, EmbedRequest, GenerationEvent, Prompt};
use security::Scope;

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

pub(super) fn memory_only() -> Cache {
    Cache::open(CacheOptions {
        memory_bytes: 1 << 20,
        value_bytes_max: 1 << 16,
        disk: None,
        remote: None,
        clock: Clock::system(),
    })
    .expect("a cache in memory")
}

fn hello() -> Reply {
    Reply::Events(vec![
        accepted(),
        text(0, "Hel"),
        text(0, "lo"),
        finished(0, "length"),
    ])
}

fn greedy() -> ChatRequest {
    let mut request = chat("tiny");
    request.options.sampling.temperature = Some(0.0);
    request
}

#[tokio::test]
async fn a_greedy_answer_is_generated_once_and_replayed_whole() {
    let bench = bench_keeping(vec![hello(), hello(), hello()], HOUR).await;
    let ask = async |request: ChatRequest, who: &str| {
        let who = identity(who, Scope::Inference);
        let generation = bench.service.chat(&who, request).await.expect("accepted");
        collect(generation).await.expect("events")
    };
    let first = ask(greedy(), "acme").await;
    let second = ask(greedy(), "acme").await;
    assert_eq!(
        (text_of(&first), bench.runtime.requests()),
        ("Hello".into(), 1)
    );
    assert_eq!(first[1..], second[1..]);
    let GenerationEvent::Started {
        prompt_tokens,
        cached_tokens,
        ..
    } = second[0]
    else {
        panic!("the start comes first");
    };
    assert!(prompt_tokens > 0 && cached_tokens == prompt_tokens);
    // Another tenant, and a caller who wants a fresh one, compute.
    ask(greedy(), "other").await;
    assert_eq!(bench.runtime.requests(), 2);
    let mut fresh = greedy();
    fresh.options.fresh = true;
    ask(fresh, "acme").await;
    assert_eq!(bench.runtime.requests(), 3);
}

#[tokio::test]
async fn only_equal_and_deterministic_requests_share_an_answer() {
    let bench = bench_keeping((0..8).map(|_| hello()).collect(), HOUR).await;
    let mut seeded = chat("tiny");
    seeded.options.sampling.seed = Some(1);
    let mut other_seed = seeded.clone();
    other_seed.options.sampling.seed = Some(2);
    let mut longer = greedy();
    longer.options.tokens_max = Some(9);
    let requests = [
        (chat("tiny"), 1),
        (chat("tiny"), 2),
        (greedy(), 3),
        (longer, 4),
        (seeded.clone(), 5),
        (seeded, 5),
        (other_seed, 6),
        (greedy(), 6),
    ];
    for (index, (request, computed)) in requests.into_iter().enumerate() {
        let generation = bench
            .service
            .chat(&user(), request)
            .await
            .expect("accepted");
        collect(generation).await.expect("events");
        assert_eq!(bench.runtime.requests(), computed, "request {index}");
    }
}

#[tokio::test]
async fn an_answer_that_failed_or_was_left_is_not_kept() {
    let broken = Reply::Events(vec![accepted(), text(0, "Hel"), Err(crash())]);
    let left = Reply::Hang(vec![accepted(), text(0, "Hel")]);
    let bench = bench_keeping(vec![broken, left, hello()], HOUR).await;
    let failed = bench
        .service
        .chat(&user(), greedy())
        .await
        .expect("accepted");
    collect(failed).await.expect_err("the runner died");
    let left = bench
        .service
        .chat(&user(), greedy())
        .await
        .expect("accepted");
    drop(left);
    let whole = bench
        .service
        .chat(&user(), greedy())
        .await
        .expect("accepted");
    assert_eq!(text_of(&collect(whole).await.expect("events")), "Hello");
}

#[tokio::test]
async fn equal_calls_that_arrive_together_generate_once() {
    let bench = bench_keeping(vec![hello()], HOUR).await;
    let ask = || async {
        let generation = bench
            .service
            .chat(&user(), greedy())
            .await
            .expect("accepted");
        text_of(&collect(generation).await.expect("events"))
    };
    let answers = futures::future::join_all((0..100).map(|_| ask())).await;
    assert!(answers.iter().all(|answer| answer == "Hello"));
    assert_eq!(bench.runtime.requests(), 1);
}

#[tokio::test]
async fn only_texts_that_are_not_known_are_embedded() {
    let bench = bench_keeping(Vec::new(), HOUR).await;
    let embed = async |texts: &[&str], fresh: bool| {
        let request = EmbedRequest {
            model: "vectors".into(),
            inputs: texts
                .iter()
                .map(|text| Prompt::Text((*text).into()))
                .collect(),
            dimensions: None,
            truncate: false,
            keep_alive: None,
            fresh,
        };
        bench
            .service
            .embed(&user(), request)
            .await
            .expect("embedded")
    };
    assert_eq!(
        embed(&["a", "b", "a"], false).await.vectors,
        [0.6, 0.8].repeat(3)
    );
    let some = embed(&["b", "c"], false).await;
    assert_eq!(
        (some.dimensions, some.prompt_tokens, some.vectors.len()),
        (2, 10, 4)
    );
    embed(&["a", "b", "c"], false).await;
    embed(&["a"], true).await;
    let embeds = bench.runtime.shared.embeds.lock().expect("embeds");
    let computed: Vec<usize> = embeds.iter().map(|call| call.inputs.len()).collect();
    assert_eq!(computed, [2, 1, 1]);
}
