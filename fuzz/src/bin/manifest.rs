//! Coverage-guided fuzzing of manifests and facts of snapshots; without a fuzzing build it only says what to run.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::vectors_files::manifest(bytes));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("this target needs cargo-fuzz; on stable use: mutate manifest 60");
}
