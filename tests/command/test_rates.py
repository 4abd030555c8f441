#!/usr/bin/python3
"""Rates between two states: every method on a double well beside quadrature and beside direct simulation's cost, alone
and beside windows; on a molecule, beside direct simulation; stops, kills and threads; refusals."""
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from butane import SYSTEM, write_butane  # noqa: E402
from command import BINARY, Case, command_line, metrics, rows, run  # noqa: E402

WELL = """seed = 4
[system]
name = "double_well"
beta = 5.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
[rates]
method = "splitting"
from = -1.0
to = 1.0
"""
# Of one run, and its share of the force evaluations of direct simulation with the same standard error: on the average
# 0.13, 0.11 and 0.08 (tools/docs/rates.md). An error from 32 repeats spreads by 13 %, its square by 26 %.
METHODS = {"splitting": (["rates.replicas=512", "rates.equilibrate=300"], 0.2),
           "weighted_ensemble": (["rates.levels=[-1.3, -1.2, -1.1, -1.0, -0.9, -0.8, -0.7, -0.6, -0.5, -0.4, -0.3, -0.2, "
                                  "-0.1, 0.0, 0.1, 0.2, 0.35, 0.6]", "rates.replicas=8", "rates.steps=20000",
                                  "rates.relax=0.1"], 0.15),
           "milestoning": (["rates.bins=20", "rates.replicas=96", "rates.relax=0.1", "rates.equilibrate=300"], 0.11)}
MFPT = 182.418
BUTANE_RATES = "seed = 2\n" + SYSTEM + """[rates]
from = "abs(phi) > 2.6"
to = "abs(phi) < 1.5"
progress = "cos(phi)"
levels = [-0.75, -0.65, -0.55, -0.47, -0.4, -0.3, -0.15]
stride = 5
replicas = 64
repeats = 16
equilibrate = 500
loops = 4
"""


def short(method, steps):
    return [f"rates.steps={steps}"] if method == "weighted_ensemble" else []


class RatesCase(Case):
    def figures(self, out):
        return {r["quantity"]: {k: float(r[k]) for k in ("value", "std_error", "force_evaluations")}
                for r in rows(out / "rates.csv")}


