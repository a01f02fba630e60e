//! Coverage-guided fuzzing of containers and the indexes in them; without a fuzzing build it only says what to run.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::vectors_files::container(bytes));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("this target needs cargo-fuzz; on stable use: mutate container 60");
}
