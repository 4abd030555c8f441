#!/bin/sh
# emulated.sh BUILD COMMAND…: runs a command of a CUDA build on the emulated device (tests/emulator/README.md).
set -eu
if [ $# -lt 2 ]; then
    echo "usage: emulated.sh BUILD COMMAND…" >&2
    exit 2
fi
libraries=$(cd "$1" && pwd)/emulator
if [ ! -e "$libraries"/libcudart.so ]; then
    echo "emulated.sh: $1 has no emulated device; configure it with -DMICROLIFT_CUDA=ON -DMICROLIFT_TESTS=ON" \
         "-DCMAKE_CUDA_ARCHITECTURES=90-virtual and build the target emulator" >&2
    exit 2
fi
shift
LD_PRELOAD=$libraries/libemulated_nvrtc.so${LD_PRELOAD:+:$LD_PRELOAD} \
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$@"
