"""PyTorch: eager, torch.compile, and a CUDA graph of the compiled steps; torchsde's Euler scheme."""
import math
import os
import time

import numpy as np
import torch

import law
from ensemble_numpy import Ensemble


def force(x, y):
    fx, fy = (law.CENTER - x) * law.STIFFNESS, torch.zeros_like(y)
    for amplitude, a, b, c, x0, y0 in law.TERMS:
        dx, dy = x - x0, y - y0
        qx, qy = 2 * a * dx, 2 * c * dy
        if b:
            qx, qy = qx + b * dy, qy + b * dx
        e = torch.exp(0.5 * (qx * dx + qy * dy)) * -amplitude
        fx, fy = fx + e * qx, fy + e * qy
    return fx, fy


def best_threads(run):
    """One thread or all, whichever runs faster: small arrays lose by threads."""
    times = {}
    for threads in {1, len(os.sched_getaffinity(0))}:
        torch.set_num_threads(threads)
        run()
        start = time.perf_counter()
        run()
        times[time.perf_counter() - start] = threads
    torch.set_num_threads(times[min(times)])
    return f"{times[min(times)]} threads"


def one_step(x, y):
    fx, fy = force(x, y)
    return (x + law.DT * fx + law.SIGMA * torch.randn_like(x),
            y + law.DT * fy + law.SIGMA * torch.randn_like(y))


class TorchEnsemble(Ensemble):
    version = f"PyTorch {torch.__version__}"

    def __init__(self, device):
        self.device = torch.device(device)
        torch.manual_seed(law.SEED)

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def prepare(self, n):
        self.x, self.y = (torch.full((n,), s, dtype=torch.float32, device=self.device)
                          for s in law.START)

    def states(self):
        return torch.stack([self.x, self.y]).cpu().numpy()


class Eager(TorchEnsemble):
    """In place where that saves a temporary."""

    @torch.inference_mode()
    def prepare(self, n):
        super().prepare(n)
        if self.device.type == "cpu":
            self.note = best_threads(lambda: self.run(2))
            super().prepare(n)

    @torch.inference_mode()
    def run(self, steps):
        x, y = self.x, self.y
        z = torch.empty((2, x.numel()), dtype=x.dtype, device=x.device)
        for _ in range(steps):
            fx = (x - law.CENTER).mul_(-law.STIFFNESS)
            fy = torch.zeros_like(y)
            for amplitude, a, b, c, x0, y0 in law.TERMS:
                dx, dy = x - x0, y - y0
                qx, qy = dx * (2 * a), dy * (2 * c)
                if b:
                    qx.add_(dy, alpha=b)
                    qy.add_(dx, alpha=b)
                e = dx.mul_(qx).addcmul_(dy, qy).mul_(0.5).exp_().mul_(-amplitude)
                fx.addcmul_(e, qx)
                fy.addcmul_(e, qy)
            z.normal_()
            x.add_(fx, alpha=law.DT).add_(z[0], alpha=law.SIGMA)
            y.add_(fy, alpha=law.DT).add_(z[1], alpha=law.SIGMA)


class Compiled(TorchEnsemble):
    """Eight steps in one compiled function, noise included."""
    chunk = 8

    def prepare(self, n):
        super().prepare(n)

        def steps(x, y):
            for _ in range(self.chunk):
                x, y = one_step(x, y)
            return x, y

        self.steps = torch.compile(steps, dynamic=False, fullgraph=True)
        if self.device.type == "cpu":
            torch.set_num_threads(len(os.sched_getaffinity(0)))  # what code is generated for
        with torch.inference_mode():
            self.steps(self.x, self.y)

    @torch.inference_mode()
    def run(self, steps):
        for _ in range(-(-steps // self.chunk)):
            self.x, self.y = self.steps(self.x, self.y)


class Graph(Compiled):
    """The compiled steps, 64 to a CUDA graph."""
    chunk = 8
    calls = 4  # of the compiled function in a graph: 32 steps

    def __init__(self, device):
        if device == "cpu":
            raise RuntimeError("needs CUDA")
        super().__init__(device)

    def prepare(self, n):
        super().prepare(n)
        start = self.x.clone(), self.y.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), torch.no_grad():
            for _ in range(3):
                self.steps(self.x, self.y)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph), torch.no_grad():
            x, y = self.x, self.y
            for _ in range(self.calls):
                x, y = self.steps(x, y)
            self.x.copy_(x)
            self.y.copy_(y)
        self.x.copy_(start[0])
        self.y.copy_(start[1])

    def run(self, steps):
        for _ in range(-(-steps // (self.chunk * self.calls))):
            self.graph.replay()


class TorchSde(TorchEnsemble):
    """torchsde.sdeint, method euler, diagonal noise."""
    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, device):
        super().__init__(device)
        import torchsde
        self.sdeint, self.interval = torchsde.sdeint, torchsde.BrownianInterval
        self.version = f"torchsde {torchsde.__version__}, {TorchEnsemble.version}"

    def f(self, t, state):
        fx, fy = force(state[:, 0], state[:, 1])
        return torch.stack([fx, fy], 1)

    def g(self, t, state):
        return torch.full_like(state, math.sqrt(2 * law.KT))

    @torch.inference_mode()
    def run(self, steps):
        state = torch.stack([self.x, self.y], 1)
        times = torch.tensor([0.0, steps * law.DT], device=self.device, dtype=torch.float32)
        noise = self.interval(t0=0.0, t1=float(times[1]), size=tuple(state.shape), dt=law.DT,
                              device=self.device, dtype=torch.float32, cache_size=None)
        state = self.sdeint(self, state, times, bm=noise, method="euler", dt=law.DT)[-1]
        self.x, self.y = state[:, 0].clone(), state[:, 1].clone()


CONTESTANTS = {"torch eager": Eager, "torch compiled": Compiled, "torch CUDA graph": Graph,
               "torchsde": TorchSde}
