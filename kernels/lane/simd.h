// Pack<T, W>: W numbers in SIMD registers, with the operations that lane.h gives to plain numbers.
// CPU only. Every operation is IEEE, so a pack computes the same bits as W single lanes.
#pragma once

#include <cstring>

#include "kernels/lane/lane.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
// g++ 12 takes its own _mm512_undefined_ps() for a mistake.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#endif

namespace microlift {

#if defined(__AVX512F__)
inline constexpr int kNativeWidth = 16;
#elif defined(__AVX2__)
inline constexpr int kNativeWidth = 8;
#else
inline constexpr int kNativeWidth = 4;
#endif

template <class T, int W>
struct Pack {
    typedef T V __attribute__((vector_size(sizeof(T) * W)));
    V v;
};

template <int Bytes>
struct SignedOf;
template <>
struct SignedOf<4> {
    using Int = int32;
    using Uint = uint32;
};
template <>
struct SignedOf<8> {
    using Int = int64;
    using Uint = uint64;
};

// All bits of a lane are set where the condition holds.
template <int Bytes, int W>
struct PackMask {
    typedef typename SignedOf<Bytes>::Int V
        __attribute__((vector_size(sizeof(typename SignedOf<Bytes>::Int) * W)));
    V v;
};

template <class T, int W>
struct LaneTraits<Pack<T, W>> {
    using Scalar = T;
    using Int = Pack<typename SignedOf<sizeof(T)>::Int, W>;
    using Uint = Pack<typename SignedOf<sizeof(T)>::Uint, W>;
    using Mask = PackMask<sizeof(T), W>;
    static constexpr int width = W;
};

using NativeLane = Pack<float, kNativeWidth>;
using NativeLaneDouble = Pack<double, kNativeWidth / 2>;

#define MICROLIFT_PACK_OPERATOR(op)                                                      \
    template <class T, int W>                                                            \
    LANE_FN Pack<T, W> operator op(Pack<T, W> a, Pack<T, W> b) {                         \
        return {a.v op b.v};                                                             \
    }                                                                                    \
    template <class T, int W>                                                            \
    LANE_FN Pack<T, W> operator op(Pack<T, W> a, T b) {                                  \
        return {a.v op b};                                                               \
    }                                                                                    \
    template <class T, int W>                                                            \
    LANE_FN Pack<T, W> operator op(T a, Pack<T, W> b) {                                  \
        return {a op b.v};                                                               \
    }
MICROLIFT_PACK_OPERATOR(+)
MICROLIFT_PACK_OPERATOR(-)
MICROLIFT_PACK_OPERATOR(*)
MICROLIFT_PACK_OPERATOR(/)
MICROLIFT_PACK_OPERATOR(&)
MICROLIFT_PACK_OPERATOR(|)
MICROLIFT_PACK_OPERATOR(^)
#undef MICROLIFT_PACK_OPERATOR

template <class T, int W>
LANE_FN Pack<T, W> operator-(Pack<T, W> a) {
    return {-a.v};
}
template <class T, int W>
LANE_FN Pack<T, W> operator<<(Pack<T, W> a, int n) {
    return {a.v << n};
}
template <class T, int W>
LANE_FN Pack<T, W> operator>>(Pack<T, W> a, int n) {
    return {a.v >> n};
}
template <class T, int W>
LANE_FN Pack<T, W>& operator+=(Pack<T, W>& a, Pack<T, W> b) {
    a.v += b.v;
    return a;
}
template <class T, int W>
LANE_FN Pack<T, W>& operator-=(Pack<T, W>& a, Pack<T, W> b) {
    a.v -= b.v;
    return a;
}

#define MICROLIFT_PACK_COMPARISON(op)                                                    \
    template <class T, int W>                                                            \
    LANE_FN PackMask<sizeof(T), W> operator op(Pack<T, W> a, Pack<T, W> b) {             \
        return {a.v op b.v};                                                             \
    }                                                                                    \
    template <class T, int W>                                                            \
    LANE_FN PackMask<sizeof(T), W> operator op(Pack<T, W> a, T b) {                      \
        return {a.v op b};                                                               \
    }
MICROLIFT_PACK_COMPARISON(<)
MICROLIFT_PACK_COMPARISON(<=)
MICROLIFT_PACK_COMPARISON(>)
MICROLIFT_PACK_COMPARISON(>=)
MICROLIFT_PACK_COMPARISON(==)
MICROLIFT_PACK_COMPARISON(!=)
#undef MICROLIFT_PACK_COMPARISON

template <int B, int W>
LANE_FN PackMask<B, W> operator!(PackMask<B, W> m) {
    return {~m.v};
}
template <int B, int W>
LANE_FN PackMask<B, W> operator&(PackMask<B, W> a, PackMask<B, W> b) {
    return {a.v & b.v};
}
template <int B, int W>
LANE_FN PackMask<B, W> operator|(PackMask<B, W> a, PackMask<B, W> b) {
    return {a.v | b.v};
}
template <int B, int W>
LANE_FN bool any(PackMask<B, W> m) {
    bool r = false;
    for (int j = 0; j < W; ++j) r |= m.v[j] != 0;
    return r;
}

template <class T, int W>
LANE_FN Pack<T, W> select(PackMask<sizeof(T), W> m, Pack<T, W> a, Pack<T, W> b) {
    return {m.v ? a.v : b.v};
}
template <class T, int W>
LANE_FN Pack<T, W> min(Pack<T, W> a, Pack<T, W> b) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4 && W == 16)
        return {(typename Pack<T, W>::V)_mm512_min_ps((__m512)a.v, (__m512)b.v)};
