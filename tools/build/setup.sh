#!/bin/sh
# Installs the Debian packages that microlift needs and this machine lacks, and says which.
#   setup.sh [build] [report] [python] [mpi] [tests]     what building needs, the report, the Python module, runs of
#                                                        several processes, what tests alone use; none named: all
set -eu

build="
g++
cmake
ninja-build
make
pkg-config
doctest-dev
libcli11-dev
libtomlplusplus-dev
nlohmann-json3-dev
libhdf5-dev
libpugixml-dev
"
report="
python3
python3-numpy
python3-matplotlib
python3-h5py
"
python="
pybind11-dev
python3-dev
"
mpi="
libopenmpi-dev
openmpi-bin
"
tests="
valgrind
"

packages=
for part in ${*:-build report python mpi tests}; do
    case $part in
        build) packages="$packages$build" ;;
        report) packages="$packages$report" ;;
        python) packages="$packages$python" ;;
        mpi) packages="$packages$mpi" ;;
        tests) packages="$packages$tests" ;;
        *)
            echo "setup: '$part' is none of build, report, python, mpi, tests" >&2
            exit 2
            ;;
    esac
done

missing=
for package in $packages; do
    # A package counts if it is installed, or if an installed one provides it (pkgconf, a later g++).
    if ! dpkg-query -W -f '${db:Status-Abbrev}\n' "$package" 2>/dev/null | grep -q '^ii'; then
        case $package in
            pkg-config) command -v pkg-config >/dev/null 2>&1 && continue ;;
            g++ | cmake | make) command -v "$package" >/dev/null 2>&1 && continue ;;
            ninja-build) command -v ninja >/dev/null 2>&1 && continue ;;
        esac
        missing="$missing $package"
    fi
done

if [ -z "$missing" ]; then
    echo "setup: every package is there:" ${*:-build report python mpi tests}
    exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: apt-get was not found; install with your own package manager:$missing" >&2
    exit 2
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup: neither root nor sudo; ask an administrator for: apt-get install$missing" >&2
        exit 2
    fi
    as_root="sudo"
fi

echo "setup: installing$missing"
run_apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { run_apt update && run_apt install --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get failed, see above; microlift needs:$missing" >&2
    exit 2
fi
echo "setup: done"
