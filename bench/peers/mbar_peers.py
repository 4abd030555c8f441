"""pymbar and FastMBAR on microlift's own samples: 50 umbrella windows k/2 (x - c)^2, k = 40, on N(0, 1).
The matrix of reduced energies that both want is made before the clock starts."""
import os

import numpy as np

STIFFNESS, REACH = 40.0, 3.0


class Mbar:
    def __init__(self, device):
        self.device = device

    def synchronize(self):
        pass

    def prepare(self, samples):
        x = np.load(samples).astype(np.float64)
        windows, each = x.shape
        self.counts = np.full(windows, each)
        centers = REACH * (2 * np.arange(windows) / (windows - 1) - 1)
        self.energies = 0.5 * STIFFNESS * (x.ravel()[None, :] - centers[:, None]) ** 2

    def save(self, file):
        np.save(file, self.free_energies - self.free_energies[0])


class Pymbar(Mbar):
    options = {}

    def __init__(self, device):
        super().__init__(device)
        if device != "cpu":
            raise RuntimeError("measured on the CPU only")
        import pymbar
        self.pymbar = pymbar
        self.version = f"pymbar {pymbar.__version__}"

    def run(self, times):
        for _ in range(times):
            self.free_energies = self.pymbar.MBAR(self.energies, self.counts, relative_tolerance=1e-9,
                                                  **self.options).f_k


class PymbarNewton(Pymbar):
    """Its adaptive solver: Newton steps where they are better than self-consistent ones."""
    options = {"solver_protocol": ({"method": "adaptive", "options": {"min_sc_iter": 0}},)}


class PymbarRobust(Pymbar):
    options = {"solver_protocol": "robust"}


class FastMbar(Mbar):
    def __init__(self, device):
        super().__init__(device)
        import FastMBAR
        import torch
        self.solver = FastMBAR.FastMBAR
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        try:
            from importlib.metadata import version
            self.version = "FastMBAR " + version("FastMBAR")
        except ImportError:
            self.version = "FastMBAR"

    def run(self, times):
        for _ in range(times):
            self.free_energies = np.asarray(self.solver(
                energy=self.energies, num_conf=self.counts, cuda=self.device == "cuda",
                verbose=False, method="Newton").F)


CONTESTANTS = {"pymbar": Pymbar, "pymbar adaptive": PymbarNewton, "pymbar robust": PymbarRobust,
               "FastMBAR": FastMbar}
