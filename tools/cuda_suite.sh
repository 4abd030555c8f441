#!/bin/sh
# Everything that needs a CUDA device, in at most eight minutes on 16 cores: build for the device present, then in
# parts, the most telling first: tests; bits (CPU and CUDA the same); trajectories and training (benchmarks, and
# peers beside them); sanitizers; program (tests that need no GPU, in what time is left). Writes DIR/suite.json and
# DIR/suite.md after every part; a failing step is recorded and the rest goes on.
#
#   tools/cuda_suite.sh DIR                    on a machine with a GPU and the CUDA toolkit; called again, it
#                                              goes on with the parts that have no results in DIR yet
#                                              (and tests that were cut short, with those that have not passed)
#   tools/cuda_suite.sh DIR --only PART        that part alone, once more if it has results
#   tools/cuda_suite.sh DIR --emulated BUILD   a rehearsal on the emulated device: all but speed
#   tools/cuda_suite.sh DIR --cpu              the same path with the CPU, to try the script itself
#
# More options: tools/cuda_suite.sh --help. Exit status: 0 all well; 1 a step failed; 2 wrong use;
# 3 no device.
here=$(cd "$(dirname "$0")" && pwd)
exec python3 "$here/checks/cuda_suite.py" "$@"
