#!/usr/bin/env bash
# Installs what the C++ part of the build and the client tests need, when it is missing.
set -euo pipefail
missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need cmake cmake
need ninja ninja-build
need c++ g++
need clang clang
need ccache ccache
need python3 python3
need curl curl
[ -n "$(ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib64/libclang*.so* /opt/homebrew/opt/llvm/lib/libclang* 2>/dev/null | head -n 1)" ] || missing+=(libclang-dev)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
need node nodejs
need npm npm
need redis-server redis-server
ls /usr/lib/postgresql/*/bin/postgres /usr/bin/postgres >/dev/null 2>&1 || missing+=(postgresql)
command -v cargo >/dev/null 2>&1 || { echo "cargo is missing: install Rust with rustup (https://rustup.rs), then run make again" >&2; exit 1; }
[ ${#missing[@]} -gt 0 ] || exit 0
if command -v apt-get >/dev/null 2>&1; then
  as_root=(); [ "$(id -u)" = 0 ] || as_root=(sudo)
  echo "installing: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${missing[@]}" >/dev/null
else
  echo "these packages are missing; install them and run make again: ${missing[*]}" >&2
  exit 1
fi
