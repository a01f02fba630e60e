#!/usr/bin/env bash
# Fuzzes one parser for a bounded time. With a nightly toolchain and cargo-fuzz: coverage-guided; without: the
# mutational loop of the same target on stable.
set -euo pipefail
target=$1 seconds=$2
cd "$(dirname "$0")/.."
if [ "$target" = vectors ]; then
  # Random operations against a model, not bytes against a parser.
  exec cargo test --release -p vectors --test model -- --seconds "$seconds"
fi
if rustup toolchain list 2>/dev/null | grep -q nightly && command -v cargo-fuzz >/dev/null 2>&1; then
  # New inputs go to the first directory; the checked-in files, good and damaged, are where it starts.
  mkdir -p "fuzz/corpus/$target"
  case $target in
    log | container | manifest)
      cp --backup=numbered $(find testdata/formats -name '*.log' -o -name '*.fxv' -o -name MANIFEST) "fuzz/corpus/$target/"
      kept=() ;;
    *) kept=("../testdata/malformed/$target" "../testdata/wellformed/$target") ;;
  esac
  cd fuzz && exec cargo +nightly fuzz run "$target" "corpus/$target" "${kept[@]}" \
    -- -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10
fi
exec cargo run --release --manifest-path fuzz/Cargo.toml --bin mutate -- "$target" "$seconds"
