#!/usr/bin/python3
"""The error bars of closures, passages and rates cover on two systems with exact answers, over four seeds
(tools/checks/calibrate.py; many seeds and systems there)."""
import math
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, SOURCE  # noqa: E402
sys.path.insert(0, str(SOURCE / "tools" / "checks"))
from calibrate import calibrate  # noqa: E402

RUNS = 4
# Values of one run go together: z² averaged over so many runs has a spread of sqrt(2/RUNS) at most, of
# which four are allowed.
MOST = 1 + 4 * math.sqrt(2 / RUNS)


class Calibration(unittest.TestCase):
    def check(self, system, quantities):
        found = calibrate(str(BINARY), [system], range(101, 101 + RUNS), 1)
        seen = {quantity for _, quantity in found}
        self.assertLessEqual(set(quantities), seen)
        for (_, quantity), s in found.items():
            if "mean_z2" in s:
                self.assertLess(s["mean_z2"], MOST, quantity)
            else:
                self.assertTrue(s["exact"], quantity)

    QUANTITIES = [f"{what}, {source}"
                  for what in ("drift", "diffusion", "slowest rate", "first passage")
                  for source in ("conditional", "burst")]
    QUANTITIES += ["slowest rate, full", "first passage, full"]

    def test_harmonic_well(self):
        self.check("harmonic", self.QUANTITIES)

    def test_double_well(self):
        self.check("double_well", self.QUANTITIES)

    def test_single_precision(self):
        """Bursts of one step know drift and diffusion to the last digits, and errors count these."""
        found = calibrate(str(BINARY), ["double_well"], [101], 1)
        for what in ("drift", "diffusion"):
            self.assertTrue(found["double_well", f"{what}, burst"]["exact"], what)
        # Of a learned coordinate the map's own rounding: both seeds choose a lag of one step.
        seeds = (4006, 4007)
        found = calibrate(str(BINARY), ["learned"], seeds, 1)
        for what in ("drift", "diffusion"):
            self.assertLess(found["learned", f"learned: {what}, burst"]["mean_z2"],
                            1 + 4 * math.sqrt(2 / len(seeds)), what)


if __name__ == "__main__":
    unittest.main()
