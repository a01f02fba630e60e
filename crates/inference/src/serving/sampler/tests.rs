use proptest::prelude::*;

use super::select::{self, Candidate};
use super::*;
use crate::serving::grammar::{Constraint, GrammarCompiler, Vocabulary};

/// A row whose logits differ as a model's do: a few high ones, a long tail. Seeded.
fn row(seed: u64, length: usize) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..length)
        .map(|_| {
            let unit = random.unit() as f32;
            30.0 * unit.powi(6) - 10.0
        })
        .collect()
}

/// The pipeline by its definition, on sorted lists and in `f64`: the surviving tokens with their probabilities.
/// `None` when a cut falls so close to a border that rounding may decide it.
fn naive(row: &[f32], options: &SamplerOptions) -> Option<Vec<(Token, f64)>> {
    let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = f64::from(1.0 / options.temperature);
    let mut list: Vec<(Token, f64)> = (0..)
        .zip(row)
        .filter(|(_, logit)| **logit > f32::NEG_INFINITY)
        .map(|(token, &logit)| (token, (f64::from(logit - best) * scale).exp()))
        .collect();
    list.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    if options.top_k > 0 {
        list.truncate(options.top_k as usize);
    }
    let cut = |list: &mut Vec<(Token, f64)>, share: f32| {
        let mass = f64::from(share) * list.iter().map(|entry| entry.1).sum::<f64>();
        let mut sum = 0.0;
        for index in 0..list.len() {
            sum += list[index].1;
            if (sum - mass).abs() < 1e-4 * mass {
                return false;
            }
            if sum >= mass {
                list.truncate(index + 1);
                break;
            }
        }
        true
    };
    if options.typical_p < 1.0 {
        let sum: f64 = list.iter().map(|entry| entry.1).sum();
        let entropy: f64 = list
            .iter()
            .map(|entry| entry.1 / sum)
            .filter(|share| *share > 0.0)
            .map(|share| -share * share.ln())
            .sum();
        let distance = |weight: f64| ((-(weight / sum).ln()) - entropy).abs();
        list.sort_by(|left, right| {
            distance(left.1)
                .total_cmp(&distance(right.1))
                .then(left.0.cmp(&right.0))
        });
        let order = list.clone();
        if !cut(&mut list, options.typical_p) {
            return None;
        }
        // Two weights on both sides of the entropy may change places by rounding; that matters at the border.
        if let Some(&(_, dropped)) = order.get(list.len()) {
            let kept = order[list.len() - 1].1;
            if kept != dropped && distance(dropped) - distance(kept) < 1e-4 {
                return None;
            }
        }
        list.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    }
    if options.top_p < 1.0 && !cut(&mut list, options.top_p) {
        return None;
    }
    if options.min_p > 0.0 {
        let border = f64::from(options.min_p) * list.first()?.1;
        if list
            .iter()
            .any(|entry| (entry.1 - border).abs() < 1e-4 * border)
        {
            return None;
        }
        list.retain(|entry| entry.1 >= border);
    }
    let sum: f64 = list.iter().map(|entry| entry.1).sum();
    list.sort_by_key(|entry| entry.0);
    Some(
        list.into_iter()
            .map(|(token, weight)| (token, weight / sum))
            .collect(),
    )
}

fn survivors(row: &[f32], options: &SamplerOptions) -> Vec<(Token, f64)> {
    let (_, best) = select::best(row).unwrap();
    let mut out = Vec::new();
    select::survivors(row, best, 1.0 / options.temperature, options, &mut out);
    let sum: f64 = out
        .iter()
        .map(|candidate| f64::from(candidate.weight))
        .sum();
    out.iter()
        .map(|candidate| (candidate.token, f64::from(candidate.weight) / sum))
        .collect()
}

