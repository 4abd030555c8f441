"""Triton: every program keeps its trajectories in registers over all steps of a launch. The random numbers
are those of microlift: one Philox4x32-10 call keyed by (trajectory, stream, pair of steps) feeds two steps.

TRITON_INTERPRET=1 runs it on a CPU, for a check and not for speed.
"""
import os

import torch
import triton
import triton.language as tl

import law
from ensemble_torch import TorchEnsemble


@triton.jit
def normals(a, b):
    u = (a >> 1).to(tl.float32) * 4.656612873077393e-10 + 2.3283064365386963e-10
    radius = tl.sqrt(-2.0 * tl.log(u))
    angle = b.to(tl.float32) * 1.4629180792671596e-09
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def term(fx, fy, x, y, AMPLITUDE: tl.constexpr, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr,
         X0: tl.constexpr, Y0: tl.constexpr):
    dx = x - X0
    dy = y - Y0
    qx = 2.0 * A * dx + B * dy
    qy = 2.0 * C * dy + B * dx
    e = -AMPLITUDE * tl.exp(0.5 * (qx * dx + qy * dy))
    return fx + e * qx, fy + e * qy


@triton.jit
def step(x, y, zx, zy, CENTER: tl.constexpr, STIFFNESS: tl.constexpr, DT: tl.constexpr,
         SIGMA: tl.constexpr):
    fx = STIFFNESS * (CENTER - x)
    fy = y * 0.0
    fx, fy = term(fx, fy, x, y, -200.0, -1.0, 0.0, -10.0, 1.0, 0.0)
    fx, fy = term(fx, fy, x, y, -100.0, -1.0, 0.0, -10.0, 0.0, 0.5)
    fx, fy = term(fx, fy, x, y, -170.0, -6.5, 11.0, -6.5, -0.5, 1.5)
    fx, fy = term(fx, fy, x, y, 15.0, 0.7, 0.6, 0.7, -1.0, 1.0)
    return x + DT * fx + SIGMA * zx, y + DT * fy + SIGMA * zy


@triton.jit
def advance(x_at, y_at, n, first_pair, pairs, seed, STREAM: tl.constexpr, CENTER: tl.constexpr,
            STIFFNESS: tl.constexpr, DT: tl.constexpr, SIGMA: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_at + i, mask=mask, other=0.6)
    y = tl.load(y_at + i, mask=mask, other=0.0)
    zero = tl.zeros([BLOCK], tl.uint32)
    for pair in range(first_pair, first_pair + pairs):
        r0, r1, r2, r3 = tl.philox(seed, i.to(tl.uint32), zero + STREAM, (zero + pair).to(tl.uint32),
                                   zero)
        z0, z1 = normals(r0, r1)
        z2, z3 = normals(r2, r3)
        x, y = step(x, y, z0, z1, CENTER, STIFFNESS, DT, SIGMA)
        x, y = step(x, y, z2, z3, CENTER, STIFFNESS, DT, SIGMA)
    tl.store(x_at + i, x, mask=mask)
    tl.store(y_at + i, y, mask=mask)


class TritonEnsemble(TorchEnsemble):
    chunk = 2
    version = f"Triton {triton.__version__}"

    def __init__(self, device):
        if device == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            raise RuntimeError("needs CUDA")
        super().__init__(device)

    def prepare(self, n):
        # The best of a few shapes, by time.
        shapes = ((128, 4), (256, 4), (256, 8), (512, 4), (128, 1), (64, 1), (32, 1))
        self.shape = shapes[0]
        if self.device.type == "cuda":
            best = float("inf")
            for shape in shapes:
                super().prepare(n)
                self.pair, self.shape = 0, shape
                self.run(64)
                start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                self.run(512)
                end.record()
                end.synchronize()
                if start.elapsed_time(end) < best:
                    best, chosen = start.elapsed_time(end), shape
            self.shape = chosen
        self.note = f"block {self.shape[0]}, {self.shape[1]} warps"
        super().prepare(n)
        self.pair = 0

    def run(self, steps):
        pairs = (steps + 1) // 2
        block, warps = self.shape
        n = self.x.numel()
        advance[(triton.cdiv(n, block),)](
            self.x, self.y, n, self.pair, pairs, law.SEED, STREAM=law.STREAM, CENTER=law.CENTER,
            STIFFNESS=law.STIFFNESS, DT=law.DT, SIGMA=law.SIGMA, BLOCK=block, num_warps=warps)
        self.pair += pairs


CONTESTANTS = {"Triton in registers": TritonEnsemble}
