#!/bin/sh
# From a clone to a report: installs what is missing, builds, runs the Müller-Brown example.
#   ./tools/quickstart.sh [DIR]     results go to DIR (default: a new directory under out/)
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

begin=$(date +%s)
took() {
    echo "quickstart: $1 took $(($(date +%s) - $2)) s"
}

start=$begin
"$here/tools/build/setup.sh" build
took "set-up" "$start"
# What the report needs comes while the compiler works.
"$here/tools/build/setup.sh" report &
report=$!

start=$(date +%s)
mkdir -p "$here/build"
log="$here/build/build.log"
# Some host sources are compiled together: a third less work from nothing, and a little more for a change.
# A folder that was configured before keeps its generator.
generator="-GNinja -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=6"
if [ -f "$here/build/CMakeCache.txt" ]; then generator=; fi
echo "quickstart: building in $here/build"
if ! { cmake -S "$here" -B "$here/build" $generator -DMICROLIFT_TESTS=OFF &&
    cmake --build "$here/build" --target microlift_command; } >"$log" 2>&1; then
    wait "$report" || true
    tail -n 40 "$log" >&2
    echo "quickstart: the build failed; all of its output is in $log" >&2
    exit 1
fi
took "the build" "$start"
wait "$report"

if [ $# -gt 0 ]; then
    out=$1
else
    mkdir -p "$here/out"
    number=1
    while [ -e "$here/out/muller_brown_$number" ]; do number=$((number + 1)); done
    out="$here/out/muller_brown_$number"
fi
start=$(date +%s)
"$here/build/microlift" run "$here/tools/examples/muller_brown.toml" -o "$out"
took "the Müller-Brown job" "$start"
took "everything" "$begin"
if [ ! -f "$out/report.html" ]; then
    echo "quickstart: there is no $out/report.html; see the warning above" >&2
    exit 1
fi
echo "quickstart: the report is $out/report.html"