fn options() -> impl Strategy<Value = SamplerOptions> {
    let share = || prop_oneof![2 => Just(1.0f32), 3 => 0.01f32..1.0];
    (
        0.2f32..3.0,
        share(),
        prop_oneof![2 => Just(0u32), 3 => 1u32..60],
        prop_oneof![2 => Just(0.0f32), 1 => 0.001f32..0.9],
        share(),
    )
        .prop_map(
            |(temperature, top_p, top_k, min_p, typical_p)| SamplerOptions {
                temperature,
                top_p,
                top_k,
                min_p,
                typical_p,
                ..SamplerOptions::default()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cuts_keep_what_their_definitions_keep(
        options in options(),
        seed in any::<u64>(),
        length in 1usize..3000,
        grid in any::<bool>(),
    ) {
        let mut row = row(seed, length);
        if grid {
            // Many equal logits: every border is a tie.
            row.iter_mut().for_each(|logit| *logit = logit.round());
        }
        let Some(expected) = naive(&row, &options) else { return Ok(()) };
        let found = survivors(&row, &options);
        let tokens = |list: &[(Token, f64)]| list.iter().map(|entry| entry.0).collect::<Vec<_>>();
        prop_assert_eq!(tokens(&found), tokens(&expected));
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!((found.1 - expected.1).abs() <= 1e-5 * expected.1 + 1e-12);
        }
    }

    #[test]
    fn the_best_are_found_as_a_sort_finds_them(
        seed in any::<u64>(),
        length in 1usize..5000,
        count in 1usize..200,
        grid in any::<bool>(),
    ) {
        let mut row = row(seed, length);
        if grid {
            row.iter_mut().for_each(|logit| *logit = logit.round());
        }
        let mut sorted: Vec<(Token, f32)> = (0..).zip(row.iter().copied()).collect();
        sorted.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
        sorted.truncate(count);
        let mut found = Vec::new();
        select::top(&row, count, f32::NEG_INFINITY, &mut found);
        found.sort_by(select::heavier_first);
        let found: Vec<(Token, f32)> = found.iter().map(|found| (found.token, found.weight)).collect();
        prop_assert_eq!(&found, &sorted);
        prop_assert_eq!(select::best(&row), Some(sorted[0]));
    }

    #[test]
    fn log_probabilities_are_those_of_the_whole_row(
        seed in any::<u64>(),
        length in 1usize..3000,
        top in 0usize..21,
    ) {
        let row = row(seed, length);
        let sum: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        let token = (seed % length as u64) as Token;
        let found = log_probabilities(&row, token, top);
        let expected = |token: Token| f64::from(row[token as usize]) - sum.ln();
        prop_assert!((f64::from(found.logprob) - expected(token)).abs() < 1e-4);
        prop_assert_eq!(found.top.len(), top.min(length));
        prop_assert!(found.top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        for (token, logprob) in found.top {
            prop_assert!((f64::from(logprob) - expected(token)).abs() < 1e-4);
        }
    }
}

#[test]
fn the_exponential_is_exact_to_single_precision() {
    let mut worst = 0.0f64;
    for step in 0..=174_000 {
        let x = -(step as f32) * 5e-4;
        let exact = f64::from(x).exp();
        if x > -87.0 {
            worst = worst.max((f64::from(select::exponential(x)) - exact).abs() / exact);
        }
    }
    assert!(worst < 3e-7, "{worst:e}");
    assert_eq!(select::exponential(0.0), 1.0);
    for x in [-88.0, f32::NEG_INFINITY, f32::NAN] {
        assert_eq!(select::exponential(x), 0.0, "{x}");
    }
}

/// Pearson's statistic of `draws` against probabilities, for tokens that are expected at least five times.
fn assert_distribution(draws: &[Token], expected: &[(Token, f64)]) {
    let total = draws.len() as f64;
    let mut statistic = 0.0;
    let mut cells = 0.0;
    for &(token, probability) in expected {
        if probability * total < 5.0 {
            continue;
        }
        let count = draws.iter().filter(|&&drawn| drawn == token).count() as f64;
        statistic += (count - probability * total).powi(2) / (probability * total);
        cells += 1.0;
    }
    assert!(cells > 2.0);
    // Five standard deviations above the mean of the chi-squared distribution.
    let bound = cells + 5.0 * (2.0f64 * cells).sqrt();
    assert!(statistic < bound, "{statistic} for {cells} cells");
    let possible = |token: &Token| expected.iter().any(|entry| entry.0 == *token);
    assert!(
        draws.iter().all(possible),
        "a token was drawn that is cut away"
    );
}

fn draws(options: &SamplerOptions, row: &[f32], count: usize) -> Vec<Token> {
    let mut sampler = Sampler::new(options.clone(), &[]);
    (0..count)
        .map(|_| sampler.sample(row, None).unwrap())
        .collect()
}

#[test]
fn draws_follow_the_distribution() {
    let cases = [
        SamplerOptions::default(),
        SamplerOptions {
            temperature: 0.5,
            ..SamplerOptions::default()
        },
        SamplerOptions {
            temperature: 2.0,
            top_k: 12,
            ..SamplerOptions::default()
        },
        SamplerOptions {
            top_p: 0.8,
            ..SamplerOptions::default()
        },
        SamplerOptions {
            temperature: 1.5,
            min_p: 0.1,
            ..SamplerOptions::default()
        },
        SamplerOptions {
            typical_p: 0.9,
            top_p: 0.95,
            ..SamplerOptions::default()
        },
    ];
    for (seed, mut options) in (1u64..).zip(cases) {
        options.seed = seed;
        let row: Vec<f32> = row(9, 400).iter().map(|logit| logit * 0.4).collect();
        let expected = naive(&row, &options).expect("no cut lies on a border here");
        assert_distribution(&draws(&options, &row, 10_000), &expected);
    }
}

#[test]
fn one_seed_gives_one_text_and_another_seed_another() {
    let row = row(3, 2000);
    let with = |seed| {
        let options = SamplerOptions {
            seed,
            temperature: 2.0,
            ..SamplerOptions::default()
        };
        draws(&options, &row, 50)
    };
    assert_eq!(with(7), with(7));
    assert_ne!(with(7), with(8));
}

#[test]
fn greedy_takes_the_first_of_the_best() {
    let greedy = SamplerOptions {
        temperature: 0.0,
        ..SamplerOptions::default()
    };
    assert_eq!(draws(&greedy, &[0.0, 3.0, -1.0, 3.0], 2), [1, 1]);
    assert_eq!(draws(&greedy, &[f32::NAN, -5.0, f32::NEG_INFINITY], 1), [1]);
    let no_number = [f32::NAN, f32::NEG_INFINITY];
    let refused = Sampler::new(greedy, &[]).sample(&no_number, None);
    assert!(matches!(refused, Err(EngineError::Poisoned { .. })));
}

#[test]
fn bias_bans_and_forces() {
    let row = [1.0, 2.0, 3.0];
    let with = |bias: Vec<(Token, f32)>| {
        let options = SamplerOptions {
            logit_bias: bias,
            ..SamplerOptions::default()
        };
        options.validate(3).unwrap();
        draws(&options, &row, 50)
    };
    assert!(!with(vec![(2, -100.0)]).contains(&2));
    assert!(with(vec![(0, 100.0)]).iter().all(|&token| token == 0));
    assert!(
        with(vec![(0, f32::INFINITY)])
            .iter()
            .all(|&token| token == 0)
    );
    let outside = SamplerOptions {
        logit_bias: vec![(3, 1.0)],
        ..SamplerOptions::default()
    };
    assert!(
        outside
            .validate(3)
            .unwrap_err()
            .to_string()
            .contains("logit_bias")
    );
}

#[test]
fn penalties_change_exactly_what_they_name() {
    let options = SamplerOptions {
        presence_penalty: 0.5,
        frequency_penalty: 0.25,
        repeat_penalty: 2.0,
        repeat_last_tokens: 3,
        ..SamplerOptions::default()
    };
    let mut sampler = Sampler::new(options, &[]);
    sampler.prime(&[4, 0, 1]);
    for token in [1, 2] {
        sampler.accept(token);
    }
    // The window holds 1, 1, 2; the output 1, 2; 0 and 4 have left the window and never were output.
    let mut row = [4.0, 4.0, -4.0, 4.0, 4.0];
    sampler.adjust(&mut row, None, true);
    assert_eq!(row, [4.0, 1.25, -8.75, 4.0, 4.0]);
}

#[test]
fn the_end_waits_for_the_least_number_of_tokens() {
    let options = SamplerOptions {
        temperature: 0.0,
        tokens_min: 2,
        ..SamplerOptions::default()
    };
    let mut sampler = Sampler::new(options, &[2]);
    let row = [0.0, 1.0, 9.0];
    for expected in [1, 1, 2] {
        let token = sampler.sample(&row, None).unwrap();
        assert_eq!(token, expected);
        sampler.accept(token);
    }
}

#[test]
fn options_out_of_range_are_named() {
    let check = |options: SamplerOptions, name: &str| {
        let error = options.validate(10).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    };
    let good = SamplerOptions::default;
    assert!(good().validate(10).is_ok());
    check(
        SamplerOptions {
            temperature: -0.1,
            ..good()
        },
        "temperature",
    );
    check(
        SamplerOptions {
            temperature: f32::NAN,
            ..good()
        },
        "temperature",
    );
    check(
        SamplerOptions {
            top_p: 1.1,
            ..good()
        },
        "top_p",
    );
    check(
        SamplerOptions {
            min_p: -1.0,
            ..good()
        },
        "min_p",
    );
    check(
        SamplerOptions {
            repeat_penalty: 0.0,
            ..good()
        },
        "repeat_penalty",
    );
    check(
        SamplerOptions {
            repeat_last_tokens: u32::MAX,
            ..good()
        },
        "repeat_last_n",
    );
}

/// One token per byte, and the end.
fn bytes_vocabulary() -> Vocabulary {
    let mut words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    words.push(b"\xff<end>".to_vec());
    Vocabulary::new(words, vec![256])
}

#[test]
fn a_grammar_leaves_the_distribution_of_the_masked_row() {
    let compiler = GrammarCompiler::new(bytes_vocabulary());
    let constraint = Constraint::Regex("[abcdx]".into());
    let row: Vec<f32> = row(5, 257).iter().map(|logit| logit * 0.2).collect();
    let options = SamplerOptions::default();
    let masked: Vec<f32> = (0..)
        .zip(&row)
        .map(|(token, &logit)| {
            let allowed = b"abcdx".iter().any(|&byte| Token::from(byte) == token);
            if allowed { logit } else { f32::NEG_INFINITY }
        })
        .collect();
    let expected = naive(&masked, &options).unwrap();
    let grammar = compiler.compile(&constraint).unwrap();
    let mut sampler = Sampler::new(options, &[256]);
    let draws: Vec<Token> = (0..5_000)
        .map(|_| sampler.sample(&row, Some(&mut grammar.clone())).unwrap())
        .collect();
    assert_distribution(&draws, &expected);
}

#[test]
fn a_finished_grammar_is_stronger_than_a_least_number_of_tokens() {
    let compiler = GrammarCompiler::new(bytes_vocabulary());
    let mut grammar = compiler.compile(&Constraint::Regex("a".into())).unwrap();
    let options = SamplerOptions {
        tokens_min: 10,
        ..SamplerOptions::default()
    };
    let mut sampler = Sampler::new(options, &[256]);
    let row = vec![0.0; 257];
    let first = sampler.sample(&row, Some(&mut grammar)).unwrap();
    assert_eq!(first, Token::from(b'a'));
    sampler.accept(first);
    grammar.accept(first).unwrap();
    assert_eq!(sampler.sample(&row, Some(&mut grammar)).unwrap(), 256);
}

#[test]
fn candidates_of_no_weight_are_never_drawn() {
    let candidates =
        [(0, 0.0), (1, 1.0), (2, 0.0)].map(|(token, weight)| Candidate { token, weight });
    let mut random = Random::new(1);
    for _ in 0..1000 {
        assert_eq!(select::draw_candidates(&candidates, &mut random), Some(1));
    }
    assert_eq!(select::draw_candidates(&[], &mut random), None);
}
