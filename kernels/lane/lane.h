// kernels/: what one lane computes. No allocation, no stream, no host state. May include only kernels/.
//
// A lane type L is what one kernel body is written in: plain float (one CUDA thread, or the tail of a
// loop on the CPU) or Pack<float, W> (a SIMD register, kernels/lane/simd.h). double works the same way.
// This header also compiles under NVRTC, so it includes nothing.
#pragma once

#if defined(__CUDACC__)
#define LANE_FN __host__ __device__ __forceinline__
#define LANE_CALL __host__ __device__ inline
#define HOST_PASS_BEGIN namespace cuda_pass {  // host functions there only instantiate the kernels
#define LANE_UNROLL _Pragma("unroll")
#define LANE_ROLLED_FOR _Pragma("unroll 1") for  // of a loop that turns a few times at most
#define HOST_PASS_END }
#else
#define LANE_FN inline __attribute__((always_inline))
// What is rare: on the CPU a call, so that it neither fills the loop nor is compiled for each of them.
#define LANE_CALL inline __attribute__((noinline))
#define HOST_PASS_BEGIN
#define HOST_PASS_END
#define LANE_UNROLL _Pragma("GCC unroll 64")
#define LANE_ROLLED_FOR for
#endif

namespace microlift {

using index = long long;
using int32 = int;
using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;

// --- the types that go with a lane type --------------------------------------------------------

template <class L>
struct LaneTraits;

template <>
struct LaneTraits<float> {
    using Scalar = float;
    using Int = int32;
    using Uint = uint32;
    using Mask = bool;
    static constexpr int width = 1;
};

template <>
struct LaneTraits<double> {
    using Scalar = double;
    using Int = int64;
    using Uint = uint64;
    using Mask = bool;
    static constexpr int width = 1;
};

template <class L>
using Scalar = typename LaneTraits<L>::Scalar;
template <class L>
using Int = typename LaneTraits<L>::Int;
template <class L>
using Uint = typename LaneTraits<L>::Uint;
template <class L>
using Mask = typename LaneTraits<L>::Mask;
template <class L>
inline constexpr int kWidth = LaneTraits<L>::width;

// --- width 1 -------------------------------------------------------------------------------------

#if defined(__CUDA_ARCH__)
LANE_FN float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
LANE_FN double fma(double a, double b, double c) { return __fma_rn(a, b, c); }
LANE_FN float sqrt_exact(float a) { return __fsqrt_rn(a); }
LANE_FN double sqrt_exact(double a) { return __dsqrt_rn(a); }
LANE_FN uint32 as_uint(float a) { return __float_as_uint(a); }
LANE_FN uint64 as_uint(double a) { return static_cast<uint64>(__double_as_longlong(a)); }
LANE_FN float as_float(uint32 a) { return __uint_as_float(a); }
LANE_FN double as_float(uint64 a) { return __longlong_as_double(static_cast<int64>(a)); }
LANE_FN float to_float(int32 a) { return __int2float_rn(a); }
#else
#if defined(__x86_64__) && !defined(__FMA__) && !defined(__CUDACC__)
// Without the instruction the library's fma takes a microsecond. The product is exact in double; the sum,
// rounded there to odd, rounds to float as the exact one does (Boldo, Melquiond, IEEE Trans. Comput. 57
// (2008) 462).
LANE_FN float fma(float a, float b, float c) {
    const double p = static_cast<double>(a) * static_cast<double>(b), d = static_cast<double>(c);
    const double s = p + d, back = s - p;
    const double error = (p - (s - back)) + (d - back);
    uint64 bits = __builtin_bit_cast(uint64, s);
    if ((error < 0 || error > 0) && !(bits & 1)) bits += (error < 0) == (s < 0) ? 1ull : ~0ull;
    return static_cast<float>(__builtin_bit_cast(double, bits));
}
#else
LANE_FN float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#endif
LANE_FN double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
LANE_FN float sqrt_exact(float a) { return __builtin_sqrtf(a); }
LANE_FN double sqrt_exact(double a) { return __builtin_sqrt(a); }
LANE_FN uint32 as_uint(float a) { return __builtin_bit_cast(uint32, a); }
LANE_FN uint64 as_uint(double a) { return __builtin_bit_cast(uint64, a); }
LANE_FN float as_float(uint32 a) { return __builtin_bit_cast(float, a); }
LANE_FN double as_float(uint64 a) { return __builtin_bit_cast(double, a); }
LANE_FN float to_float(int32 a) { return static_cast<float>(a); }
#endif

LANE_FN double to_float(int64 a) { return static_cast<double>(a); }
LANE_FN float select(bool m, float a, float b) { return m ? a : b; }
LANE_FN double select(bool m, double a, double b) { return m ? a : b; }
LANE_FN uint32 select(bool m, uint32 a, uint32 b) { return m ? a : b; }
LANE_FN bool any(bool m) { return m; }
// min and max return the second argument when either is NaN, as the SSE instructions do.
LANE_FN float min(float a, float b) { return a < b ? a : b; }
LANE_FN float max(float a, float b) { return a > b ? a : b; }
LANE_FN double min(double a, double b) { return a < b ? a : b; }
LANE_FN double max(double a, double b) { return a > b ? a : b; }
LANE_FN float abs(float a) { return as_float(as_uint(a) & 0x7fffffffu); }
LANE_FN double abs(double a) { return as_float(as_uint(a) & 0x7fffffffffffffffull); }

// The 64-bit product of a uniform constant and a lane value, as high and low halves.
LANE_FN void mul_hi_lo(uint32 m, uint32 a, uint32& hi, uint32& lo) {
#if defined(__CUDA_ARCH__)
    // One instruction; from a 64-bit product ptxas makes a second one that adds 0.
    uint64 product;
    asm("mul.wide.u32 %0, %1, %2;" : "=l"(product) : "r"(a), "r"(m));
#else
    const uint64 product = static_cast<uint64>(m) * a;
#endif
    hi = static_cast<uint32>(product >> 32);
    lo = static_cast<uint32>(product);
}

template <class L>
struct LaneOps;

template <>
struct LaneOps<float> {
    static LANE_FN float broadcast(float x) { return x; }
    static LANE_FN float load(const float* p) { return *p; }
    static LANE_FN void store(float* p, float x) { *p = x; }
    static LANE_FN uint32 iota(uint32 first) { return first; }
};

template <>
struct LaneOps<double> {
    static LANE_FN double broadcast(double x) { return x; }
    static LANE_FN double load(const double* p) { return *p; }
    static LANE_FN void store(double* p, double x) { *p = x; }
    static LANE_FN uint64 iota(uint64 first) { return first; }
};

// --- what every lane type offers -------------------------------------------------------------------

template <class L>
LANE_FN L broadcast(Scalar<L> x) {
    return LaneOps<L>::broadcast(x);
}

// Lane j of the result is p[i + j].
template <class L>
LANE_FN L load(const Scalar<L>* p, index i) {
    return LaneOps<L>::load(p + i);
}

template <class L>
LANE_FN void store(Scalar<L>* p, index i, L x) {
    LaneOps<L>::store(p + i, x);
}

// Lanes i, i + 1, … of which so many lie before n: all but in the last pack.
template <class L>
LANE_FN int lanes_before(index n, index i) {
    constexpr int W = kWidth<L>;
    if constexpr (W == 1)
        return 1;
    else
        return n - i < W ? static_cast<int>(n - i) : W;
}

// Only the first `lanes` of a pack are memory's: the others repeat the last of them, and are not stored.
template <class L>
LANE_FN L load(const Scalar<L>* p, index i, int lanes) {
    if constexpr (kWidth<L> > 1)
        if (lanes < kWidth<L>) return LaneOps<L>::load_part(p + i, lanes);
    return load<L>(p, i);
}
template <class L>
LANE_FN void store(Scalar<L>* p, index i, L x, int lanes) {
    if constexpr (kWidth<L> > 1)
        if (lanes < kWidth<L>) return LaneOps<L>::store_part(p + i, x, lanes);
    store(p, i, x);
}

// Lane j of the result is first + j.
template <class L>
LANE_FN Uint<L> lane_numbers(index first) {
    return LaneOps<L>::iota(static_cast<decltype(as_uint(Scalar<L>{}))>(first));
}

// out[k] = table[4 · group + k] of each lane; on CUDA the table begins at a multiple of 16 bytes.
LANE_FN void load_fours(const float* table, uint32 group, float (&out)[4]) {
#if defined(__CUDA_ARCH__)
    const float4 four = reinterpret_cast<const float4*>(table)[group];
    out[0] = four.x, out[1] = four.y, out[2] = four.z, out[3] = four.w;
#else
    for (int k = 0; k < 4; ++k) out[k] = table[4 * static_cast<index>(group) + k];
#endif
}

LANE_FN float get_lane(float x, int) { return x; }
LANE_FN double get_lane(double x, int) { return x; }
LANE_FN uint32 get_lane(uint32 x, int) { return x; }
LANE_FN bool get_lane(bool x, int) { return x; }

// a*b - c, c - a*b and -a*b - c, in one rounding.
template <class L>
LANE_FN L fms(L a, L b, L c) {
    return fma(a, b, -c);
}
template <class L>
LANE_FN L fnma(L a, L b, L c) {
    return fma(-a, b, c);
}
template <class L>
LANE_FN L fnms(L a, L b, L c) {
    return fma(-a, b, -c);
}
#if defined(__CUDA_ARCH__)
// The negation becomes a modifier of the FFMA; a plain minus would make a second product where a is one.
LANE_FN float fnma(float a, float b, float c) {
    float negative;
    asm("neg.f32 %0, %1;" : "=f"(negative) : "f"(a));
    return __fmaf_rn(negative, b, c);
}
#endif
template <class L>
LANE_FN L square(L a) {
    return a * a;
}

// True where x is infinite or NaN.
template <class L>
LANE_FN Mask<L> is_bad(L x) {
    return !(abs(x) <= broadcast<L>(static_cast<Scalar<L>>(3.4028234e38)));
}

// --- words shared by lanes -----------------------------------------------------------------------

LANE_FN void atomic_add(uint64* p, uint64 x) {
#if defined(__CUDA_ARCH__)
    atomicAdd(p, x);
#else
    __atomic_fetch_add(p, x, __ATOMIC_RELAXED);
#endif
}

LANE_FN void atomic_min(uint64* p, uint64 x) {
#if defined(__CUDA_ARCH__)
    atomicMin(p, x);
#else
    uint64 old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (x < old &&
           !__atomic_compare_exchange_n(p, &old, x, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
#endif
}

}  // namespace microlift
