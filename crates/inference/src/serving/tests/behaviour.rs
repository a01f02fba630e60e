//! One promise of the loop at a time.

use std::time::Duration;

use scheduling::Class;
use tokio::sync::oneshot;

use super::engine::{BEGIN, END, VOCABULARY, row_after};
use super::*;
use crate::engine::EngineError;
use crate::serving::request::{Command, EmbedJob, FailureKind, FinishReason, RerankJob};
use crate::serving::sampler::log_probabilities;

/// `length` tokens that depend on `seed`; none ends the output.
fn prompt(seed: u32, length: u32) -> Vec<Token> {
    (0..length)
        .map(|index| 2 + (seed * 7 + index * index + index) % (VOCABULARY - 2))
        .collect()
}

/// What the model says greedily, by the plain loop: no cache, no batch, no text.
fn greedy(prompt: &[Token], most: usize) -> Vec<Token> {
    let mut content = prompt.to_vec();
    let mut output = Vec::new();
    while output.len() < most {
        let row = row_after(&content);
        // The last of equals is the lowest token, which the sampler takes, too.
        let best = (0..VOCABULARY)
            .rev()
            .max_by(|left, right| row[*left as usize].total_cmp(&row[*right as usize]))
            .unwrap();
        output.push(best);
        if best == END {
            break;
        }
        content.push(best);
    }
    output
}

