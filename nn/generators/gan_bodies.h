// Kernel bodies of GAN training. Rows are batch entries.
#pragma once

#include "nn/generators/penalty.h"
#include "nn/layers/mlp_bodies.h"
#include "nn/train/batch.h"
#include "nn/train/record.h"

namespace microlift {

// Generated states into the critic's fake rows, and points between real and fake into the mixed ones.
struct FakeBody {
    const TrainClock* clock;
    uint64 seed;
    uint32 steps, step;
    int states;
    const float *generated, *real;
    float *fake, *mixed;  // mixed may be null
    index generated_ld, critic_ld;
    template <class L>
    LANE_FN void operator()(L, index row, index place) const {
        constexpr int width = kWidth<L>;
        for (int w = 0; w < width; ++w)
            for (int d = 0; d < states; ++d)
                fake[(place + w) * critic_ld + d] = generated[(place + w) * generated_ld + d];
        if (!mixed) return;
        Uint<L> words[4];
        batch_words<L>(seed, kStreamPenalty, clock->iteration * steps + step, lane_numbers<L>(row),
                       words);
        float u[width];
        store(u, 0, uniform_open<L>(words[0]));
        for (int w = 0; w < width; ++w) {
            const index at = (place + w) * critic_ld;
            for (int d = 0; d < states; ++d)
                mixed[at + d] = fma(u[w], real[at + d] - fake[at + d], fake[at + d]);
        }
    }
    LANE_FN void operator()(index row) const { (*this)(float{}, row, row); }
};

// The penalty's value and its derivative by the input gradient g; only the state columns count.
// one_sided: weight·max(0, |g| − 1)², two_sided: weight·(|g| − 1)², relativistic: weight/2·|g|².
template <class Real>
struct PenaltyBody {
    Penalty kind;
    Real weight, scale;  // scale = 1/batch
    int states;
    const Real* gradient;
    Real *seed, *value;
    index ld;
    LANE_FN void operator()(index row) const { (*this)(row, row); }
    LANE_FN void operator()(index row, index place) const {
        const Real* g = gradient + place * ld;
        Real norm = 0;
        for (int d = 0; d < states; ++d) norm = fma(g[d], g[d], norm);
        Real factor = weight;
        if (kind == Penalty::relativistic) {
            value[row] = Real(0.5) * weight * norm;
        } else {
            norm = sqrt_exact(norm);
            Real excess = norm - Real(1);
            if (kind == Penalty::one_sided) excess = max(excess, Real(0));
            value[row] = weight * excess * excess;
            factor = Real(2) * weight * excess / max(norm, Real(1e-12));
        }
        for (int d = 0; d < states; ++d) seed[place * ld + d] = scale * factor * g[d];
    }
};

// Seeds of the relativistic losses softplus(D(fake) − D(real)) for the critic and
// softplus(D(real) − D(fake)) for the generator (Huang et al., 2024).
template <class Real>
struct RelativisticSeedBody {
    bool for_critic;
    Real scale;
    const Real *fake, *real;
    Real *fake_seed, *real_seed;  // real_seed may be null
    index ld;
    LANE_FN void operator()(index row) const {
        const Real gap = fake[row * ld] - real[row * ld];
        const Real s = sigmoid<Portable>(for_critic ? gap : -gap) * scale;
        fake_seed[row * ld] = for_critic ? s : -s;
        if (real_seed) real_seed[row * ld] = for_critic ? -s : s;
    }
};

// What the critic said of each row, kept for the history.
struct KeepOutputBody {
    const float* from;
    index ld;
    float* to;
    LANE_FN void operator()(index row, index place) const { to[row] = from[place * ld]; }
    LANE_FN void operator()(index row) const { (*this)(row, row); }
};

// The critic's gradient by its states, times *share, becomes the seed of the generator's reverse sweep.
template <class Real>
struct HandOverBody {
    int states;
    const float* share;  // null: 1
    const Real* from;
    Real* to;
    index from_ld, to_ld;
    LANE_FN void operator()(index row) const {
        const Real factor = share ? static_cast<Real>(*share) : Real(1);
        for (int d = 0; d < states; ++d) to[row * to_ld + d] = factor * from[row * from_ld + d];
    }
};

// Adds the gradient of the energy score (Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007) 359),
// E|x' − x| − ½ E|x' − x''| in whitened units, to the seed of the generator's reverse sweep: x' and x''
// are the states of rows 2i and 2i+1, x the sample whose condition both share. A proper score, so it
// pulls towards p(x|s) itself and steadies what the critic teaches.
template <class Real>
struct EnergyScoreBody {
    int states;
    Real scale;  // weight/batch
    index rows;
    const Real *generated, *real;
    Real* seed;
    index generated_ld, real_ld;
    LANE_FN void operator()(index row) const { (*this)(row, row); }
    // The pair's places are neighbours as its rows are: tiles begin at even rows.
    LANE_FN void operator()(index row, index place) const {
        const index other = row % 2 == 0 ? (row + 1 < rows ? 1 : 0) : -1;
        const Real* a = generated + place * generated_ld;
        const Real* b = a + other * generated_ld;
        const Real* x = real + place * real_ld;
        Real to_real = Real(1e-12), to_other = Real(1e-12);
        for (int d = 0; d < states; ++d) {
            to_real = fma(a[d] - x[d], a[d] - x[d], to_real);
            to_other = fma(a[d] - b[d], a[d] - b[d], to_other);
        }
        const Real wr = scale / sqrt_exact(to_real), wo = scale / sqrt_exact(to_other);
        for (int d = 0; d < states; ++d)
            seed[place * generated_ld + d] += wr * (a[d] - x[d]) - wo * (a[d] - b[d]);
    }
};

inline constexpr int kHistoryColumns = 4;  // iteration, Wasserstein estimate, penalty, generator loss

struct GanRecord {
    static constexpr int kSums = kHistoryColumns - 1;
    Schedule schedule;
    TrainClock* clock;
    // D of the last critic batch, D(fake) of the generator's; penalties by row and group.
    const float *fake, *real, *after, *penalty;
    // The critic's last bias: no loss depends on it, so rounding alone moves it, and it is taken off.
    const float* bias;
    index batch, penalties;
    float* history;
    LANE_FN index count(int c) const { return c == 1 ? penalties : batch; }
    LANE_FN double term(int c, index i) const {
        if (c == 1) return static_cast<double>(penalty[i]);
        return c == 0 ? static_cast<double>(real[i]) - static_cast<double>(fake[i])
                      : static_cast<double>(*bias) - static_cast<double>(after[i]);
    }
    LANE_FN void write(uint64 it, const double (&sums)[kSums]) const {
        const double scale = 1.0 / static_cast<double>(batch);
        float* row = history + static_cast<index>(it / schedule.stride) * kHistoryColumns;
        row[0] = static_cast<float>(it);
        for (int c = 0; c < kSums; ++c) {
            row[1 + c] = static_cast<float>(sums[c] * scale);
            note_bad(clock, it, 1 + c, row[1 + c]);
        }
    }
};

}  // namespace microlift
