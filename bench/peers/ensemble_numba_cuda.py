"""Numba-CUDA: a thread keeps its trajectory in registers over all steps of a launch, fast mathematics. One
Philox4x32-10 call keyed by (trajectory, stream, pair of steps) feeds two steps.

NUMBA_ENABLE_CUDASIM=1 runs it on a CPU, for a check and not for speed.
"""
import math
import os

import numba
import numpy as np
from numba import cuda

import law
from ensemble_numpy import Ensemble

F, U, W = np.float32, np.uint32, np.uint64
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
DT, SIGMA, CENTER, STIFFNESS = F(law.DT), F(law.SIGMA), F(law.CENTER), F(law.STIFFNESS)
MASK = W(0xFFFFFFFF)


@cuda.jit(device=True, inline=True, fastmath=True)
def normals(a, b):
    u = F(a >> U(1)) * F(2.0**-31) + F(2.0**-32)
    radius = math.sqrt(F(-2.0) * math.log(u))
    angle = F(b) * F(2.0 * math.pi * 2.0**-32)
    return F(radius * math.cos(angle)), F(radius * math.sin(angle))


@cuda.jit(device=True, inline=True, fastmath=True)
def term(fx, fy, x, y, amplitude, a, b, c, x0, y0):
    dx = x - x0
    dy = y - y0
    qx = F(2.0) * a * dx + b * dy
    qy = F(2.0) * c * dy + b * dx
    e = -amplitude * F(math.exp(F(0.5) * (qx * dx + qy * dy)))
    return fx + e * qx, fy + e * qy


@cuda.jit(device=True, inline=True, fastmath=True)
def step(x, y, zx, zy):
    fx = STIFFNESS * (CENTER - x)
    fy = F(0.0)
    fx, fy = term(fx, fy, x, y, F(-200.0), F(-1.0), F(0.0), F(-10.0), F(1.0), F(0.0))
    fx, fy = term(fx, fy, x, y, F(-100.0), F(-1.0), F(0.0), F(-10.0), F(0.0), F(0.5))
    fx, fy = term(fx, fy, x, y, F(-170.0), F(-6.5), F(11.0), F(-6.5), F(-0.5), F(1.5))
    fx, fy = term(fx, fy, x, y, F(15.0), F(0.7), F(0.6), F(0.7), F(-1.0), F(1.0))
    return x + DT * fx + SIGMA * zx, y + DT * fy + SIGMA * zy


@cuda.jit(fastmath=True)
def advance(x, y, first_pair, pairs, seed_low, seed_high, stream):
    i = cuda.grid(1)
    if i >= x.size:
        return
    u = x[i]
    v = y[i]
    for pair in range(pairs):
        c0 = U(i)
        c1 = U(stream)
        c2 = U(first_pair + pair)
        c3 = U(0)
        k0 = U(seed_low)
        k1 = U(seed_high)
        for _ in range(10):
            p0 = W(0xD2511F53) * W(c0)
            p1 = W(0xCD9E8D57) * W(c2)
            c0 = U((p1 >> W(32)) ^ W(c1) ^ W(k0))
            c1 = U(p1 & MASK)
            c2 = U((p0 >> W(32)) ^ W(c3) ^ W(k1))
            c3 = U(p0 & MASK)
            k0 = U((W(k0) + W(0x9E3779B9)) & MASK)
            k1 = U((W(k1) + W(0xBB67AE85)) & MASK)
        z0, z1 = normals(c0, c1)
        z2, z3 = normals(c2, c3)
        u, v = step(u, v, z0, z1)
        u, v = step(u, v, z2, z3)
    x[i] = u
    y[i] = v


class NumbaCudaEnsemble(Ensemble):
    chunk = 2
    version = f"Numba {numba.__version__}"

    def __init__(self, device):
        if device == "cpu" and not SIMULATED:
            raise RuntimeError("needs CUDA")
        if not SIMULATED and not cuda.is_available():
            raise RuntimeError("Numba finds no CUDA device")

    def synchronize(self):
        cuda.synchronize()

    def start(self, n):
        self.x, self.y = (cuda.to_device(np.full(n, s, np.float32)) for s in law.START)
        self.pair = 0

    def prepare(self, n):
        self.threads = 128
        if not SIMULATED:
            import time
            best = float("inf")
            for threads in (64, 128, 256):
                self.start(n)
                self.threads = threads
                self.run(64)
                cuda.synchronize()
                begin = time.perf_counter()
                self.run(512)
                cuda.synchronize()
                if time.perf_counter() - begin < best:
                    best, chosen = time.perf_counter() - begin, threads
            self.threads = chosen
        self.note = f"{self.threads} threads a block"
        self.start(n)

    def run(self, steps):
        pairs = (steps + 1) // 2
        blocks = -(-self.x.size // self.threads)
        advance[blocks, self.threads](self.x, self.y, self.pair, pairs, law.SEED, 0, law.STREAM)
        self.pair += pairs

    def states(self):
        return np.stack([self.x.copy_to_host(), self.y.copy_to_host()])


CONTESTANTS = {"Numba-CUDA in registers": NumbaCudaEnsemble}
