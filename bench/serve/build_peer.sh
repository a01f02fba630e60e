#!/usr/bin/env bash
# Builds llama-server, the peer of bench/serve, from the llama.cpp source that the Python package llama-cpp-python
# vendors, with the flags of a native build. Result: bench/work/peer/bin/llama-server and bench/work/peer/VERSION.
set -euo pipefail
version=${LLAMA_CPP_PYTHON_VERSION:-0.3.36}
cd "$(dirname "$0")/.."
work=$PWD/work/peer
[ -x "$work/bin/llama-server" ] && grep -qx "$version" "$work/VERSION" 2>/dev/null && { echo "peer is built: $work"; exit 0; }
mkdir -p "$work"
pip download --quiet --no-deps --no-binary :all: --no-build-isolation --dest "$work" "llama-cpp-python==$version" 2>"$work/pip.log" || {
  # pip wants the build backend's metadata hook; a throw-away environment with the backend satisfies it.
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet scikit-build-core
  "$work/venv/bin/pip" download --quiet --no-deps --no-binary :all: --no-build-isolation --dest "$work" "llama-cpp-python==$version"
}
rm -rf "$work/source" && mkdir "$work/source"
tar -xzf "$work"/llama_cpp_python-"$version".tar.gz -C "$work/source" --strip-components 1
tree=$work/source/vendor/llama.cpp
rm -rf "$tree/.git" # a dangling link that would make CMake configure again and again
cmake -S "$tree" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF >"$work/cmake.log"
cmake --build "$work/build" --target llama-server -j "${JOBS:-$(nproc)}" >>"$work/cmake.log"
mkdir -p "$work/bin" && cp "$work/build/bin/llama-server" "$work/bin/"
echo "$version" >"$work/VERSION"
"$work/bin/llama-server" --version 2>&1 | head -n 2
