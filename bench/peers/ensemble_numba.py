"""Numba, twice: a parallel loop over trajectories as one writes it, and one over blocks of them whose
innermost loop over the block's lanes LLVM turns into SIMD. Arithmetic, random numbers and polynomials are
those of microlift's portable mathematics: one Philox4x32-10 call keyed by (trajectory, stream, pair of
steps) feeds two steps through Box–Muller.
"""
import os

import llvmlite.binding
import numpy as np
from llvmlite import ir

# LLVM keeps to 256 bits on processors that it thinks slower with 512; here 512 is faster.
if "avx512f" in (features := llvmlite.binding.get_host_cpu_features().flatten()):
    os.environ.setdefault("NUMBA_CPU_NAME", llvmlite.binding.get_host_cpu_name())
    os.environ.setdefault("NUMBA_CPU_FEATURES", features + ",-prefer-256-bit")

import numba
from numba import njit, prange, types
from numba.extending import intrinsic

import law
from ensemble_numpy import Ensemble

LANES = 128
# All of LLVM's liberties but reassociation, which would undo the rounding inside exp.
FAST = {"nnan", "ninf", "nsz", "arcp", "contract", "afn"}
F = np.float32
U = np.uint32
I = np.int32


@intrinsic
def as_int(context, x):
    def generate(ctx, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))
    return types.int32(types.float32), generate


@intrinsic
def as_float(context, x):
    def generate(ctx, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())
    return types.float32(types.int32), generate


@intrinsic
def high_product(context, a, b):
    """The upper 32 bits of a product of two 32-bit numbers."""
    def generate(ctx, builder, signature, args):
        wide = ir.IntType(64)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 32)), ir.IntType(32))
    return types.uint32(types.uint32, types.uint32), generate


def _integer(operation):
    @intrinsic
    def function(context, a, b):
        def generate(ctx, builder, signature, args):
            return getattr(builder, operation)(args[0], args[1])
        return types.uint32(types.uint32, types.uint32), generate
    return function


# 32-bit throughout: Numba's own operators would widen to 64.
add32, mul32, xor32, and32, shl32, shr32, arithmetic_shift = (
    _integer(name) for name in ("add", "mul", "xor", "and_", "shl", "lshr", "ashr"))


@intrinsic
def signed(context, a):
    def generate(ctx, builder, signature, args):
        return builder.sitofp(args[0], ir.FloatType())
    return types.float32(types.uint32), generate


@intrinsic
def signed_int(context, a):
    return types.int32(types.uint32), lambda ctx, builder, signature, args: args[0]


@intrinsic
def unsigned_int(context, a):
    return types.uint32(types.int32), lambda ctx, builder, signature, args: args[0]


@njit(fastmath=FAST, inline="always")
def exp32(x):
    """2^n e^r: the sum with 1.5 2^23 holds n in its low bits."""
    x = min(F(88.02), max(F(-87.3), x))
    shifted = x * F(1.44269504) + F(12582912.0)
    n = shifted - F(12582912.0)
    r = n * F(-0.693359375) + x
    r = n * F(2.12194440e-4) + r
    p = F(1.381459879e-03)
    p = p * r + F(8.368716575e-03)
    p = p * r + F(4.166838899e-02)
    p = p * r + F(1.666652113e-01)
    p = p * r + F(4.999999404e-01)
    p = (p * r) * r + r + F(1.0)
    bits = unsigned_int(as_int(shifted))
    return as_float(signed_int(add32(unsigned_int(as_int(p)), shl32(bits, U(23)))))


@njit(fastmath=FAST, inline="always")
def minus_two_log(u):
    """u in (0, 1]."""
    shifted = add32(unsigned_int(as_int(u)), U(0x100000000 - 0x3f3504f3))
    e = signed(arithmetic_shift(shifted, U(23)))
    t = as_float(signed_int(add32(and32(shifted, U(0x007fffff)), U(0x3f3504f3)))) - F(1.0)
    p = F(-7.634497434e-02)
    p = p * t + F(1.276157796e-01)
    p = p * t + F(-1.316018254e-01)
    p = p * t + F(1.420175731e-01)
    p = p * t + F(-1.662335694e-01)
    p = p * t + F(2.000122666e-01)
    p = p * t + F(-2.500081956e-01)
    p = p * t + F(3.333333135e-01)
    t2 = t * t
    p = (p * t) * t2 + (t2 * F(-0.5) + t)
    return e * F(-2.0 * 0.69314718056) + p * F(-2.0)


@njit(fastmath=FAST, inline="always")
def normals(a, b):
    u = signed(shr32(a, U(1))) * F(2.0**-31) + F(2.0**-32)
    radius = np.sqrt(max(minus_two_log(u), F(1e-30)))
    t = signed(shl32(b, U(2))) * F(2.0**-31)
    t2 = t * t
    sine = t * (F(7.853981853e-01) + t2 * (F(-8.074543625e-02) +
                t2 * (F(2.490001032e-03) + t2 * F(-3.595045200e-05))))
    cosine = F(1.0) + t2 * (F(-3.084251285e-01) + t2 * (F(1.585432328e-02) +
             t2 * (F(-3.259365039e-04) + t2 * F(3.528761681e-06))))
    cosine = as_float(signed_int(xor32(unsigned_int(as_int(cosine)), and32(b, U(0x80000000)))))
    swap = and32(b, U(0x40000000)) != U(0)
    return (radius * (cosine if swap else sine), radius * (sine if swap else cosine))


