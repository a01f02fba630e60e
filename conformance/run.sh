#!/usr/bin/env bash
# The real client libraries against the real binary: conformance/run.sh BINARY [PROTOCOL]
# Makes a Python and a Node environment beside this file (once), then runs every suite and writes docs/conformance.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?usage: conformance/run.sh BINARY [PROTOCOL]}
venv=$here/.venv

if [ ! -x "$venv/bin/python" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
fi
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
for project in node mcp; do
    if ! cmp -s "$here/$project/package-lock.json" "$here/$project/node_modules/.installed.json"; then
        (cd "$here/$project" && npm ci --silent --no-audit --no-fund)
        cp "$here/$project/package-lock.json" "$here/$project/node_modules/.installed.json"
    fi
done
shift
exec "$venv/bin/python" "$here/run.py" "$binary" "$@"
