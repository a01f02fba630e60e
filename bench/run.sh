#!/usr/bin/env bash
# Every benchmark with its peer, in one go. Needs an otherwise idle machine for figures worth keeping.
set -euo pipefail
cd "$(dirname "$0")/.."
fornax=$1
bench/serve/build_peer.sh
cargo build --release --example overhead
python3 bench/serve/overhead.py --fornax "$fornax"
venv=bench/work/venv
[ -x "$venv/bin/python" ] || { python3 -m venv "$venv"; grep -E '^(gguf|numpy|tokenizers)=' models/requirements.txt | "$venv/bin/pip" install --quiet -r /dev/stdin; }
for shape in smollm2 tiny; do
  file=bench/work/$shape-q4_0.gguf
  [ -f "$file" ] || "$venv/bin/python" models/make_random.py "$shape" "$file" --type q4_0
done
python3 bench/serve/bench.py --fornax "$fornax" --peer bench/work/peer/bin/llama-server --model bench/work/smollm2-q4_0.gguf --name 135m-q4_0 --repeats 3
python3 bench/serve/bench.py --fornax "$fornax" --peer bench/work/peer/bin/llama-server --model bench/work/tiny-q4_0.gguf --name 1.1b-q4_0 --tokens 32 --rounds 1 --repeats 1 --shared 4
# PyTorch comes from the system's python3-torch where the default interpreter lacks it.
cargo build --release -p physics --example bench_physics
torch_python=python3; "$torch_python" -c 'import torch' 2>/dev/null || torch_python=/usr/bin/python3
"$torch_python" bench/physics/bench.py --training
# Vectors: inputs from the data sets in BENCH_DATA (see bench/vectors/data.py for what they are).
vectors=bench/work/vectors-venv
[ -x "$vectors/bin/python" ] || { python3 -m venv "$vectors"; "$vectors/bin/pip" install --quiet -r bench/vectors/requirements.txt; }
[ -f bench/work/vectors/minilm200k/base.npy ] || "$vectors/bin/python" bench/vectors/data.py --data "${BENCH_DATA:-../shared/data}"
cargo build --release -p vectors --example bench_worker
for set in minilm50k digits30k minilm200k; do
  "$vectors/bin/python" bench/vectors/bench.py --worker target/release/examples/bench_worker --set "$set"
done
# Collections over gRPC and REST beside Qdrant's engine in one process.
cargo build --release -p surfaces --example collections_load
"$vectors/bin/python" bench/collections/bench.py --fornax "$fornax" --load target/release/examples/collections_load --set minilm50k
# Full text beside tantivy: a workspace of its own.
python3 bench/text/bench.py --data "${BENCH_DATA:-../shared/data}"
# Retrieval quality beside its reference: needs the weights of all-MiniLM-L6-v2 (config.json, tokenizer.json, model.safetensors) in MINILM.
retrieval=bench/work/retrieval-venv
[ -x "$retrieval/bin/python" ] || { python3 -m venv "$retrieval"; "$retrieval/bin/pip" install --quiet -r bench/retrieval/requirements.txt; }
minilm=${MINILM:-bench/work/all-MiniLM-L6-v2}
[ -f bench/work/minilm.gguf ] || "$fornax" convert "$minilm" bench/work/minilm.gguf
"$retrieval/bin/python" bench/retrieval/bench.py --fornax "$fornax" --model bench/work/minilm.gguf --weights "$minilm"
python3 bench/render.py
