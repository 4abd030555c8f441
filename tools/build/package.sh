#!/bin/sh
# package.sh [DIR]: the Debian package for any x86-64 machine, in DIR (default: out/package): command, library, headers,
# report, pages. The CPU kernels have three instruction sets, of which one is chosen at start; no CUDA and no MPI, which each cluster
# has of its own.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$root/out/package}
build=$root/build_package
"$root/tools/build/setup.sh" build report
generator="-GNinja -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=6"
if [ -f "$build/CMakeCache.txt" ]; then generator=; fi
# shellcheck disable=SC2086
cmake -S "$root" -B "$build" $generator -DCMAKE_INSTALL_PREFIX=/usr -DMICROLIFT_CPU=dispatch -DMICROLIFT_CUDA=OFF \
    -DMICROLIFT_MPI=OFF -DMICROLIFT_TESTS=OFF
cmake --build "$build"
mkdir -p "$out"
out=$(cd "$out" && pwd)
(cd "$build" && cpack -G DEB -B "$out")
rm -rf "$out/_CPack_Packages"
ls "$out"/microlift_*.deb
