#!/usr/bin/python3
"""Wrong programs (faults.cu) on the emulated device: each must be caught with every seed of the order of streams,
and named; the right ones must pass with every seed.

usage: test_faults.py BUILD_FOLDER FAULTS_PROGRAM
"""
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

BUILD, PROGRAM = Path(sys.argv[1]), sys.argv[2]
EMULATED = Path(os.environ["MICROLIFT_SOURCE"]) / "tools" / "checks" / "emulated.sh"
SEEDS = range(20)

# What each has to say: a fault aborts, a refused call ends with 3, a wrong number with 4.
NAMED = {
    "host_pointer": r"kernel .*add_one.*: .*a host address",
    "device_pointer": r"the host used as its own byte 20 of buffer",
    "device_pointer_memcpy": r"the host used as its own byte \d+ of buffer",
    "past_the_end": r"kernel .*add_one.*0 bytes past the end of buffer",
    "unwritten": r"kernel .*add_one.*never written",
    "unwritten_copy": r"copy of 4000 bytes.*never written",
    "used_after_free": r"kernel .*add_one.*the freed buffer",
    "freed_twice": r"buffer 'cudaMalloc 1' is freed twice",
    "wrong_direction": r"from device to host memory, which its kind denies",
    "overlapping_copy": r"overlapping",
    "allocation_in_capture": r"operation not permitted when stream is capturing \(cudaMalloc",
    "wait_in_capture": r"operation not permitted when stream is capturing \(cudaStreamSynchronize",
    "clear_in_capture": r"operation not permitted when stream is capturing \(cudaMemset",
    "legacy_in_capture": r"would make the legacy stream depend on a capturing blocking stream",
    "end_of_broken_capture": r"failed due to a previous error during capture \(cudaStreamEndCapture",
    "too_many_threads": r"invalid configuration argument",
    "destroyed_stream": r"invalid resource handle.*stream 1 has been destroyed",
    "not_emulated": r"cudaMallocArray is not emulated",
}
# Work to come on another stream is known to touch the same memory: named whatever the order. Of two kernels that
# is not known, and some orders are right by luck, as on a device.
ORDER = ("cleared_elsewhere", "cleared_after_writing")
LUCKY = ("two_streams", "unfinished_copy", "freed_elsewhere")


def run(name, seed, **environment):
    done = subprocess.run([EMULATED, BUILD, PROGRAM, name], capture_output=True, text=True, check=False,
                          env={**os.environ, "EMULATOR_SEED": str(seed), **environment})
    return done.returncode, done.stdout + done.stderr


class Faults(unittest.TestCase):
    def test_right_programs_pass_with_every_seed(self):
        for name in ("right", "right_graph"):
            for seed in SEEDS:
                with self.subTest(name=name, seed=seed):
                    status, text = run(name, seed)
                    self.assertEqual((0, "right\n"), (status, text))

    def test_faults_are_named_with_every_seed(self):
        for name, pattern in NAMED.items():
            for seed in SEEDS[::4]:
                with self.subTest(name=name, seed=seed):
                    status, text = run(name, seed)
                    self.assertNotEqual(0, status)
                    self.assertRegex(text, re.compile(pattern, re.S))

    def test_memory_cleared_on_another_stream_is_caught_with_every_seed(self):
        for name in ORDER:
            for seed in SEEDS:
                with self.subTest(name=name, seed=seed):
                    status, text = run(name, seed)
                    self.assertNotEqual(0, status, text)
                    self.assertRegex(text, r"kernel .*nothing orders it and memset of 4000 bytes on the legacy")

    def test_streams_that_do_not_wait_are_caught_with_some_seed(self):
        for name in LUCKY:
            caught = [seed for seed in SEEDS if run(name, seed)[0] != 0]
            print(f"{name}: caught with {len(caught)} of {len(SEEDS)} seeds")
            self.assertGreaterEqual(len(caught), len(SEEDS) // 4)

    def test_a_fault_may_be_reported_as_a_status_instead(self):
        status, text = run("past_the_end", 0, EMULATOR_FAULT="report")
        self.assertEqual(3, status, text)
        self.assertRegex(text, r"refused: emulated device: kernel .*past the end")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
