//! Times top-10 queries of our text index and of tantivy's over the same passages and the same terms, and checks that
//! both rank alike.
//!
//!     cargo run --release -- [--json] passages.txt [more.txt ...]
//!
//! With `--json` the results are printed as one JSON object instead.
//!
//! Each line of the files with at least two terms is a passage. Queries are taken from the passages: one rare word, two,
//! four and eight words as they stand, and the two most frequent words. Order of the engines alternates; the figure is the best
//! of the rounds. Both indexes are one segment in memory; tantivy's lengths are rounded to one byte above 40 terms, so ranks are
//! expected to be equal only below.

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{Index, Searcher, TantivyDocument, Term};
use vectors::Allowed;
use vectors::storage::Bytes;
use vectors::text::{AnalyzerOptions, Language, Purpose, TextIndex, TextIndexSearch, TextQuery};

const ROUNDS: usize = 7;
const QUERIES: usize = 300;
const K: usize = 10;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let options = AnalyzerOptions::for_language(Language::English);
    let growing = TextIndex::new(&options)?;
    let mut passages = Vec::new();
    let (flags, paths): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument == "--json");
    let as_json = !flags.is_empty();
    for path in paths {
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        for line in text.lines() {
            let terms = growing.analyzer().terms(line, Purpose::Document);
            if terms.len() >= 2 {
                passages.push((line.to_owned(), terms));
            }
        }
    }
    let longest = passages
        .iter()
        .map(|(_, terms)| terms.len())
        .max()
        .unwrap_or(0);
    if passages.is_empty() {
        return Err("no passages: name files with one passage on each line".into());
    }
    let (ours, our_seconds, bytes) = build_ours(&passages, &options)?;
    let started = Instant::now();
    let theirs = build_tantivy(&passages)?;
    let their_seconds = started.elapsed().as_secs_f64();
    let mut results = Vec::new();
    let mut frequencies: HashMap<&str, u32> = HashMap::new();
    for (term, _) in passages.iter().flat_map(|(_, terms)| terms) {
        *frequencies.entry(term.as_str()).or_default() += 1;
    }
    let mut by_frequency: Vec<(&str, u32)> = frequencies
        .iter()
        .map(|(term, count)| (*term, *count))
        .collect();
    by_frequency.sort_by_key(|(term, count)| (std::cmp::Reverse(*count), *term));
    for (name, words) in [
        ("1 word", 1),
        ("2 words", 2),
        ("4 words", 4),
        ("8 words", 8),
    ] {
        let step = (passages.len() / QUERIES).max(1);
        let queries: Vec<Vec<&str>> = passages
            .iter()
            .step_by(step)
            .filter(|(_, terms)| terms.len() >= words)
            .map(|(_, terms)| {
                terms[..words]
                    .iter()
                    .map(|(term, _)| term.as_str())
                    .collect()
            })
            .collect();
        results.push(compare(name, &queries, &ours, &theirs)?);
    }
    let frequent: Vec<Vec<&str>> = (0..10)
        .flat_map(|one| (0..one).map(move |two| (one, two)))
        .filter_map(|(one, two)| Some(vec![by_frequency.get(one)?.0, by_frequency.get(two)?.0]))
        .collect();
    results.push(compare("2 most frequent words", &frequent, &ours, &theirs)?);
    let head = Head {
        passages: passages.len(),
        longest,
        our_seconds,
        their_seconds,
        bytes,
    };
    match as_json {
        true => print_json(&head, &results),
        false => print_text(&head, &results),
    }
    Ok(())
}

/// What was indexed and how long that took.
struct Head {
    passages: usize,
    longest: usize,
    our_seconds: f64,
    their_seconds: f64,
    bytes: usize,
}

/// Times of one set of queries.
struct Comparison {
    name: String,
    queries: usize,
    our_micros: f64,
    their_micros: f64,
    equal: usize,
}

fn print_text(head: &Head, results: &[Comparison]) {
    println!("{} passages, at most {} terms", head.passages, head.longest);
    println!(
        "build, ours: {:.2} s, {} bytes, positions included",
        head.our_seconds, head.bytes
    );
    println!("build, tantivy (one thread): {:.2} s", head.their_seconds);
    for one in results {
        println!(
            "{}: ours {:.1} us, tantivy {:.1} us a query; same scores in {} of {}",
            one.name, one.our_micros, one.their_micros, one.equal, one.queries
        );
    }
}

fn print_json(head: &Head, results: &[Comparison]) {
    let queries: Vec<String> = results
        .iter()
        .map(|one| {
            format!(
                r#"{{"name":"{}","queries":{},"ours_us":{:.2},"tantivy_us":{:.2},"same_scores":{}}}"#,
                one.name, one.queries, one.our_micros, one.their_micros, one.equal
            )
        })
        .collect();
    println!(
        r#"{{"benchmark":"text","passages":{},"terms_max":{},"build_seconds":{{"ours":{:.3},"tantivy":{:.3}}},"ours_bytes":{},"k":{K},"queries":[{}]}}"#,
        head.passages,
        head.longest,
        head.our_seconds,
        head.their_seconds,
        head.bytes,
        queries.join(",")
    );
}