#endif
#if defined(__AVX__)
    if constexpr (sizeof(T) == 4 && W == 8)
        return {(typename Pack<T, W>::V)_mm256_min_ps((__m256)a.v, (__m256)b.v)};
#endif
    return {a.v < b.v ? a.v : b.v};
}
template <class T, int W>
LANE_FN Pack<T, W> max(Pack<T, W> a, Pack<T, W> b) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4 && W == 16)
        return {(typename Pack<T, W>::V)_mm512_max_ps((__m512)a.v, (__m512)b.v)};
#endif
#if defined(__AVX__)
    if constexpr (sizeof(T) == 4 && W == 8)
        return {(typename Pack<T, W>::V)_mm256_max_ps((__m256)a.v, (__m256)b.v)};
#endif
    return {a.v > b.v ? a.v : b.v};
}

template <int W>
LANE_FN Pack<uint32, W> as_uint(Pack<float, W> a) {
    using R = Pack<uint32, W>;
    return __builtin_bit_cast(R, a);
}
template <int W>
LANE_FN Pack<uint64, W> as_uint(Pack<double, W> a) {
    using R = Pack<uint64, W>;
    return __builtin_bit_cast(R, a);
}
template <int W>
LANE_FN Pack<float, W> as_float(Pack<uint32, W> a) {
    using R = Pack<float, W>;
    return __builtin_bit_cast(R, a);
}
template <int W>
LANE_FN Pack<double, W> as_float(Pack<uint64, W> a) {
    using R = Pack<double, W>;
    return __builtin_bit_cast(R, a);
}
template <int W>
LANE_FN Pack<int32, W> as_int(Pack<uint32, W> a) {
    using R = Pack<int32, W>;
    return __builtin_bit_cast(R, a);
}
template <int W>
LANE_FN Pack<int64, W> as_int(Pack<uint64, W> a) {
    using R = Pack<int64, W>;
    return __builtin_bit_cast(R, a);
}
template <int W>
LANE_FN Pack<float, W> abs(Pack<float, W> a) {
    return as_float(as_uint(a) & 0x7fffffffu);
}
template <int W>
LANE_FN Pack<double, W> abs(Pack<double, W> a) {
    return as_float(as_uint(a) & static_cast<uint64>(0x7fffffffffffffffull));
}
template <int W>
LANE_FN Pack<float, W> to_float(Pack<int32, W> a) {
    using V = typename Pack<float, W>::V;
    return {__builtin_convertvector(a.v, V)};
}
template <int W>
LANE_FN Pack<double, W> to_float(Pack<int64, W> a) {
    using V = typename Pack<double, W>::V;
    return {__builtin_convertvector(a.v, V)};
}