class Well(RatesCase):
    def test_methods(self):
        """The time within 3 %, within four errors, and with the force evaluations that direct simulation takes for
        the same error: N passages have the relative error N^(-1/2), and take MFPT/dt each."""
        for method, (changes, share) in METHODS.items():
            with self.subTest(method):
                out = self.go(WELL, f"rates.method={method}", *changes, name=method)
                figures = self.figures(out)
                time, rate = figures["mfpt"], figures["rate"]
                self.assertLess(abs(time["value"] - MFPT), 4 * time["std_error"])
                self.assertLess(time["std_error"] / MFPT, 0.03)
                self.assertAlmostEqual(rate["value"] * time["value"], 1, places=12)
                direct = (MFPT / time["std_error"])**2 * MFPT / 1e-3
                self.assertLess(time["force_evaluations"], share * direct)
                self.assertEqual({r["method"] for r in rows(out / "rates.csv")}, {method})
                record = metrics(out)["rates"]
                self.assertEqual(record["force_evaluations"], time["force_evaluations"])
                self.assertTrue(record["bridged"])
                self.assertFalse((out / "free_energy.csv").exists())
                self.assertFalse((out / "samples.h5").exists())

    def test_splitting_tells_the_way(self):
        """Shares that come to a level, and committors from there, beside quadrature; trajectories that arrived."""
        import h5py
        out = self.go(WELL, "rates.replicas=256", "rates.equilibrate=300", "rates.bins=20")
        x = np.linspace(-1, 1, 20001)
        scale = np.concatenate([[0], np.cumsum(np.exp(5 * ((x[1:] + x[:-1])**2 / 4 - 1)**2))])
        levels = metrics(out)["rates"]["levels"]
        self.assertEqual(len(levels), 19)
        for level in levels[5:16]:
            exact = np.interp(level["progress"], x, scale / scale[-1])
            # A level is met between two steps, here 0.02 long: up to 0.6 of that late.
            late = np.interp(level["progress"] + 0.012, x, scale / scale[-1]) - exact
            self.assertLess(abs(level["committor"] - exact - late), 4 * level["committor_error"] + late, level)
        with h5py.File(out / "rates.h5") as file:
            state, when, end = (np.array(file[name]) for name in ("state", "time", "end"))
        self.assertEqual(state.shape, (8, 19, 1))
        self.assertTrue((np.diff(when, axis=1) >= 0).all())
        self.assertTrue((end > when[:, -1]).all())
        self.assertTrue((state[:, :, 0] >= np.linspace(-0.9, 0.9, 19) - 1e-6).all())

    def test_beside_windows(self):
        text = WELL + "[umbrella]\nfrom = -1.3\nto = 1.3\nwindows = 14\nstiffness = 40\nreplicas = 16\nsteps = 2000\n"
        alone = self.go(WELL, "rates.replicas=64", name="alone")
        both = self.go(text, "rates.replicas=64", name="both")
        self.assertEqual((alone / "rates.csv").read_bytes(), (both / "rates.csv").read_bytes())
        self.assertTrue((both / "samples.h5").exists())

    def test_check_and_report(self):
        (self.dir / "well.toml").write_text(WELL)
        done = run(BINARY, "check", self.dir / "well.toml")
        self.assertIn("# rates: splitting: from -1.0 to 1.0 by 512 replicas, 39 levels, 32 repeats", done.stdout)
        self.assertIn("# force evaluations: about ", done.stdout)
        for method in METHODS:
            out = self.go(WELL, f"rates.method={method}", "rates.replicas=16", *short(method, 1000), name=method,
                          options=("--quiet",))
            page = (out / "report.html").read_text()
            self.assertIn("Rates", page)
            self.assertIn("mean first passage time", page)

    def test_threads_stops_and_kills_change_nothing(self):
        for method in METHODS:
            changes = (f"rates.method={method}", "rates.replicas=64", *short(method, 3000))
            begin = time.time()
            whole = self.go(WELL, *changes, name=method + "1", options=("--quiet", "--no-report", "--threads", 1))
            seconds = time.time() - begin
            two = self.go(WELL, *changes, name=method + "2", options=("--quiet", "--no-report", "--threads", 2))
            killed = self.dir / f"{method}_killed"
            moments = ((0.2, signal.SIGTERM), (0.3, signal.SIGKILL), (0.2, signal.SIGTERM), (0.1, signal.SIGKILL))
            for share, how in moments:
                resume = ("--resume",) if killed.exists() else ()
                child = subprocess.Popen(command_line(self.dir / f"{method}1.toml", killed, *changes,
                                                      options=("--quiet", "--no-report", *resume)),
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(share * seconds)
                child.send_signal(how)
                child.wait()
            run(*command_line(self.dir / f"{method}1.toml", killed, *changes,
                              options=("--quiet", "--no-report", "--resume")))
            for other in (two, killed):
                self.assertEqual((whole / "rates.csv").read_bytes(), (other / "rates.csv").read_bytes(),
                                 f"{method}: {other.name}")


# The squared noise at the ends is twice that in the middle, so that no kT belongs to x.
UNEVEN = """seed = 6
[system]
variables = ["x"]
drift = ["x - x^3"]
diffusion = ["0.5*sqrt(1 + x^2)"]
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
scheme = "euler_maruyama"
compile_after = -1
[rates]
from = -1.0
to = 1.0
equilibrate = 2000
"""


class Uneven(RatesCase):
    def test_noise_that_depends_on_the_state(self):
        """No bias has a temperature there, and rates need none: the time by quadrature, ∫ dy/ψ(y) ∫^y 2ψ/σ², with
        ψ = exp ∫ 2b/σ²."""
        x = np.linspace(-4, 1, 200001)
        drift, square = x - x**3, 0.25 * (1 + x**2)
        steps = np.diff(x)

        def integral(f):
            return np.concatenate([[0], np.cumsum(0.5 * (f[1:] + f[:-1]) * steps)])
        exponent = integral(2 * drift / square)
        psi = np.exp(exponent - exponent.max())
        inner = integral(2 * psi / square) / psi
        exact = np.trapz(inner[x >= -1], x[x >= -1])
        squares = []
        for method, changes in (("splitting", ["rates.replicas=512"]),
                                ("weighted_ensemble", ["rates.levels=[-1.4,-1.2,-1.0,-0.8,-0.6,-0.4,-0.2,0.0,0.3,0.6]",
                                                       "rates.replicas=16", "rates.steps=30000"]),
                                ("milestoning", ["rates.bins=12", "rates.replicas=96"])):
            out = self.go(UNEVEN, f"rates.method={method}", *changes, name=method)
            found = self.figures(out)["mfpt"]
            self.assertLess(found["std_error"], 0.05 * exact, method)
            self.assertLess(abs(found["value"] - exact), 4 * found["std_error"], (method, found, exact))
            squares.append(((found["value"] - exact) / found["std_error"])**2)
            self.assertIsNone(metrics(out)["system"]["kt"])
        self.assertGreater(max(squares), 0.01)
        self.assertIn("depends on the state", self.refused(UNEVEN + "[umbrella]\nfrom = -1\nto = 1\nwindows = 5\nstiffness = 5\n"))


class Molecule(RatesCase):
    def test_butane(self):
        """From trans to either gauche state: the time by three methods, which agree within their errors."""
        write_butane(self.dir)
        found = {}
        for method in METHODS:
            changes = {"splitting": [], "weighted_ensemble": ["rates.steps=20000", "rates.interval=25", "rates.replicas=8"],
                       "milestoning": ["rates.iterations=6", "rates.replicas=8"]}[method]
            text = BUTANE_RATES if method == "splitting" else BUTANE_RATES.replace("loops = 4\n", "")
            out = self.go(text, f"rates.method={method}", *changes, name=method)
            figure = self.figures(out)["mfpt"]
            found[method] = figure["value"], figure["std_error"]
            self.assertLess(figure["std_error"], 0.25 * figure["value"], method)
            self.assertFalse(metrics(out)["rates"]["bridged"])
        for a in found.values():
            for b in found.values():
                self.assertLess(abs(a[0] - b[0]), 4.5 * np.hypot(a[1], b[1]), found)


class Refusals(RatesCase):
    def test_keys(self):
        for changes, said in (
                (["rates.to=-1.0"], "'rates.from' and 'rates.to' are both -1.0"),
                (["rates.levels=[-0.5, 1.5]"], "which does not lie between"),
                (["rates.levels=[0.5, -0.5]"], "after 0.5"),
                (["rates.levels=[0.5]"], "one value"),
                (['rates.from="x < -1"'], "'rates.levels' is missing"),
                (['rates.from="x"', "rates.levels=[-0.5, 0.5]"], "a part without < or >"),
                (['rates.from="y < -1"', "rates.levels=[-0.5, 0.5]"], "y"),
                (['rates.progress="x*"'], "rates.progress"),
                (["rates.replicas=4"], "too few to split"),
                (["rates.discard=0.001"], "less than one of them"),
                (["rates.method=weighted_ensemble", "rates.stride=3"], "not a multiple of 'stride'"),
                (["rates.method=direct"], "rates.method"),
                (["rates.initial=[1.0, 2.0]"], "rates.initial"),
                (["rates.longest=10"], "'rates.longest' is less than"),
                (['rates.from="2*(x < -0.9)"', "rates.levels=[-0.5, 0.5]"], "parentheses about a comparison"),
                (['rates.from="(x < -1 or x > 2) and x < 0"', "rates.levels=[-0.5, 0.5]"], "parentheses about a comparison"),
                (['rates.from="x < -1)"', "rates.levels=[-0.5, 0.5]"], "parentheses about a comparison"),
                (["rates.from=-1e300"], "'rates.from' is -1e+300, beyond single precision"),
                (["rates.to=1e300"], "'rates.to' is 1e+300, beyond single precision"),
                (['rates.to="x > 0.9"', "rates.levels=[0.0, 1e300]"], "'rates.levels' is 1e+300, beyond single precision"),
                (["rates.replicas=100000000"], "at a time")):
            with self.subTest(said):
                message = self.refused(WELL, *changes)
                self.assertIn(said, message)
                self.assertRegex(message, r"^microlift: .*(bad\.toml:\d+|--set)")

    def test_keys_of_other_methods(self):
        line = self.refused(WELL, "rates.relax=0.2")
        self.assertIn('key \'rates.relax\' is of the methods "weighted_ensemble", "milestoning", and key '
                      '\'rates.method\' is "splitting"', line)
        self.assertIn("'rates.loops'", self.refused(WELL.replace("splitting", "milestoning") + "loops = 3\n"))

    def test_tables_without_samples(self):
        self.assertIn("[closure] works on samples", self.refused(WELL + "[closure]\n"))
        self.assertIn("'rates.to' is missing", self.refused(WELL.replace("to = 1.0\n", "")))

    def test_a_turn_has_no_value_that_ends_it(self):
        write_butane(self.dir)
        text = BUTANE_RATES.replace('from = "abs(phi) > 2.6"', "from = -2.0").replace('to = "abs(phi) < 1.5"', "to = 1.0") \
            .replace('progress = "cos(phi)"\n', "").replace("levels = [-0.75, -0.65, -0.55, -0.47, -0.4, -0.3, -0.15]\n", "")
        self.assertIn("goes all round", self.refused(text))

    def test_a_period_has_no_value_that_ends_it(self):
        """Whether or not windows go all round, and along a progress coordinate of that variable, too."""
        text = WELL.replace('variables = ["x"]', 'variables = [{ formula = "x", name = "x", period = 6.0 }]')
        for changes in ([], ['rates.progress="2*x"'], ['rates.from="x < -1"', "rates.levels=[-0.5, 0.5]"]):
            with self.subTest(changes):
                message = self.refused(text, *changes)
                self.assertIn("goes all round", message)
                self.assertRegex(message, r"^microlift: .*(bad\.toml:\d+|--set)")

    def test_samples_do_not_move(self):
        (self.dir / "colvar").write_text("#! FIELDS time x\n" + "".join(f"{i} {np.sin(i):.4f}\n" for i in range(200)))
        text = """[samples]
colvar = ["colvar"]
from = -1.0
to = 1.0
[cv]
variables = ["x"]
[rates]
from = -0.5
to = 0.5
"""
        self.assertIn("[rates] runs trajectories, and without a [system]", self.refused(text))

    def test_parentheses_within_a_side(self):
        self.go(WELL, 'rates.from="2*(x + 0.1) < -1.8 and max(x, (x)) < 0"', 'rates.to="x > 0.9"',
                "rates.levels=[-0.5, 0.0, 0.5]", "rates.replicas=16", "rates.repeats=4")

    def test_none_arrives(self):
        """The progress coordinate falls on the way: an error, and no file that says inf."""
        plane = WELL.replace('name = "double_well"', 'variables = ["x", "y"]\npotential = "(x^2-1)^2+y^2"')
        done = self.go(plane, 'rates.from="x < -0.9"', 'rates.to="x > 0.9"', 'rates.progress="-x"',
                       "rates.levels=[-0.5, 0.5]", "rates.replicas=16", "rates.repeats=4", status=4)
        self.assertIn("no trajectory of [rates] came to rates.to", done.stderr)
        self.assertFalse((self.dir / "run" / "rates.csv").exists())

    def test_nothing_is_waited_for_in_vain(self):
        short = ("rates.replicas=16", "rates.repeats=4", "rates.equilibrate=300")
        done = self.go(WELL, 'rates.from="sqrt(x) < -1"', "rates.levels=[-0.5, 0.5]", *short, name="never", status=4)
        self.assertIn("trajectories came to rates.from within 10000 steps", done.stderr)
        done = self.go(WELL, 'rates.to="x > 0.5"', "rates.levels=[3.0, 4.0]", *short, "system.beta=1.0", name="beyond",
                       status=2)
        self.assertIn("not to the first of rates.levels", done.stderr)

    def test_states_that_overlap(self):
        done = self.go(WELL, 'rates.from="x < 0.5"', 'rates.to="x > -1.5"', "rates.levels=[0.6, 0.8]", status=2)
        self.assertIn("rates.from and rates.to overlap", done.stderr)


if __name__ == "__main__":
    unittest.main()