@njit(inline="always")
def philox(c0, c1, c2, c3, k0, k1):
    for _ in range(10):
        h0 = high_product(U(0xD2511F53), c0)
        l0 = mul32(U(0xD2511F53), c0)
        h1 = high_product(U(0xCD9E8D57), c2)
        l1 = mul32(U(0xCD9E8D57), c2)
        c0 = xor32(xor32(h1, c1), k0)
        c1 = l1
        c2 = xor32(xor32(h0, c3), k1)
        c3 = l0
        k0 = add32(k0, U(0x9E3779B9))
        k1 = add32(k1, U(0xBB67AE85))
    return c0, c1, c2, c3


@njit(fastmath=FAST, inline="always")
def step(x, y, zx, zy):
    dt, sigma = F(law.DT), F(law.SIGMA)
    fx = F(-law.STIFFNESS) * (x - F(law.CENTER))
    dx = x - F(1.0)
    e = exp32(-(dx * dx) - F(10.0) * y * y) * F(200.0)
    fx += e * F(-2.0) * dx
    fy = e * F(-20.0) * y
    dy = y - F(0.5)
    e = exp32(-(x * x) - F(10.0) * dy * dy) * F(100.0)
    fx += e * F(-2.0) * x
    fy += e * F(-20.0) * dy
    dx = x + F(0.5)
    dy = y - F(1.5)
    qx = F(-13.0) * dx + F(11.0) * dy
    qy = F(11.0) * dx - F(13.0) * dy
    e = exp32(F(0.5) * (qx * dx + qy * dy)) * F(170.0)
    fx += e * qx
    fy += e * qy
    dx = x + F(1.0)
    dy = y - F(1.0)
    qx = F(1.4) * dx + F(0.6) * dy
    qy = F(0.6) * dx + F(1.4) * dy
    e = exp32(F(0.5) * (qx * dx + qy * dy)) * F(-15.0)
    fx += e * qx
    fy += e * qy
    return x + dt * fx + sigma * zx, y + dt * fy + sigma * zy


@njit(fastmath=FAST, inline="always")
def two_steps(x, y, number, pair, seed_low, seed_high, stream):
    r0, r1, r2, r3 = philox(number, stream, pair, U(0), seed_low, seed_high)
    z0, z1 = normals(r0, r1)
    z2, z3 = normals(r2, r3)
    x, y = step(x, y, z0, z1)
    return step(x, y, z2, z3)


@njit(fastmath=FAST, parallel=True, nogil=True)
def advance(x, y, first_pair, pairs, seed_low, seed_high, stream):
    n = x.size
    for block in prange((n + LANES - 1) // LANES):
        begin = block * LANES
        count = min(LANES, n - begin)
        lx = np.zeros(LANES, np.float32)
        ly = np.zeros(LANES, np.float32)
        for j in range(count):
            lx[j] = x[begin + j]
            ly[j] = y[begin + j]
        base = U(begin)
        for pair in range(first_pair, first_pair + pairs):
            block_word = U(pair)
            for j in range(LANES):
                lx[j], ly[j] = two_steps(lx[j], ly[j], add32(base, U(j)), block_word, seed_low,
                                         seed_high, stream)
        for j in range(count):
            x[begin + j] = lx[j]
            y[begin + j] = ly[j]


@njit(fastmath=FAST, parallel=True, nogil=True)
def advance_each(x, y, first_pair, pairs, seed_low, seed_high, stream):
    for i in prange(x.size):
        u, v = x[i], y[i]
        for pair in range(first_pair, first_pair + pairs):
            u, v = two_steps(u, v, U(i), U(pair), seed_low, seed_high, stream)
        x[i] = u
        y[i] = v


class NumbaEnsemble(Ensemble):
    chunk = 2
    version = f"Numba {numba.__version__}"
    advance = staticmethod(advance)

    def prepare(self, n):
        self.x, self.y = (np.full(n, s, np.float32) for s in law.START)
        self.pair = 0
        zero = np.zeros(1, np.float32)
        self.advance(zero, zero.copy(), 0, 1, U(law.SEED), U(0), U(law.STREAM))  # compiles

    def run(self, steps):
        pairs = (steps + 1) // 2
        self.advance(self.x, self.y, self.pair, pairs, U(law.SEED), U(0), U(law.STREAM))
        self.pair += pairs

    def states(self):
        return np.stack([self.x, self.y])


class NumbaLoop(NumbaEnsemble):
    advance = staticmethod(advance_each)


CONTESTANTS = {"numba": NumbaEnsemble, "numba, trajectory by trajectory": NumbaLoop}