#if defined(__x86_64__) && !defined(__FMA__)
// Two lanes of the fma in lane.h: a b + c in double, rounded to odd.
LANE_FN __m128d fma_odd(__m128 a, __m128 b, __m128 c) {
    typedef long long I __attribute__((vector_size(16)));
    const __m128d p = _mm_cvtps_pd(a) * _mm_cvtps_pd(b), d = _mm_cvtps_pd(c);
    const __m128d s = p + d, back = s - p;
    const __m128d error = (p - (s - back)) + (d - back);
    const I inexact = (I)_mm_or_pd(_mm_cmplt_pd(error, _mm_setzero_pd()),
                                   _mm_cmpgt_pd(error, _mm_setzero_pd()));
    const I even = ((I)s & 1) - 1;
    const __m128i signs = _mm_srai_epi32((__m128i)((I)error ^ (I)s), 31);
    const I step = (I)_mm_shuffle_epi32(signs, _MM_SHUFFLE(3, 3, 1, 1)) | 1;
    return (__m128d)((I)s + (step & inexact & even));
}
#endif

template <class T, int W>
LANE_FN Pack<T, W> fma(Pack<T, W> a, Pack<T, W> b, Pack<T, W> c) {
#if defined(__x86_64__) && !defined(__FMA__)
    if constexpr (sizeof(T) == 4 && W == 4) {
        const __m128 x = (__m128)a.v, y = (__m128)b.v, z = (__m128)c.v;
        const __m128d low = fma_odd(x, y, z);
        const __m128d high =
            fma_odd(_mm_movehl_ps(x, x), _mm_movehl_ps(y, y), _mm_movehl_ps(z, z));
        return {(typename Pack<T, W>::V)_mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high))};
    }
#endif
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4 && W == 16)
        return {(typename Pack<T, W>::V)_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)};
    if constexpr (sizeof(T) == 8 && W == 8)
        return {(typename Pack<T, W>::V)_mm512_fmadd_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v)};
#endif
#if defined(__FMA__)
    if constexpr (sizeof(T) == 4 && W == 8)
        return {(typename Pack<T, W>::V)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v)};
    if constexpr (sizeof(T) == 8 && W == 4)
        return {(typename Pack<T, W>::V)_mm256_fmadd_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v)};
    if constexpr (sizeof(T) == 4 && W == 4)
        return {(typename Pack<T, W>::V)_mm_fmadd_ps((__m128)a.v, (__m128)b.v, (__m128)c.v)};
    if constexpr (sizeof(T) == 8 && W == 2)
        return {(typename Pack<T, W>::V)_mm_fmadd_pd((__m128d)a.v, (__m128d)b.v, (__m128d)c.v)};
#endif
    Pack<T, W> r;
    for (int j = 0; j < W; ++j) r.v[j] = fma(T(a.v[j]), T(b.v[j]), T(c.v[j]));
    return r;
}

#if defined(__AVX512F__)
template <>
LANE_FN Pack<float, 16> fms(Pack<float, 16> a, Pack<float, 16> b, Pack<float, 16> c) {
    return {(Pack<float, 16>::V)_mm512_fmsub_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)};
}
template <>
LANE_FN Pack<float, 16> fnma(Pack<float, 16> a, Pack<float, 16> b, Pack<float, 16> c) {
    return {(Pack<float, 16>::V)_mm512_fnmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)};
}
template <>
LANE_FN Pack<float, 16> fnms(Pack<float, 16> a, Pack<float, 16> b, Pack<float, 16> c) {
    return {(Pack<float, 16>::V)_mm512_fnmsub_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)};
}
#endif