type Passage = (String, Vec<(String, u32)>);

fn build_ours(
    passages: &[Passage],
    options: &AnalyzerOptions,
) -> Result<(TextIndex, f64, usize), Failure> {
    let started = Instant::now();
    let mut index = TextIndex::new(options)?;
    for (row, (line, _)) in (0..).zip(passages) {
        index.insert(row, [line.as_str()])?;
    }
    let sections: Vec<_> = index
        .sections()?
        .into_iter()
        .map(|(id, bytes)| (id, Bytes::from_vec(bytes.into_owned())))
        .collect();
    let bytes = sections.iter().map(|(_, bytes)| bytes.len()).sum();
    let index = TextIndex::open(&|wanted| {
        let (_, bytes) = sections.iter().find(|(id, _)| *id == wanted)?;
        Some(bytes.clone())
    })?;
    Ok((index, started.elapsed().as_secs_f64(), bytes))
}

struct Tantivy {
    searcher: Searcher,
    field: tantivy::schema::Field,
}

fn build_tantivy(passages: &[Passage]) -> Result<Tantivy, Failure> {
    let mut schema = Schema::builder();
    let indexing =
        TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let field = schema.add_text_field(
        "text",
        TextOptions::default().set_indexing_options(indexing),
    );
    let index = Index::create_in_ram(schema.build());
    let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, 500_000_000)?;
    for (line, terms) in passages {
        let tokens = terms
            .iter()
            .map(|(term, position)| Token {
                position: *position as usize,
                text: term.clone(),
                ..Token::default()
            })
            .collect();
        let mut document = TantivyDocument::default();
        document.add_pre_tokenized_text(
            field,
            PreTokenizedString {
                text: line.clone(),
                tokens,
            },
        );
        writer.add_document(document)?;
    }
    writer.commit()?;
    let segments = index.searchable_segment_ids()?;
    if segments.len() > 1 {
        writer.merge(&segments).wait()?;
    }
    writer.wait_merging_threads()?;
    Ok(Tantivy {
        searcher: index.reader()?.searcher(),
        field,
    })
}

fn search_ours(index: &TextIndex, query: &TextQuery) -> Result<Vec<(u32, f32)>, Failure> {
    let statistics = index.statistics(query, None)?;
    let found = index.search(&TextIndexSearch {
        query,
        statistics: &statistics,
        k1: 1.2,
        b: 0.75,
        k: K,
        allowed: Allowed::default(),
    })?;
    Ok(found
        .iter()
        .map(|scored| (scored.row, scored.rank))
        .collect())
}

fn search_tantivy(index: &Tantivy, terms: &[&str]) -> Result<Vec<(u32, f32)>, Failure> {
    let clauses = terms
        .iter()
        .map(|term| {
            let term = Term::from_field_text(index.field, term);
            let query: Box<dyn Query> =
                Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
            (Occur::Should, query)
        })
        .collect();
    let found = index.searcher.search(
        &BooleanQuery::new(clauses),
        &TopDocs::with_limit(K).order_by_score(),
    )?;
    Ok(found
        .into_iter()
        .map(|(score, address)| (address.doc_id, score))
        .collect())
}

fn compare(
    name: &str,
    queries: &[Vec<&str>],
    ours: &TextIndex,
    theirs: &Tantivy,
) -> Result<Comparison, Failure> {
    let mut distinct: Vec<Vec<&str>> = queries.to_vec();
    for terms in &mut distinct {
        terms.sort_unstable();
        terms.dedup();
    }
    // Terms are stems already: what they become once more has to be asked for as it is.
    let plain = vectors::text::Analyzer::new(&AnalyzerOptions {
        tokenizer: vectors::text::Tokenizer::Whitespace,
        ..AnalyzerOptions::default()
    })?;
    let parsed: Vec<TextQuery> = distinct
        .iter()
        .map(|terms| TextQuery::words(&plain, &terms.join(" "), false))
        .collect();
    let mut equal = 0;
    for (terms, query) in distinct.iter().zip(&parsed) {
        let (one, two) = (search_ours(ours, query)?, search_tantivy(theirs, terms)?);
        let alike = one.len() == two.len()
            && one
                .iter()
                .zip(&two)
                .all(|(one, two)| (one.1 - two.1).abs() <= 1e-4 * one.1.max(1.0));
        equal += usize::from(alike);
    }
    let (mut best_ours, mut best_theirs) = (Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let started = Instant::now();
            if (round + turn) % 2 == 0 {
                for query in &parsed {
                    std::hint::black_box(search_ours(ours, query)?);
                }
                best_ours = best_ours.min(started.elapsed());
            } else {
                for terms in &distinct {
                    std::hint::black_box(search_tantivy(theirs, terms)?);
                }
                best_theirs = best_theirs.min(started.elapsed());
            }
        }
    }
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6 / parsed.len() as f64;
    Ok(Comparison {
        name: name.to_owned(),
        queries: parsed.len(),
        our_micros: micros(best_ours),
        their_micros: micros(best_theirs),
        equal,
    })
}
