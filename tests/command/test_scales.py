#!/usr/bin/python3
"""A run in other units of length and energy gives the numbers of the run in units of one. Units are powers
of two, so that nothing is rounded differently: what differs is an absolute length or energy somewhere."""
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import Scratch, command_line, metrics, rows, run  # noqa: E402

# Two wells of y that x does not see; time in units of L²/E.
CONFIG = """
seed = 2
[system]
variables = ["x", "y"]
parameters = {{ E = {E!r}, L = {L!r} }}
potential = "E*(3*((x/L)^2-1)^2+(0.5+10*(x/L)^2)*((y/L)^2-1)^2-0.4*(x/L)*(y/L))"
beta = {beta!r}
[cv]
variables = ["x"]
[integrator]
dt = {dt!r}
[umbrella]
from = {low!r}
to = {high!r}
windows = 9
stiffness = {stiffness!r}
replicas = 16
equilibrate = 500
steps = 2000
stride = 50
initial = [0.0, {L!r}]
[estimate]
bins = 20
[generator]
kind = "energy"
iterations = 200
batch = 128
validate_every = 100
validation_states = 500
[lifting]
values = 3
states = 500
heal_steps = 100
[coupling]
rounds = 1
windows = 4
replicas = 16
equilibrate = 200
steps = 2000
iterations = 100
[closure]
values = 8
replicas = 64
relaxation = 1e5
passage_from = {low_half!r}
passage_to = [{high_half!r}]
passages = 16
passage_steps = 200000
committor_a = [{minus!r}, {minus!r}, {half!r}]
committor_b = [{L!r}, {L!r}, {half!r}]
committor_points = [0.0, {L!r}]
committor_runs = 64
"""
NUMBERS = {"free_energy.csv": {"free_energy": (0, 1), "std_error": (0, 1)},
           "exact.csv": {"free_energy": (0, 1), "mean_y": (1, 0), "variance_y": (2, 0)},
           "conditional.csv": {"mean": (1, 0), "mean_se": (1, 0), "variance": (2, 0)},
           "closure.csv": {"drift": (-1, 1), "drift_se": (-1, 1), "diffusion": (0, 1),
                           "diffusion_se": (0, 1)}}


class Scales(Scratch):
    def results(self, L, E):
        """Numbers of a run, in units of L, E and L²/E."""
        config = self.dir / f"{L}_{E}.toml"
        config.write_text(CONFIG.format(
            L=L, E=E, beta=1 / E, dt=5e-4 * L * L / E, low=-1.5 * L, high=1.5 * L,
            stiffness=64 * E / L / L, low_half=-L, high_half=L, minus=-L, half=0.5 * L))
        out = self.dir / f"{L}_{E}"
        run(*command_line(config, out, options=("--quiet", "--no-report", "--threads", "1")))
        found = {}
        for file, columns in NUMBERS.items():
            table = rows(out / file)
            self.assertTrue(table, file)
            for name, (lengths, energies) in columns.items():
                unit = L ** lengths * E ** energies
                found[f"{file} {name}"] = np.array([float(r[name]) for r in table]) / unit
        m = metrics(out)
        found["jumps"] = np.array([m["stages"]["couple"]["jump_acceptance"]])
        found["held out"] = np.array([m["stages"]["train"]["best_w1"]])
        found["lifting"] = np.array([e["w1_over_sigma"] for e in m["lifting"]["w1"]])
        for source in m["closure"]["sources"]:
            for p in source.get("passages", []):
                for key in ("value", "error", "mean", "mean_se"):
                    if isinstance(p.get(key), (int, float)):
                        found.setdefault("passages " + key, []).append(p[key] * E / L / L)
            for r in source.get("rates", []):
                if isinstance(r, dict) and isinstance(r.get("value"), (int, float)):
                    found.setdefault("rates", []).append(r["value"] * L * L / E)
        return found

    def test_powers_of_two(self):
        one = self.results(1.0, 1.0)
        self.assertGreater(one["jumps"][0], 0.05)
        self.assertTrue({"rates", "free_energy.csv std_error"} <= set(one), sorted(one))
        for L, E in ((2.0 ** -40, 1.0), (2.0 ** 40, 1.0), (1.0, 2.0 ** -20), (1.0, 2.0 ** 20),
                     (2.0 ** -40, 2.0 ** -20), (2.0 ** 40, 2.0 ** 20)):
            other = self.results(L, E)
            self.assertEqual(sorted(one), sorted(other))
            for name, value in one.items():
                with self.subTest(length=L, energy=E, what=name):
                    np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-5 *
                                               np.nanmax(np.abs(value)), equal_nan=True)


if __name__ == "__main__":
    unittest.main()
