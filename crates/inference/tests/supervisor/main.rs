//! The supervisor against real processes: crashes, kills, backoff, eviction, drain, and the death of the parent.
//!
//! The program plays three parts, told apart by its first argument: `runner` is a small child that speaks the real protocol
//! and generates deterministically (see `runner.rs`), `parent` is a server that the tests kill, and anything else is the
//! list of tests. No model library is involved, except in the last tests when the feature `llama` is on.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "files of a test need not be durable; the runner's log is its standard error, the tests' figures are printed"
)]

mod cases;
mod harness;
mod runner;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("runner") => runner::main(&arguments[1..]),
        Some("parent") => harness::parent_main(&arguments[1..]),
        _ => {
            let arguments = libtest_mimic::Arguments::from_args();
            let trials = cases::all();
            #[cfg(feature = "llama")]
            let trials = trials
                .into_iter()
                .chain(cases::with_a_real_model())
                .collect();
            libtest_mimic::run(&arguments, trials).exit();
        }
    }
}
