#!/usr/bin/env bash
# Killed writers of the vector engine, then a long run of the server under load, disconnects and kills; see soak.py.
set -euo pipefail
# The vector engine first: 500 writers killed in the middle, and nothing lost that was confirmed.
(cd "$(dirname "$0")/.." && cargo test --release -p vectors --test kill -- --rounds 500)
exec python3 "$(dirname "$0")/soak.py" "$1" --minutes "$2"
