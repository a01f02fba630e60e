#!/usr/bin/env bash
# Generated files are current: a file that a command writes must equal what the command writes now.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 bench/render.py --check