template <class T, int W>
LANE_FN Pack<T, W> sqrt_exact(Pack<T, W> a) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4 && W == 16)
        return {(typename Pack<T, W>::V)_mm512_sqrt_ps((__m512)a.v)};
    if constexpr (sizeof(T) == 8 && W == 8)
        return {(typename Pack<T, W>::V)_mm512_sqrt_pd((__m512d)a.v)};
#endif
#if defined(__AVX__)
    if constexpr (sizeof(T) == 4 && W == 8)
        return {(typename Pack<T, W>::V)_mm256_sqrt_ps((__m256)a.v)};
    if constexpr (sizeof(T) == 8 && W == 4)
        return {(typename Pack<T, W>::V)_mm256_sqrt_pd((__m256d)a.v)};
#endif
#if defined(__x86_64__)
    if constexpr (sizeof(T) == 4 && W == 4)
        return {(typename Pack<T, W>::V)_mm_sqrt_ps((__m128)a.v)};
#endif
    Pack<T, W> r;
    for (int j = 0; j < W; ++j) r.v[j] = sqrt_exact(T(a.v[j]));
    return r;
}

template <int W>
LANE_FN void mul_hi_lo(uint32 m, Pack<uint32, W> a, Pack<uint32, W>& hi, Pack<uint32, W>& lo) {
#if defined(__AVX512F__)
    if constexpr (W == 16) {
        const __m512i factor = _mm512_set1_epi32(static_cast<int>(m));
        const __m512i even = _mm512_mul_epu32((__m512i)a.v, factor);
        const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a.v, 32), factor);
        hi.v = (typename Pack<uint32, W>::V)_mm512_mask_shuffle_epi32(odd, 0x5555, even,
                                                                     _MM_PERM_DDBB);
        lo.v = (typename Pack<uint32, W>::V)_mm512_mask_shuffle_epi32(even, 0xAAAA, odd,
                                                                     _MM_PERM_CCAA);
        return;
    }
#endif
#if defined(__AVX2__)
    if constexpr (W == 8) {
        const __m256i factor = _mm256_set1_epi32(static_cast<int>(m));
        const __m256i even = _mm256_mul_epu32((__m256i)a.v, factor);
        const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a.v, 32), factor);
        hi.v = (typename Pack<uint32, W>::V)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd,
                                                               0xAA);
        lo.v = (typename Pack<uint32, W>::V)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32),
                                                               0xAA);
        return;
    }
#endif
#if defined(__x86_64__)
    if constexpr (W == 4) {
        const __m128i factor = _mm_set1_epi32(static_cast<int>(m));
        const __m128i even = _mm_mul_epu32((__m128i)a.v, factor);
        const __m128i odd = _mm_mul_epu32(_mm_srli_epi64((__m128i)a.v, 32), factor);
        const __m128i upper = _mm_set_epi32(-1, 0, -1, 0);
        hi.v = (typename Pack<uint32, W>::V)_mm_or_si128(_mm_srli_epi64(even, 32),
                                                         _mm_and_si128(upper, odd));
        lo.v = (typename Pack<uint32, W>::V)_mm_or_si128(_mm_andnot_si128(upper, even),
                                                         _mm_slli_epi64(odd, 32));
        return;
    }
#endif
    for (int j = 0; j < W; ++j) {
        uint32 h, l;
        mul_hi_lo(m, uint32(a.v[j]), h, l);
        hi.v[j] = h;
        lo.v[j] = l;
    }
}

template <class T, int W>
struct LaneOps<Pack<T, W>> {
    static LANE_FN Pack<T, W> broadcast(T x) {
        Pack<T, W> r;
        r.v = x - typename Pack<T, W>::V{};
        return r;
    }
    static LANE_FN Pack<T, W> load(const T* p) {
        Pack<T, W> r;
        std::memcpy(&r, p, sizeof r);
        return r;
    }
    static LANE_FN void store(T* p, Pack<T, W> x) { std::memcpy(p, &x, sizeof x); }
    // Calls, not inlined: a loop needs them once, and they would fill its code.
    [[gnu::noinline]] static Pack<T, W> load_part(const T* p, int lanes) {
        Pack<T, W> r;
        for (int j = 0; j < W; ++j) r.v[j] = p[j < lanes ? j : lanes - 1];
        return r;
    }
    [[gnu::noinline]] static void store_part(T* p, Pack<T, W> x, int lanes) {
        for (int j = 0; j < lanes; ++j) p[j] = x.v[j];
    }
    static LANE_FN typename LaneTraits<Pack<T, W>>::Uint iota(
        typename SignedOf<sizeof(T)>::Uint first) {
        typename LaneTraits<Pack<T, W>>::Uint r;
        for (int j = 0; j < W; ++j) r.v[j] = first + static_cast<unsigned>(j);
        return r;
    }
};

