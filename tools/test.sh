#!/bin/sh
# Installs what is missing, builds everything (the CUDA backend too where nvcc exists), runs every
# test. The last line is ctest's own summary.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

"$here/tools/build/setup.sh"
mkdir -p "$here/build"
log="$here/build/build.log"
# Some host sources are compiled together: a third less work from nothing, and a little more for a change.
# A folder that was configured before keeps its generator.
generator="-GNinja -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=6"
if [ -f "$here/build/CMakeCache.txt" ]; then generator=; fi
start=$(date +%s)
if ! { cmake -S "$here" -B "$here/build" $generator -DMICROLIFT_TESTS=ON -DMICROLIFT_PYTHON=ON &&
    cmake --build "$here/build" &&
    # The kernels that are counted, as machine code, where they can be disassembled.
    if [ -d "$here/build/sass" ] &&
        python3 "$here/tools/checks/sass_report.py" "$here/build" --tools; then
        cmake --build "$here/build" --target sass
    fi; } >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "test: the build failed; all of its output is in $log" >&2
    exit 1
fi
echo "test: the build took $(($(date +%s) - start)) s"
exec ctest --test-dir "$here/build" -j2 --output-on-failure
