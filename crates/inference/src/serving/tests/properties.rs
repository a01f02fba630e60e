//! Many random requests at once, over caches of every size: each must get the answer that it gets alone.

use proptest::prelude::*;
use scheduling::Class;

use super::engine::VOCABULARY;
use super::*;

#[derive(Debug, Clone)]
struct Client {
    ask: Ask,
    arrives: usize,
    /// Steps between two reads, and events per read.
    reads_every: usize,
    reads: usize,
    leaves: Option<usize>,
}

fn ask() -> impl Strategy<Value = Ask> {
    let prompt =
        (0u32..3, 0usize..90, 0u32..50, 1usize..40).prop_map(|(base, shared, seed, own)| {
            // Three long common texts, cut anywhere, with an ending of its own.
            let common =
                (0..shared).map(|index| 2 + (base * 11 + index as u32 * 3) % (VOCABULARY - 2));
            let own = (0..own)
                .map(|index| 2 + (seed * 5 + index as u32 * index as u32) % (VOCABULARY - 2));
            common.chain(own).collect::<Vec<Token>>()
        });
    let wishes = (
        proptest::option::of(0u32..30),
        prop_oneof![Just(0.0f32), Just(1.0)],
        0u64..4,
        proptest::collection::vec("[ab .]{1,3}", 0..2),
        proptest::option::of(0u32..3),
        1u32..4,
    );
    let owner = (
        prop_oneof![Just("acme"), Just("other")],
        prop_oneof![3 => Just(Class::Interactive), 1 => Just(Class::Batch)],
        1usize..8,
        prop::bool::weighted(0.1),
    );
    (prompt, wishes, owner).prop_map(|(prompt, wishes, owner)| {
        let (tokens_max, temperature, seed, stop, logprobs, choices) = wishes;
        let (tenant, class, channel, echo_logprobs) = owner;
        Ask {
            tenant,
            class,
            channel,
            tokens_max,
            temperature,
            seed,
            stop,
            logprobs,
            choices,
            echo_logprobs,
            ..Ask::new(&prompt)
        }
    })
}

fn client() -> impl Strategy<Value = Client> {
    let leaves = prop_oneof![5 => Just(None), 1 => (0usize..60).prop_map(Some)];
    (ask(), 0usize..40, 1usize..6, 1usize..5, leaves).prop_map(
        |(ask, arrives, reads_every, reads, leaves)| Client {
            ask,
            arrives,
            reads_every,
            reads,
            leaves: leaves.map(|after| arrives + after),
        },
    )
}

#[derive(Debug, Clone)]
struct Machine {
    cache_tokens: u32,
    batch_tokens_max: u32,
    sequences_max: u32,
    running_max: u32,
    cuts: bool,
    step_ms: u64,
    retained_cells_max: u32,
    shelf_bytes_max: u64,
    block_tokens: u32,
    mixes: bool,
}

fn machine() -> impl Strategy<Value = Machine> {
    (
        140u32..600,
        4u32..64,
        3u32..20,
        1u32..8,
        prop::bool::weighted(0.8),
        1u64..200,
        (
            prop_oneof![Just(u32::MAX), Just(0), Just(60)],
            prop_oneof![Just(0u64), Just(600), Just(1 << 20)],
            prop_oneof![Just(1u32), Just(4), Just(16)],
            any::<bool>(),
        ),
    )
        .prop_map(
            |(cache_tokens, batch_tokens_max, sequences_max, running_max, cuts, step_ms, kept)| {
                Machine {
                    retained_cells_max: kept.0,
                    shelf_bytes_max: kept.1,
                    block_tokens: kept.2,
                    mixes: kept.3,
                    cache_tokens,
                    batch_tokens_max,
                    sequences_max,
                    running_max,
                    cuts,
                    step_ms,
                }
            },
        )
}

fn run(machine: &Machine, clients: &[Client]) {
    let options = ServingOptions {
        running_max: machine.running_max,
        queue_max: 1000,
        retained_cells_max: machine.retained_cells_max,
        shelf_bytes_max: machine.shelf_bytes_max,
        step_budget: Duration::from_millis(machine.step_ms),
    };
    let mut serving = Serving::new(options, |limits| {
        limits.cache_tokens = machine.cache_tokens;
        limits.batch_tokens_max = machine.batch_tokens_max;
        limits.sequences_max = machine.sequences_max;
        limits.partial_removal = machine.cuts;
        limits.block_tokens = machine.block_tokens;
        limits.mixes = machine.mixes;
    });
    let mut heard: Vec<Option<Heard>> = clients.iter().map(|_| None).collect();
    let context = machine.cache_tokens.min(256);
    let last = clients
        .iter()
        .map(|client| client.arrives)
        .max()
        .unwrap_or(0);
    let mut step = 0;
    loop {
        for (client, heard) in clients.iter().zip(&mut heard) {
            if client.arrives == step {
                *heard = Some(serving.submit(client.ask.clone()));
            }
            let Some(heard) = heard else { continue };
            if step % client.reads_every == 0 {
                heard.read(client.reads);
            }
            if client.leaves == Some(step) {
                heard.disconnect();
            }
        }
        let progress = serving.step();
        if let Progress::Idle(Some(until)) = progress {
            let time = until.saturating_duration_since(serving.clock.now());
            serving.clock.advance(time);
        }
        if step > last && progress == Progress::Idle(None) {
            break;
        }
        step += 1;
        assert!(step < 200_000, "no progress");
    }
    for (client, heard) in clients.iter().zip(heard) {
        let mut heard = heard.expect("submitted");
        heard.read(usize::MAX);
        if client.leaves.is_some() && heard.receiver.is_none() {
            continue;
        }
        let mut ask = client.ask.clone();
        // The context of a small cache is smaller, and ends the text sooner.
        let room = context - ask.prompt.len() as u32;
        ask.tokens_max = Some(ask.tokens_max.unwrap_or(u32::MAX).min(room));
        ask.channel = 1000;
        let alone = ask.alone();
        heard.assert_same_answer(&alone);
        let echoed = |heard: &Heard| -> Vec<(Token, u32)> {
            let prompt = &heard.accepted.as_ref().expect("accepted").prompt;
            prompt
                .iter()
                .map(|entry| (entry.token, entry.logprob.to_bits()))
                .collect()
        };
        assert_eq!(echoed(&heard), echoed(&alone));
    }
    serving.assert_nothing_leaked();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn each_answer_is_the_answer_it_gets_alone(
        machine in machine(),
        clients in proptest::collection::vec(client(), 1..14),
    ) {
        run(&machine, &clients);
    }
}
