#!/usr/bin/env bash
# A long run under load, disconnects and kills; see soak.py.
set -euo pipefail
exec python3 "$(dirname "$0")/soak.py" "$1" --minutes "$2"