fn text_of(tokens: &[Token]) -> String {
    let mut bytes = Vec::new();
    let engine = TestEngine::new(Clock::system(), |_| {});
    for token in tokens {
        engine.token_bytes(*token, false, &mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_lone_request_says_what_the_model_says() {
    for seed in 0..40 {
        let ask = Ask::new(&prompt(seed, 1 + seed * 3));
        let heard = ask.alone();
        let expected = greedy(&ask.prompt, 12);
        assert_eq!(heard.text(), text_of(&expected), "seed {seed}");
        let finish = heard.choices[&0].finish.clone().unwrap();
        assert_eq!(finish.output_tokens as usize, expected.len());
        let ended = expected.last() == Some(&END);
        assert_eq!(finish.reason == FinishReason::Stop, ended);
        assert_eq!(heard.accepted.unwrap().prompt_tokens, 1 + seed * 3);
    }
}

#[test]
fn a_prefix_is_computed_once_and_reported_truthfully() {
    let mut serving = Serving::usual();
    let long = prompt(1, 200);
    let mut first = serving.submit(Ask::new(&long));
    serving.finish(&mut [&mut first]);
    assert_eq!(first.cached(), 0);
    let before = serving.serving.engine.computed_tokens();
    let mut again = serving.submit(Ask::new(&long));
    serving.finish(&mut [&mut again]);
    // The last token is always computed: nothing else has logits.
    assert_eq!(again.cached(), 199);
    let outputs = again.choices[&0].finish.as_ref().unwrap().output_tokens as usize;
    assert_eq!(serving.serving.engine.computed_tokens() - before, outputs);
    again.assert_same_answer(&first);
    let mut half = long[..100].to_vec();
    half.extend(prompt(5, 20));
    let mut half = serving.submit(Ask::new(&half));
    serving.finish(&mut [&mut half]);
    assert_eq!(half.cached(), 100);
    let stats = serving.serving.stats();
    assert_eq!(
        (stats.prefix_queries_tokens, stats.prefix_hits_tokens),
        (520, 299)
    );
    serving.assert_nothing_leaked();
}

#[test]
fn a_conversation_goes_on_from_its_own_answer() {
    let mut serving = Serving::usual();
    let mut content = prompt(3, 30);
    let mut ask = Ask::new(&content);
    ask.tokens_min = 12;
    let mut first = serving.submit(ask);
    serving.finish(&mut [&mut first]);
    let answer = first.choices[&0].finish.as_ref().unwrap().output_tokens;
    assert_eq!(answer, 12);
    // The last token of an answer is told, not computed.
    let cached = serving.serving.index.cells_used();
    assert_eq!(cached, 30 + 11);
    let engine = &serving.serving.engine;
    content = (0..32)
        .map(|sequence| engine.content(sequence))
        .max_by_key(Vec::len)
        .unwrap();
    content.extend(prompt(4, 10));
    let mut second = serving.submit(Ask::new(&content));
    serving.finish(&mut [&mut second]);
    assert_eq!(second.cached(), 41);
}

#[test]
fn tenants_and_salts_share_nothing() {
    let mut serving = Serving::usual();
    let ask = Ask::new(&prompt(1, 100));
    let mut first = serving.submit(ask.clone());
    serving.finish(&mut [&mut first]);
    for (tenant, salt) in [("other", ""), ("acme", "mine"), ("", "acme")] {
        let mut other = serving.submit(Ask {
            tenant,
            salt,
            ..ask.clone()
        });
        serving.finish(&mut [&mut other]);
        assert_eq!(other.cached(), 0, "{tenant}/{salt}");
        other.assert_same_answer(&first);
    }
    let used = serving.serving.index.cells_used();
    assert!(used >= 400, "four copies, not one: {used}");
}

#[test]
fn requests_that_come_together_compute_their_common_prefix_once() {
    let mut serving = Serving::usual();
    let common = prompt(1, 150);
    let asks: Vec<Ask> = (0..4)
        .map(|index| {
            let mut tokens = common.clone();
            tokens.extend(prompt(20 + index, 10));
            Ask::new(&tokens)
        })
        .collect();
    let mut heard: Vec<Heard> = asks.iter().map(|ask| serving.submit(ask.clone())).collect();
    serving.finish(&mut heard.iter_mut().collect::<Vec<_>>());
    let outputs: u32 = heard
        .iter()
        .map(|one| one.choices[&0].finish.as_ref().unwrap().output_tokens - 1)
        .sum();
    let computed = serving.serving.engine.computed_tokens();
    assert_eq!(computed, 150 + 4 * 10 + outputs as usize);
    for (one, ask) in heard.iter().zip(&asks) {
        one.assert_same_answer(&ask.alone());
    }
    assert!(heard[1..].iter().all(|one| one.cached() == 150));
}

#[test]
fn choices_share_one_prefill_and_differ_by_seed() {
    let mut serving = Serving::usual();
    let mut ask = Ask::new(&prompt(1, 120));
    ask.choices = 5;
    ask.temperature = 1.0;
    let mut heard = serving.submit(ask.clone());
    serving.finish(&mut [&mut heard]);
    assert_eq!(heard.choices.len(), 5);
    let prompts: usize = serving
        .serving
        .engine
        .batches
        .iter()
        .flatten()
        .filter(|entry| entry.position < 120)
        .count();
    assert_eq!(
        prompts,
        120 + 4,
        "one prefill, and the last token for each other choice"
    );
    for (choice, told) in &heard.choices {
        let mut single = ask.clone();
        single.choices = 1;
        single.seed = ask.seed + u64::from(*choice);
        assert_eq!(
            told.text,
            single.alone().text(),
            "choice {choice} is seed + {choice}"
        );
    }
    serving.assert_nothing_leaked();
}

#[test]
fn a_disconnect_frees_everything_within_one_step() {
    let mut serving = Serving::usual();
    let mut stays = serving.submit(Ask::new(&prompt(1, 40)));
    let mut goes = serving.submit(Ask {
        tokens_min: 200,
        tokens_max: None,
        ..Ask::new(&prompt(2, 40))
    });
    while goes.choices.is_empty() {
        serving.step();
        goes.read(usize::MAX);
    }
    assert_eq!(serving.serving.running.len(), 2);
    goes.disconnect();
    serving.step();
    assert_eq!(serving.serving.running.len(), 1);
    assert_eq!(serving.serving.index.live_sequences(), 1);
    serving.finish(&mut [&mut stays]);
    stays.assert_same_answer(&Ask::new(&prompt(1, 40)).alone());
    serving.assert_nothing_leaked();
}

#[test]
fn a_slow_reader_pauses_itself_and_nobody_else() {
    let mut serving = Serving::usual();
    let slow_ask = Ask {
        tokens_min: 30,
        tokens_max: Some(30),
        channel: 2,
        ..Ask::new(&prompt(1, 20))
    };
    let mut slow = serving.submit(slow_ask.clone());
    let mut quick = serving.submit(Ask {
        tokens_min: 100,
        tokens_max: Some(100),
        channel: 200,
        ..Ask::new(&prompt(2, 20))
    });
    for _ in 0..130 {
        serving.step();
    }
    quick.read(usize::MAX);
    assert!(quick.ended(1), "the quick one is done");
    assert!(!slow.ended(1));
    let told = serving.serving.running[0].output.tokens;
    assert!(told < 10, "the slow one stands still: {told}");
    // Paused, the loop computes nothing.
    let steps = serving.serving.engine.batches.len();
    assert!(matches!(serving.step(), Progress::Idle(Some(_))));
    assert_eq!(serving.serving.engine.batches.len(), steps);
    serving.finish(&mut [&mut slow]);
    slow.assert_same_answer(&slow_ask.alone());
}

#[test]
fn slow_readers_give_their_places_to_those_who_wait() {
    let options = ServingOptions {
        running_max: 2,
        ..ServingOptions::default()
    };
    let mut serving = Serving::new(options, |_| {});
    let slow_ask = |seed| Ask {
        tokens_min: 20,
        tokens_max: Some(20),
        channel: 1,
        ..Ask::new(&prompt(seed, 20))
    };
    let mut slow: Vec<Heard> = (0..2).map(|seed| serving.submit(slow_ask(seed))).collect();
    for _ in 0..20 {
        serving.step();
    }
    let mut third = serving.submit(Ask::new(&prompt(9, 20)));
    for _ in 0..40 {
        serving.step();
        third.read(usize::MAX);
    }
    assert!(third.ended(1), "two stuck readers do not hold both places");
    serving.finish(&mut slow.iter_mut().collect::<Vec<_>>());
    for (seed, one) in (0..).zip(&slow) {
        one.assert_same_answer(&slow_ask(seed).alone());
    }
    serving.assert_nothing_leaked();
}

#[test]
fn cached_prefixes_hold_no_more_cells_than_they_may() {
    let options = ServingOptions {
        retained_cells_max: 60,
        ..ServingOptions::default()
    };
    let mut serving = Serving::new(options, |_| {});
    for seed in 0..4 {
        let mut heard = serving.submit(Ask::new(&prompt(seed, 30)));
        serving.finish(&mut [&mut heard]);
        assert!(serving.serving.stats().cells_used <= 60);
    }
    // The newest prefix is still there: only the oldest went.
    let before = serving.serving.stats().prefix_hits_tokens;
    let mut again = serving.submit(Ask::new(&prompt(3, 30)));
    serving.finish(&mut [&mut again]);
    assert_eq!(serving.serving.stats().prefix_hits_tokens - before, 29);
    serving.assert_nothing_leaked();
}

#[test]
fn a_prefix_that_left_the_cache_comes_back_for_its_tenant_only() {
    let options = ServingOptions {
        retained_cells_max: 0,
        shelf_bytes_max: 1 << 20,
        ..ServingOptions::default()
    };
    let mut serving = Serving::new(options, |_| {});
    let ask = || Ask {
        tokens_max: Some(8),
        ..Ask::new(&prompt(1, 90))
    };
    let mut first = serving.submit(ask());
    serving.finish(&mut [&mut first]);
    assert_eq!(
        serving.serving.stats().cells_used,
        0,
        "nothing waits in the cache"
    );
    let mut again = serving.submit(ask());
    serving.finish(&mut [&mut again]);
    assert_eq!(serving.serving.stats().prefix_hits_tokens, 89);
    again.assert_same_answer(&ask().alone());
    let mut other = serving.submit(Ask {
        tenant: "other",
        ..ask()
    });
    serving.finish(&mut [&mut other]);
    assert_eq!(
        serving.serving.stats().prefix_hits_tokens,
        89,
        "not for another tenant"
    );
    serving.assert_nothing_leaked();
}

#[test]
fn a_prompt_that_does_not_fit_is_refused_with_both_numbers() {
    let mut serving = Serving::usual();
    let mut heard = serving.submit(Ask::new(&prompt(1, 256)));
    serving.finish(&mut [&mut heard]);
    let failure = heard.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::ContextExceeded);
    assert_eq!((failure.actual, failure.limit), (256, 255));
    // One token less fits, and ends by length when the context is full.
    let mut ask = Ask::new(&prompt(1, 250));
    ask.tokens_max = None;
    ask.tokens_min = u32::MAX;
    let heard = ask.alone();
    let finish = heard.choices[&0].finish.clone().unwrap();
    assert_eq!(
        (finish.reason, finish.output_tokens),
        (FinishReason::Length, 6)
    );
}

#[test]
fn the_queue_is_bounded_and_says_when_to_come_back() {
    let options = ServingOptions {
        running_max: 1,
        queue_max: 3,
        ..ServingOptions::default()
    };
    let mut serving = Serving::new(options, |_| {});
    let mut heard: Vec<Heard> = (0..10)
        .map(|seed| serving.submit(Ask::new(&prompt(seed, 20))))
        .collect();
    serving.finish(&mut heard.iter_mut().collect::<Vec<_>>());
    let refused: Vec<&Heard> = heard.iter().filter(|one| one.failure.is_some()).collect();
    assert_eq!(refused.len(), 6, "one runs, three wait");
    for one in refused {
        let failure = one.failure.as_ref().unwrap();
        assert_eq!(failure.kind, FailureKind::Overloaded);
        assert!(failure.retry_after >= Duration::from_millis(100));
    }
    serving.assert_nothing_leaked();
}

#[test]
fn deadlines_end_what_waits_and_what_runs() {
    let options = ServingOptions {
        running_max: 1,
        ..ServingOptions::default()
    };
    let mut serving = Serving::new(options, |_| {});
    let ask = |seed| Ask {
        deadline: Some(Duration::from_millis(300)),
        tokens_max: None,
        tokens_min: u32::MAX,
        channel: 300,
        ..Ask::new(&prompt(seed, 20))
    };
    let mut heard = [serving.submit(ask(1)), serving.submit(ask(2))];
    serving.finish(&mut heard.iter_mut().collect::<Vec<_>>());
    for one in &heard {
        assert_eq!(one.failure.as_ref().unwrap().kind, FailureKind::Deadline);
    }
    assert!(!heard[0].text().is_empty() && heard[1].accepted.is_none());
    serving.assert_nothing_leaked();
}

#[test]
fn batch_work_steps_back_for_interactive_work_and_goes_on_exactly() {
    let options = ServingOptions {
        running_max: 2,
        ..ServingOptions::default()
    };
    let mut serving = Serving::new(options, |_| {});
    let batch_ask = |seed| Ask {
        class: Class::Batch,
        temperature: 1.0,
        tokens_max: Some(60),
        tokens_min: 60,
        ..Ask::new(&prompt(seed, 30))
    };
    let mut batch: Vec<Heard> = (0..2).map(|seed| serving.submit(batch_ask(seed))).collect();
    for _ in 0..20 {
        serving.step();
    }
    let mut quick: Vec<Heard> = (5..7)
        .map(|seed| serving.submit(Ask::new(&prompt(seed, 30))))
        .collect();
    for _ in 0..3 {
        serving.step();
    }
    assert!(
        serving
            .serving
            .running
            .iter()
            .all(|one| one.spec.class == Class::Interactive)
    );
    assert_eq!(serving.serving.stats().preemptions, 2);
    let computed = serving.serving.engine.computed_tokens();
    serving.finish(&mut batch.iter_mut().chain(&mut quick).collect::<Vec<_>>());
    let outputs: u32 = batch
        .iter()
        .map(|one| one.choices[&0].finish.as_ref().unwrap().output_tokens)
        .sum();
    assert_eq!(outputs, 120);
    for (seed, one) in (0..).zip(&batch) {
        one.assert_same_answer(&batch_ask(seed).alone());
    }
    for (seed, one) in (5..).zip(&quick) {
        one.assert_same_answer(&Ask::new(&prompt(seed, 30)).alone());
    }
    // What had been computed before was kept as a prefix: nothing was computed twice.
    let after = serving.serving.engine.computed_tokens() - computed;
    assert!(after < 120, "{after} tokens after the preemption");
    serving.assert_nothing_leaked();
}

#[test]
fn tenants_get_fair_shares_of_the_places() {
    let options = ServingOptions {
        running_max: 1,
        ..ServingOptions::default()
    };
    let mut serving = Serving::new(options, |_| {});
    let ask = |tenant, seed| Ask {
        tenant,
        tokens_min: 10,
        tokens_max: Some(10),
        ..Ask::new(&prompt(seed, 20))
    };
    let mut heard: Vec<(&str, Heard)> = (0..12)
        .map(|seed| ("loud", serving.submit(ask("loud", seed))))
        .collect();
    heard.extend((20..24).map(|seed| ("quiet", serving.submit(ask("quiet", seed)))));
    let mut order = Vec::new();
    while order.len() < heard.len() {
        serving.step();
        for (tenant, one) in &mut heard {
            let before = one.ended(1);
            one.read(usize::MAX);
            if one.ended(1) && !before {
                order.push(*tenant);
            }
        }
    }
    let quiet_done = order.iter().rposition(|tenant| *tenant == "quiet").unwrap();
    assert!(
        quiet_done <= 8,
        "four quiet requests end among the first nine: {order:?}"
    );
}

#[test]
fn running_streams_do_not_stall_behind_a_long_prompt() {
    let mut serving = Serving::new(ServingOptions::default(), |limits| {
        limits.context_tokens = 2048;
        limits.batch_tokens_max = 512;
    });
    let mut stream = serving.submit(Ask {
        tokens_max: None,
        tokens_min: u32::MAX,
        channel: 5000,
        ..Ask::new(&prompt(1, 20))
    });
    for _ in 0..10 {
        serving.step();
    }
    let _long = serving.submit(Ask::new(&prompt(2, 1500)));
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let begun = serving.clock.now();
        serving.step();
        longest = longest.max(serving.clock.now() - begun);
        let decoding = serving.serving.engine.batches.last().unwrap();
        assert!(
            decoding.iter().any(|entry| entry.sequence == 0),
            "every step feeds the stream"
        );
    }
    // Two milliseconds a token: 75 tokens fill the budget of 150 ms.
    assert!(longest <= Duration::from_millis(160), "{longest:?}");
    stream.read(usize::MAX);
    assert!(stream.failure.is_none());
}

#[test]
fn prompt_log_probabilities_are_those_of_the_model() {
    let mut ask = Ask::new(&prompt(1, 150));
    ask.echo_logprobs = true;
    ask.logprobs = Some(2);
    ask.tokens_max = Some(0);
    let mut serving = Serving::usual();
    let mut warm = serving.submit(Ask::new(&ask.prompt));
    serving.finish(&mut [&mut warm]);
    let mut heard = serving.submit(ask.clone());
    serving.finish(&mut [&mut heard]);
    let accepted = heard.accepted.clone().unwrap();
    assert_eq!(accepted.cached_tokens, 0, "every row is computed");
    assert_eq!(accepted.prompt.len(), 150);
    assert!(accepted.prompt[0].logprob.is_nan());
    for index in 1..150 {
        let row = row_after(&ask.prompt[..index]);
        let expected = log_probabilities(&row, ask.prompt[index], 2);
        let told = &accepted.prompt[index];
        assert_eq!(
            (told.token, told.logprob),
            (ask.prompt[index], expected.logprob)
        );
        assert_eq!(told.top.len(), 2);
    }
    let finish = heard.choices[&0].finish.clone().unwrap();
    assert_eq!(
        (finish.reason, finish.output_tokens),
        (FinishReason::Length, 0)
    );
    assert_eq!(heard.text(), "");
    serving.assert_nothing_leaked();
}

#[test]
fn stop_strings_end_the_text_before_them() {
    let ask = Ask {
        tokens_max: Some(60),
        ..Ask::new(&prompt(2, 30))
    };
    let whole = ask.alone().text().to_owned();
    let stop: String = whole.chars().skip(5).take(3).collect();
    let heard = Ask {
        stop: vec!["never said".to_owned(), stop.clone()],
        logprobs: Some(0),
        ..ask
    }
    .alone();
    assert_eq!(heard.text(), whole.split(&stop).next().unwrap());
    let choice = &heard.choices[&0];
    assert_eq!(
        choice.finish.as_ref().unwrap().stop_sequence.as_deref(),
        Some(stop.as_str())
    );
    let bytes: usize = choice.logprobs.iter().map(|entry| entry.bytes.len()).sum();
    assert!(
        bytes <= heard.text().len(),
        "no log-probability of withheld text"
    );
}

#[test]
fn the_end_token_has_a_log_probability_though_it_has_no_text() {
    let ask = Ask {
        tokens_max: Some(10),
        logprobs: Some(0),
        ..Ask::new(&prompt(2, 30))
    };
    let whole = ask.alone();
    let third = whole.choices[&0].logprobs[2].token;
    let heard = Ask {
        stop_tokens: vec![third],
        ..ask
    }
    .alone();
    let choice = &heard.choices[&0];
    let tokens: Vec<_> = choice.logprobs.iter().map(|entry| entry.token).collect();
    assert_eq!(tokens.last(), Some(&third));
    let finish = choice.finish.as_ref().unwrap();
    assert_eq!(tokens.len(), finish.output_tokens as usize);
}

#[test]
fn a_cache_smaller_than_it_says_ends_one_request_and_not_the_loop() {
    let mut serving = Serving::usual();
    serving.serving.engine.cells_max = 60;
    let mut large = serving.submit(Ask::new(&prompt(1, 100)));
    let mut small = serving.submit(Ask::new(&prompt(2, 20)));
    serving.finish(&mut [&mut large, &mut small]);
    assert_eq!(large.failure.unwrap().kind, FailureKind::CacheFull);
    small.assert_same_answer(&Ask::new(&prompt(2, 20)).alone());
    serving.assert_nothing_leaked();
}

#[test]
fn a_poisoned_engine_ends_the_loop() {
    let mut serving = Serving::usual();
    let _heard = serving.submit(Ask::new(&prompt(1, 20)));
    serving.serving.engine.poisoned = true;
    assert!(matches!(
        serving.serving.step(),
        Err(EngineError::Poisoned { .. })
    ));
}

#[test]
fn a_drain_ends_what_runs_and_refuses_what_comes() {
    let mut serving = Serving::usual();
    let mut runs = serving.submit(Ask::new(&prompt(1, 20)));
    serving.step();
    let (reply, mut drained) = oneshot::channel();
    let within = Duration::from_secs(5);
    serving
        .handle
        .send(Command::Drain { within, reply })
        .unwrap();
    let mut late = serving.submit(Ask::new(&prompt(2, 20)));
    serving.finish(&mut [&mut runs, &mut late]);
    runs.assert_same_answer(&Ask::new(&prompt(1, 20)).alone());
    assert_eq!(late.failure.unwrap().kind, FailureKind::Overloaded);
    drained.try_recv().unwrap();
    assert_eq!(serving.step(), Progress::Stopped);

    // A drain without time ends everything at once, and says so.
    let mut serving = Serving::usual();
    let mut cut = serving.submit(Ask::new(&prompt(1, 20)));
    serving.step();
    let (reply, _drained) = oneshot::channel();
    let within = Duration::ZERO;
    serving
        .handle
        .send(Command::Drain { within, reply })
        .unwrap();
    serving.finish(&mut [&mut cut]);
    assert_eq!(cut.failure.unwrap().kind, FailureKind::Cancelled);
    serving.assert_nothing_leaked();
}

#[test]
fn whole_sequences_serve_models_that_cannot_be_cut() {
    let mut serving = Serving::new(ServingOptions::default(), |limits| {
        limits.partial_removal = false
    });
    let mut ask = Ask::new(&prompt(1, 50));
    ask.tokens_min = 5;
    ask.tokens_max = Some(5);
    let mut first = serving.submit(ask.clone());
    serving.finish(&mut [&mut first]);
    let mut content = ask.prompt.clone();
    content.extend(greedy_without_end(&ask.prompt, 4));
    // The same prompt is the beginning of what is cached, not the whole: nothing can be taken.
    let mut again = serving.submit(ask.clone());
    serving.finish(&mut [&mut again]);
    assert_eq!(again.cached(), 0);
    // The conversation continued takes all of it.
    content.extend(prompt(3, 10));
    let mut next = serving.submit(Ask::new(&content));
    serving.finish(&mut [&mut next]);
    assert_eq!(next.cached(), 54);
    next.assert_same_answer(&Ask::new(&content).alone());
    serving.assert_nothing_leaked();
}

fn greedy_without_end(prompt: &[Token], most: usize) -> Vec<Token> {
    let mut content = prompt.to_vec();
    for _ in 0..most {
        let row = row_after(&content);
        let best = (0..VOCABULARY)
            .rev()
            .filter(|token| *token != END)
            .max_by(|left, right| row[*left as usize].total_cmp(&row[*right as usize]))
            .unwrap();
        content.push(best);
    }
    content.split_off(prompt.len())
}

fn embed(
    serving: &Serving,
    inputs: Vec<Input>,
    truncate: bool,
) -> oneshot::Receiver<Result<super::super::request::Embedded, Failure>> {
    let (reply, answer) = oneshot::channel();
    let job = EmbedJob {
        inputs,
        normalize: true,
        truncate,
        reply,
    };
    serving.handle.send(Command::Embed(job)).unwrap();
    answer
}

#[test]
fn embeddings_are_batched_over_requests_and_cut_only_when_asked() {
    let mut serving = Serving::usual();
    let inputs = |seed, count: u32| -> Vec<Input> {
        (0..count)
            .map(|index| Input::Tokens(prompt(seed + index, 10)))
            .collect()
    };
    let mut many = embed(&serving, inputs(0, 20), false);
    let mut one = embed(&serving, inputs(50, 1), false);
    let mut long = embed(&serving, vec![Input::Tokens(prompt(1, 65))], false);
    let mut cut = embed(&serving, vec![Input::Tokens(prompt(1, 65))], true);
    let mut empty = embed(&serving, vec![Input::Tokens(vec![])], false);
    serving.step();
    let single = one
        .try_recv()
        .expect("a small request does not wait for a large one")
        .unwrap();
    let row = &row_after(&prompt(50, 10))[..3];
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    for (told, raw) in single.vectors[0].iter().zip(row) {
        assert!((told - raw / length).abs() < 1e-6);
    }
    serving.finish(&mut []);
    let answer = many.try_recv().unwrap().unwrap();
    assert_eq!((answer.vectors.len(), answer.tokens), (20, vec![10; 20]));
    assert_eq!(
        serving
            .serving
            .engine
            .embedded_batches
            .iter()
            .sum::<usize>(),
        22
    );
    assert!(serving.serving.engine.embedded_batches.len() <= 6);
    let failure = long.try_recv().unwrap().unwrap_err();
    assert_eq!(
        (failure.kind, failure.field.as_str()),
        (FailureKind::ContextExceeded, "input[0]")
    );
    assert_eq!((failure.actual, failure.limit), (65, 64));
    assert_eq!(cut.try_recv().unwrap().unwrap().tokens, [64]);
    assert_eq!(
        empty.try_recv().unwrap().unwrap_err().kind,
        FailureKind::Invalid
    );
}

#[test]
fn documents_are_ranked_by_pairs() {
    let mut serving = Serving::usual();
    let (reply, mut answer) = oneshot::channel();
    let job = RerankJob {
        query: "ab".to_owned(),
        documents: vec!["c".to_owned(), "de".to_owned()],
        reply,
    };
    serving.handle.send(Command::Rerank(job)).unwrap();
    serving.finish(&mut []);
    let ranked = answer.try_recv().unwrap().unwrap();
    let expected = [
        row_after(&[BEGIN, 2, 3, END, 4, END])[0],
        row_after(&[BEGIN, 2, 3, END, 5, 6, END])[0],
    ];
    assert_eq!(
        (ranked.scores.as_slice(), ranked.tokens),
        (&expected[..], 13)
    );
}

#[test]
fn what_a_model_cannot_do_is_said_plainly() {
    let mut serving = Serving::new(ServingOptions::default(), |limits| {
        limits.generates = false;
        limits.embeds = false;
        limits.ranks = false;
    });
    let mut text = serving.submit(Ask::new(&prompt(1, 5)));
    let mut vectors = embed(&serving, vec![Input::Tokens(vec![3])], false);
    serving.finish(&mut [&mut text]);
    assert_eq!(text.failure.unwrap().kind, FailureKind::Unsupported);
    assert_eq!(
        vectors.try_recv().unwrap().unwrap_err().kind,
        FailureKind::Unsupported
    );
}

#[test]
fn a_cache_too_small_for_all_takes_turns_and_stays_exact() {
    let mut serving = Serving::new(ServingOptions::default(), |limits| {
        limits.cache_tokens = 300
    });
    let ask = |seed| Ask {
        tokens_max: Some(80),
        tokens_min: 80,
        temperature: 1.0,
        channel: 100,
        ..Ask::new(&prompt(seed, 60))
    };
    let mut heard: Vec<Heard> = (0..8).map(|seed| serving.submit(ask(seed))).collect();
    serving.finish(&mut heard.iter_mut().collect::<Vec<_>>());
    let stats = serving.serving.stats();
    assert!(stats.preemptions > 0 && stats.evictions > 0, "{stats:?}");
    for (seed, one) in (0..).zip(&heard) {
        one.assert_same_answer(&ask(seed).alone());
    }
    // Taking turns costs computing some prompts again, not most of the time.
    let computed = serving.serving.engine.computed_tokens();
    assert!(computed < 2 * 8 * 140, "{computed} tokens for 1120");
    serving.assert_nothing_leaked();
}
