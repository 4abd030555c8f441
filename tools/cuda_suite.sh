#!/bin/sh
# Everything that needs a CUDA device, in at most nine minutes on 16 cores: build for the device present,
# all tests, compute-sanitizer, the bitwise comparison with the CPU, benchmarks, peers. Writes
# DIR/suite.json and DIR/suite.md; a failing step is recorded and the rest goes on.
#
#   tools/cuda_suite.sh DIR              on a machine with a GPU and the CUDA toolkit
#   tools/cuda_suite.sh DIR --cpu        the same path with the CPU, to try the script itself
#
# More options: tools/cuda_suite.sh --help. Exit status: 0 all well; 1 a step failed; 2 wrong use;
# 3 no device.
here=$(cd "$(dirname "$0")" && pwd)
exec python3 "$here/checks/cuda_suite.py" "$@"