// Transposes rows of four in registers: a load of 16 bytes a lane, where a gather would take four instructions that
// each fetch every lane apart.
template <int W>
LANE_FN void load_fours(const float* table, Pack<uint32, W> group, Pack<float, W> (&out)[4]) {
    uint32 of[W];
    std::memcpy(of, &group, sizeof of);
    const auto from = [&](int lane) { return table + 4 * static_cast<index>(of[lane]); };
#if defined(__AVX512F__)
    if constexpr (W == 16) {
        const auto half = [&](int m) {
            return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from(m))), _mm_loadu_ps(from(4 + m)), 1);
        };
        const auto row = [&](int m) {
            return _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_castps_pd(half(m))),
                                                       _mm256_castps_pd(half(8 + m)), 1));
        };
        const __m512 a = row(0), b = row(1), c = row(2), d = row(3);
        const __m512d ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)), cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
        const __m512d ab2 = _mm512_castps_pd(_mm512_unpackhi_ps(a, b)), cd2 = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
        out[0].v = (typename Pack<float, W>::V)_mm512_unpacklo_pd(ab, cd);
        out[1].v = (typename Pack<float, W>::V)_mm512_unpackhi_pd(ab, cd);
        out[2].v = (typename Pack<float, W>::V)_mm512_unpacklo_pd(ab2, cd2);
        out[3].v = (typename Pack<float, W>::V)_mm512_unpackhi_pd(ab2, cd2);
        return;
    }
#endif
#if defined(__AVX__)
    if constexpr (W == 8) {
        const auto row = [&](int m) {
            return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from(m))), _mm_loadu_ps(from(4 + m)), 1);
        };
        const __m256 a = row(0), b = row(1), c = row(2), d = row(3);
        const __m256d ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b)), cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
        const __m256d ab2 = _mm256_castps_pd(_mm256_unpackhi_ps(a, b)), cd2 = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
        out[0].v = (typename Pack<float, W>::V)_mm256_unpacklo_pd(ab, cd);
        out[1].v = (typename Pack<float, W>::V)_mm256_unpackhi_pd(ab, cd);
        out[2].v = (typename Pack<float, W>::V)_mm256_unpacklo_pd(ab2, cd2);
        out[3].v = (typename Pack<float, W>::V)_mm256_unpackhi_pd(ab2, cd2);
        return;
    }
#endif
#if defined(__x86_64__)
    if constexpr (W == 4) {
        __m128 a = _mm_loadu_ps(from(0)), b = _mm_loadu_ps(from(1)), c = _mm_loadu_ps(from(2)), d = _mm_loadu_ps(from(3));
        _MM_TRANSPOSE4_PS(a, b, c, d);
        out[0].v = (typename Pack<float, W>::V)a;
        out[1].v = (typename Pack<float, W>::V)b;
        out[2].v = (typename Pack<float, W>::V)c;
        out[3].v = (typename Pack<float, W>::V)d;
        return;
    }
#endif
    for (int j = 0; j < W; ++j)
        for (int k = 0; k < 4; ++k) out[k].v[j] = from(j)[k];
}

template <class T, int W>
LANE_FN T get_lane(Pack<T, W> x, int j) {
    return x.v[j];
}
template <int B, int W>
LANE_FN bool get_lane(PackMask<B, W> m, int j) {
    return m.v[j] != 0;
}

}  // namespace microlift
