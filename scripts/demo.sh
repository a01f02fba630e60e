#!/usr/bin/env bash
# Starts Fornax on a free port with a data directory of its own, and drives it with the stock openai client.
set -euo pipefail
cd "$(dirname "$0")/.."
fornax=$(realpath "$1")
work=$(mktemp -d)
server=
finish() { [ -z "$server" ] || kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; rm -rf "$work"; }
trap finish EXIT

venv=target/demo-venv
[ -x "$venv/bin/python" ] || { python3 -m venv "$venv"; "$venv/bin/pip" install --quiet --disable-pip-version-check "openai==3.52.0"; }

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
export FORNAX_DATA_DIR=$work/data
say "fornax pull models/downloads/minilm.gguf --name minilm"
"$fornax" pull models/downloads/minilm.gguf --name minilm
say "fornax serve --bind 127.0.0.1:0 &"
"$fornax" serve --bind 127.0.0.1:0 >"$work/serve.log" 2>&1 &
server=$!
for _ in $(seq 100); do
  [ -s "$FORNAX_DATA_DIR/run/address" ] && curl -fsS "http://$(cat "$FORNAX_DATA_DIR/run/address")/readyz" >/dev/null 2>&1 && break
  kill -0 "$server" 2>/dev/null || { cat "$work/serve.log"; exit 1; }
  sleep 0.1
done
address=$(cat "$FORNAX_DATA_DIR/run/address")
echo "ready at http://$address"
say "fornax list"
"$fornax" list
export FORNAX_URL=http://$address FORNAX_API_KEY
FORNAX_API_KEY=$(cat "$FORNAX_DATA_DIR/admin.key")
say "fornax ingest docs README.md ARCHITECTURE.md --collection docs --chunk-size 96"
"$fornax" ingest docs README.md ARCHITECTURE.md --collection docs --chunk-size 96
echo
echo "fornax-nano, the model inside the binary, is a 4 MB toy trained on Shakespeare: what is found and shown to it is right,"
echo "what it writes is not an answer. With a model of yours (fornax pull), the same commands give real ones."
say "python scripts/demo.py docs"
OPENAI_BASE_URL=http://$address/v1 OPENAI_API_KEY=$(cat "$FORNAX_DATA_DIR/admin.key") "$venv/bin/python" scripts/demo.py docs
say "fornax ask \"Why does every model run in a process of its own?\" --collection docs"
"$fornax" ask "Why does every model run in a process of its own?" --collection docs --model fornax-nano --limit 3 --max-tokens 60 --temperature 0.7 --seed 7
say "fornax ps"
"$fornax" ps
say "kill -TERM (drains, ends its runners)"
kill -TERM "$server"; wait "$server" && echo "exit 0"
server=
