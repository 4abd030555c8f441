#include "sampling/dynamics/bytecode_path.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/stop.h"
#include "kernels/random/streams.h"
#include "sampling/dynamics/compiled_path.h"
#include "sampling/dynamics/cuda_path.h"

namespace microlift {

namespace {

using L = NativeLane;
constexpr int W = kNativeWidth;

// A program output as a source of packs: a slot of the tile, or one constant.
struct Source {
    const float* slot = nullptr;
    float value = 0.0f;
    LANE_FN L at(int lane) const { return slot ? load<L>(slot, lane) : broadcast<L>(value); }
    bool is_zero() const { return !slot && value == 0.0f; }
};

// Noise of one variable, its amplitude and slope known: what the integrators' add_noise expects.
struct ScaledNoise {
    L sigma, slope = broadcast<L>(0.0f);
    LANE_FN void add_noise(const L (&)[1], const L (&z)[1], float s, L (&f)[1]) const {
        f[0] = fma(sigma * broadcast<L>(s), z[0], f[0]);
    }
    LANE_FN void add_noise_slope(const L (&)[1], const L (&z)[1], float s, L (&f)[1]) const {
        f[0] = fma(slope * broadcast<L>(s), z[0], f[0]);
    }
};

// Takes down which normals an integrator adds.
struct NormalsAlone {
    L& normals;
    void add_noise(const L (&)[1], const L (&z)[1], float, L (&)[1]) const { normals = z[0]; }
    void add_noise_slope(const L (&)[1], const L (&)[1], float, L (&)[1]) const {}
};

struct AlignedFloats {
    explicit AlignedFloats(std::size_t n)
        : data(static_cast<float*>(std::aligned_alloc(64, (n * sizeof(float) / 64 + 1) * 64))) {
        if (!data) throw DeviceError("out of memory: the tiles of a formula system");
        std::fill(data, data + n, 0.0f);
    }
    ~AlignedFloats() { std::free(data); }
    AlignedFloats(const AlignedFloats&) = delete;
    AlignedFloats& operator=(const AlignedFloats&) = delete;
    float* data;
};

// Trajectories [first, first + count) of a launch, count ≤ kTile.
template <class Integrator>
class Tile {
public:
    Tile(const FormulaSystem& system, const Integrator& integrator, const PathSetup& setup,
         const PathArgs& a)
        : system_(system), integrator_(integrator),
          bias_(setup.bias), held_(setup.held()),
          in_place_(held_ ? held_coordinate(system, setup) : -1), a_(a),
          dim_(system.dim), cvs_(static_cast<int>(system.cvs.size())),
          common_(dim_ % 4 == 0 ? 4 : dim_ % 2 == 0 ? 2 : 1), group_steps_(4 / common_),
          blocks_(dim_ / common_),
          slots_(system.force.tile_floats()), cv_slots_(system.cv.tile_floats()),
          pull_slots_(system.pull.tile_floats()), fixman_slots_(system.fixman.tile_floats()),
          slope_slots_(Integrator::needs_noise_slope ? system.noise_slope.tile_floats() : 0),
          z_(static_cast<std::size_t>(4 * blocks_) * kTile), z_previous_(rows(dim_)),
          v_(rows(dim_)), f_(rows(dim_)), center_(rows(cvs_)), stiffness_(rows(cvs_)),
          start_(rows(cvs_ * dim_)), x_before_(rows(kKeepsStart ? dim_ : 0)),
          f_before_(rows(kKeepsStart ? dim_ : 0)), energy_(rows(Integrator::metropolis ? 1 : 0)),
          energy_before_(rows(Integrator::metropolis ? 1 : 0)),
          decisions_(rows(Integrator::metropolis ? 4 : 0)),
          few_rounds_(setup.philox_rounds != kPhiloxRounds && !setup.held()) {
        if constexpr (Integrator::scales_noise)
            if (const float sigma = system.noise_amplitude(); sigma > 0.0f) {
                scaled_ = true;
                scale_ = normal_scale(sigma * integrator.noise_factor());
            }
        for (int o = 0; o < static_cast<int>(system.force.outputs.size()); ++o)
            outputs_.push_back(source(system.force, slots_.data, o));
        for (int o = 0; o < static_cast<int>(system.cv.outputs.size()); ++o)
            cv_outputs_.push_back(source(system.cv, cv_slots_.data, o));
        for (int o = 0; o < static_cast<int>(system.pull.outputs.size()); ++o)
            pull_outputs_.push_back(source(system.pull, pull_slots_.data, o));
        for (int k = 0; k < cvs_; ++k) {
            const auto& cv = system.cvs[static_cast<std::size_t>(k)];
            const double unit =
                bias_ == BiasKind::grid ? system.pull_unit(static_cast<std::size_t>(k)) : 1.0;
            unit_[k] = static_cast<float>(unit);
            for (const double p : cv.pull) pulls_.push_back(static_cast<float>(unit * p));
            if (cv.pull.empty()) pulls_.resize(pulls_.size() + static_cast<std::size_t>(dim_));
        }
        for (int o = 0; o < static_cast<int>(system.fixman.outputs.size()); ++o)
            fixman_outputs_.push_back(source(system.fixman, fixman_slots_.data, o));
        if (Integrator::needs_noise_slope)
            for (int o = 0; o < static_cast<int>(system.noise_slope.outputs.size()); ++o)
                slopes_.push_back(source(system.noise_slope, slope_slots_.data, o));
        has_fixman_ = std::any_of(fixman_outputs_.begin(), fixman_outputs_.end(),
                                  [](const Source& s) { return !s.is_zero(); });
        all_linear_ = system.linear_cvs();
        plain_ = kPlainScheme && !held_ && all_linear_ && dim_ <= kPlainDim &&
                 system.noise_constant && system.noise == FormulaSystem::Noise::diagonal;
        if (plain_)
            for (int k = 0; k < cvs_; ++k) {
                const auto& cv = system.cvs[static_cast<std::size_t>(k)];
                offset_[k] = static_cast<float>(cv.offset);
                for (int d = 0; d < dim_; ++d) weights_[k][d] = weight(cv, d);
            }
    }

    void run(index first, int count) {
        first_ = first;
        count_ = count;
        lanes_ = (count + W - 1) / W * W;
        for (int d = 0; d < dim_; ++d) {
            fetch(a_.x + d * a_.trajectories, x(d));
            if (Integrator::has_velocity) fetch(a_.v + d * a_.trajectories, row(v_, d));
        }
        for (int k = 0; k < cvs_; ++k) {
            fetch(a_.center + k * a_.trajectories, row(center_, k));
            fetch(a_.stiffness + k * a_.trajectories, row(stiffness_, k));
        }
        std::fill(z_previous_.data, z_previous_.data + static_cast<std::size_t>(dim_) * kTile, 0.0f);
        if (Integrator::needs_previous_noise && a_.first_step > 0) {
            const uint64 last = a_.first_step - 1;
            draw_group(last / steps());
            const int s = static_cast<int>(last % steps());
            for (int d = 0; d < dim_; ++d)
                for (int i = 0; i < lanes_; i += W)
                    store(row(z_previous_, d), i, noise(s, d, i));
        }
        if (Integrator::needs_initial_force) force();
        uint64 step = a_.first_step;
        for (index segment = 0; segment < a_.segments; ++segment) {
            std::fill(accepted_, accepted_ + kTile, 0u);
            const uint64 end = step + a_.stride;
            while (step < end) {
                const uint64 group = step / steps();
                const int from = static_cast<int>(step - group * steps());
                const int to = static_cast<int>(std::min(end - group * steps(), steps()));
                draw_group(group);
                check_stop();
                for (int s = from; s < to; ++s)
                    if (!plain_)
                        take_step<Integrator>(*this, s);
                    else if constexpr (kPlainScheme)
                        take_plain_step(s);
                step = group * steps() + static_cast<uint64>(to);
            }
            finish_segment(segment, step);
        }
        for (int d = 0; d < dim_; ++d) {
            put_back(a_.x + d * a_.trajectories, x(d));
            if (Integrator::has_velocity) put_back(a_.v + d * a_.trajectories, row(v_, d));
        }
    }

    // --- the parts of a step, kernels/dynamics/step.h; s: its number in the group of noise --------------

    // At the start of a step: the directions of its projection (kernels/dynamics/bias.h says why).
    void keep_directions() {
        if (!held_ || in_place_ >= 0) return;
        const bool gradients = pull_outputs_.empty();
        if (gradients) {
            evaluate_cvs();
        } else {
            std::copy(slots_.data, slots_.data + rows(dim_), pull_slots_.data);
            execute(system_.pull, pull_slots_.data, lanes_);
        }
        for (int o = 0; o < cvs_ * dim_; ++o) {
            const Source& from = gradients ? cv_outputs_[static_cast<std::size_t>(cvs_ + o)]
                                           : pull_outputs_[static_cast<std::size_t>(o)];
            for (int i = 0; i < lanes_; i += W) store(row(start_, o), i, from.at(i));
        }
    }

    void before(int s) {
        if constexpr (Integrator::has_velocity)
            for (int d = 0; d < dim_; ++d)
                for (int i = 0; i < lanes_; i += W) {
                    L px[1] = {load<L>(x(d), i)}, pv[1] = {load<L>(row(v_, d), i)};
                    const L pf[1] = {load<L>(row(f_, d), i)}, pz[1] = {noise(s, d, i)};
                    integrator_.before(px, pv, pf, pz);
                    store(x(d), i, px[0]);
                    store(row(v_, d), i, pv[0]);
                }
    }

    void force() {
        total_force();
        if constexpr (Integrator::needs_noise_slope) {
            std::copy(slots_.data, slots_.data + rows(dim_), slope_slots_.data);
            execute(system_.noise_slope, slope_slots_.data, lanes_);
        }
        if constexpr (Integrator::metropolis)
            for (int i = 0; i < lanes_; i += W) store(energy_.data, i, total_energy(i));
    }

    void keep_start() {
        std::copy(x(0), x(0) + rows(dim_), x_before_.data);
        std::copy(f_.data, f_.data + rows(dim_), f_before_.data);
        if (Integrator::metropolis)
            std::copy(energy_.data, energy_.data + kTile, energy_before_.data);
    }

    void return_with_mean_force() {
        std::copy(x_before_.data, x_before_.data + rows(dim_), x(0));
        for (int d = 0; d < dim_; ++d)
            for (int i = 0; i < lanes_; i += W)
                store(row(f_, d), i,
                      broadcast<L>(0.5f) *
                          (load<L>(row(f_before_, d), i) + load<L>(row(f_, d), i)));
    }

    void decide(int s) {
        for (int i = 0; i < lanes_; i += W) {
            const L start = load<L>(energy_before_.data, i), there = load<L>(energy_.data, i);
            L sum = broadcast<L>(0.0f);
            for (int d = 0; d < dim_; ++d)
                sum = integrator_.add_term(sum, load<L>(row(f_before_, d), i),
                                           load<L>(row(f_, d), i), noise(s, d, i));
            const Mask<L> go =
                log<Portable>(uniform_open<L>(as_uint(load<L>(row(decisions_, s), i)))) <
                integrator_.log_ratio(there - start, sum);
            store(energy_.data, i, select(go, there, start));
            for (int d = 0; d < dim_; ++d) {
                store(x(d), i, select(go, load<L>(x(d), i), load<L>(row(x_before_, d), i)));
                store(row(f_, d), i,
                      select(go, load<L>(row(f_, d), i), load<L>(row(f_before_, d), i)));
            }
            for (int j = 0; j < W; ++j) accepted_[i + j] += get_lane(go, j) ? 1 : 0;
        }
    }

    // With the force in f_.
    void end_step(int s) {
        const bool matrix = system_.noise == FormulaSystem::Noise::matrix;
        for (int i = 0; i < lanes_; i += W) {
            L next[kMaxFormulaVariables], combined[kMaxFormulaVariables];
            if (matrix) combine_noise(s, i, combined);
            for (int d = 0; d < dim_; ++d) {
                L px[1] = {load<L>(x(d), i)}, pv[1] = {broadcast<L>(0.0f)};
                L zp[1] = {load<L>(row(z_previous_, d), i)};
                const L pf[1] = {load<L>(row(f_, d), i)};
                L pz[1] = {noise(s, d, i)};
                if constexpr (Integrator::has_velocity) pv[0] = load<L>(row(v_, d), i);
                if (matrix) {
                    pz[0] = broadcast<L>(0.0f);
                    for (int e = 0; e < dim_; ++e)
                        pz[0] = fma(sigma(d * dim_ + e, i), combined[e], pz[0]);
                    zp[0] = broadcast<L>(0.0f);
                    end_variable(ScaledNoise{broadcast<L>(1.0f)}, px, pv, pf, pz, zp);
                } else if constexpr (Integrator::needs_noise_slope) {
                    const L slope = slopes_[static_cast<std::size_t>(d)].at(i);
                    end_variable(ScaledNoise{sigma(d, i), slope}, px, pv, pf, pz, zp);
                } else {
                    end_variable(ScaledNoise{sigma(d, i)}, px, pv, pf, pz, zp);
                }
                next[d] = px[0];
                if constexpr (Integrator::has_velocity) store(row(v_, d), i, pv[0]);
                if constexpr (Integrator::needs_previous_noise)
                    if (!matrix) store(row(z_previous_, d), i, zp[0]);
            }
            // State-dependent noise reads its slots above; the inputs change only now.
            for (int d = 0; d < dim_; ++d) store(x(d), i, next[d]);
        }
    }

    // The normals as the integrator combines those of this step and the last, before a matrix mixes them.
    void combine_noise(int s, int i, L (&combined)[kMaxFormulaVariables]) {
        for (int d = 0; d < dim_; ++d) {
            L none[1] = {broadcast<L>(0.0f)}, v[1] = {none[0]}, zp[1] = {load<L>(row(z_previous_, d), i)};
            const L f[1] = {none[0]}, z[1] = {noise(s, d, i)};
            integrator_.after(NormalsAlone{combined[d]}, none, v, f, z, zp);
            if constexpr (Integrator::needs_previous_noise) store(row(z_previous_, d), i, zp[0]);
        }
    }

    // Newton steps onto ξ = center.
    void constrain() {
        if (!held_) return;
        if (in_place_ >= 0) {
            for (int i = 0; i < lanes_; i += W) store(x(in_place_), i, load<L>(row(center_, 0), i));
            return;
        }
        for (int step = 0; step < newton_steps(all_linear_); ++step) {
            evaluate_cvs();
            for (int i = 0; i < lanes_; i += W)
                cvs_ == 1 ? move_onto_level_set<1>(i) : move_onto_level_set<2>(i);
        }
    }

private:
    static std::size_t rows(int n) { return static_cast<std::size_t>(n) * kTile; }
    static Source source(const Program& program, const float* slots, int o) {
        const ProgramOutput& out = program.outputs[static_cast<std::size_t>(o)];
        if (out.kind == ProgramOutput::Kind::constant) return {nullptr, out.value};
        return {slots + static_cast<std::size_t>(out.slot) * kTile, 0.0f};
    }
    uint64 steps() const { return static_cast<uint64>(group_steps_); }
    float* x(int d) const { return slots_.data + rows(d); }  // the force program's input slots
    static float* row(AlignedFloats& a, int r) { return a.data + rows(r); }

    // Lanes past the last trajectory repeat it, so that they stay harmless.
    void fetch(const float* from, float* to) {
        for (int i = 0; i < lanes_; ++i) to[i] = from[first_ + std::min(i, count_ - 1)];
    }
    void put_back(float* to, const float* from) {
        std::copy(from, from + count_, to + first_);
    }

    void draw_group(uint64 group) {
        if (few_rounds_)
            draw_group_by<kPhiloxFewRounds>(group);
        else
            draw_group_by<kPhiloxRounds>(group);
    }
    template <int Rounds>
    void draw_group_by(uint64 group) {
        int i = 0;
        for (; i + W < lanes_; i += 2 * W) draw_packs<Rounds, 2>(group, i);
        if (i < lanes_) draw_packs<Rounds, 1>(group, i);
    }
    // Two packs at once: their chains of rounds and polynomials run side by side.
    template <int Rounds, int N>
    void draw_packs(uint64 group, int i) {
        for (int b = 0; b < blocks_; ++b) {
            const uint64 block = group * static_cast<uint64>(blocks_) + static_cast<uint64>(b);
            L four[N][4];
            for (int n = 0; n < N; ++n)
                normal_block<Portable>(random<Rounds>(a_.stream, i + n * W), block, four[n], scale_);
            for (int n = 0; n < N; ++n)
                for (int k = 0; k < 4; ++k) store(row(z_, 4 * b + k), i + n * W, four[n][k]);
        }
        if constexpr (Integrator::metropolis)
            for (int n = 0; n < N; ++n) {
                Uint<L> words[4];
                random<Rounds>(a_.stream + kStreamMetropolis, i + n * W).draw(group, words);
                for (int k = 0; k < 4; ++k)
                    store(row(decisions_, k), i + n * W, as_float(words[k]));
            }
    }
    template <int Rounds>
    PhiloxStream<L, Rounds> random(uint32 id, int i) const {
        return a_.random<L, Rounds>(id, first_ + i, std::min(count_ - i, W));
    }
    L noise(int s, int d, int i) { return load<L>(row(z_, s * dim_ + d), i); }

    Source output(int o) const { return outputs_[static_cast<std::size_t>(o)]; }

    // f_ = drift + bias at x.
    void total_force() {
        execute(system_.force, slots_.data, lanes_);
        if (held_ && has_fixman_) {
            std::copy(slots_.data, slots_.data + rows(dim_), fixman_slots_.data);
            execute(system_.fixman, fixman_slots_.data, lanes_);
        }
        for (int i = 0; i < lanes_; i += W) {
            L pull[kMaxCvs];
            if (!held_) bias_pull(i, pull);
            for (int d = 0; d < dim_; ++d) {
                L f = output(d).at(i);
                if (!held_) {
                    for (int k = 0; k < cvs_; ++k) {
                        const auto& cv = system_.cvs[static_cast<std::size_t>(k)];
                        if (cv.pull.empty())
                            f = fma(pull[k], output(cv.pull_output + d).at(i) * broadcast<L>(unit_[k]), f);
                        else if (const float p = constant_pull(k, d); p != 0.0f)
                            f = fma(pull[k], broadcast<L>(p), f);
                    }
                } else if (has_fixman_) {
                    f = f - fixman_outputs_[static_cast<std::size_t>(d)].at(i);
                }
                store(row(f_, d), i, f);
            }
        }
    }

    // --- the bias, as in kernels/dynamics/bias.h and grid_bias.h ----------------------------------------

    // An umbrella is a sum over variables: of variable k.
    PeriodicBias<L, 1> window(int k, int i) {
        return PeriodicBias<L, 1>(
            {row(center_, k), row(stiffness_, k), kTile, a_.periods.variable(k)}, i);
    }
    void bias_pull(int i, L (&pull)[kMaxCvs]) {
        L xi[kMaxCvs];
        for (int k = 0; k < cvs_; ++k) xi[k] = cv_value(k, i);
        pull_at(xi, i, pull);
    }
    void pull_at(const L (&xi)[kMaxCvs], int i, L (&pull)[kMaxCvs]) {
        if (bias_ == BiasKind::grid) {
            grid_pull(a_.grid, cvs_, xi, pull);
            return;
        }
        for (int k = 0; k < cvs_; ++k) {
            const L at[1] = {xi[k]};
            L one[1];
            window(k, i).pull(at, one);
            pull[k] = one[0];
        }
    }
    // V + U, after total_force().
    L total_energy(int i) {
        L v = outputs_.back().at(i), xi[kMaxCvs];
        for (int k = 0; k < cvs_; ++k) xi[k] = cv_value(k, i);
        if (bias_ == BiasKind::grid) return grid_energy(a_.grid, cvs_, xi, v);
        for (int k = 0; k < cvs_; ++k) {
            const L at[1] = {xi[k]};
            v = window(k, i).energy(at, v);
        }
        return v;
    }

    float constant_pull(int k, int d) const { return pulls_[static_cast<std::size_t>(k * dim_ + d)]; }
    static float weight(const FormulaSystem::Cv& cv, int d) {
        return static_cast<float>(cv.weights[static_cast<std::size_t>(d)]);
    }
    L cv_value(int k, int i) const {
        const auto& cv = system_.cvs[static_cast<std::size_t>(k)];
        if (!cv.linear) return output(cv.value_output).at(i);
        L sum = broadcast<L>(static_cast<float>(cv.offset));
        for (int d = 0; d < dim_; ++d)
            if (const float w = weight(cv, d); w != 0.0f)
                sum = fma(broadcast<L>(w), load<L>(x(d), i), sum);
        return sum;
    }

    void take_plain_step(int s) {
        execute(system_.force, slots_.data, lanes_);
        switch (dim_) {
            case 1: return plain_step<1>(s);
            case 2: return plain_step<2>(s);
            case 3: return plain_step<3>(s);
            case 4: return plain_step<4>(s);
        }
    }

    // Bias, noise and update in one pass over the tile, where the collective variables are linear, the
    // noise is diagonal and constant, and there are few variables: the same operations as elsewhere.
    template <int D>
    void plain_step(int s) {
        Source drift[D];
        float* state[D];
        float *z[D], *previous[D];
        L amplitude[D];
        float pulls[kMaxCvs][D];
        for (int d = 0; d < D; ++d) {
            for (int k = 0; k < cvs_; ++k) pulls[k][d] = constant_pull(k, d);
            drift[d] = output(d);
            state[d] = x(d);
            z[d] = row(z_, s * D + d);
            previous[d] = row(z_previous_, d);
            amplitude[d] = sigma(d, 0);
        }
        for (int i = 0; i < lanes_; i += W) {
            L px[D], f[D];
            for (int d = 0; d < D; ++d) {
                px[d] = load<L>(state[d], i);
                f[d] = drift[d].at(i);
            }
            L xi[kMaxCvs], pull[kMaxCvs];
            for (int k = 0; k < cvs_; ++k) {
                const auto& w = weights_[k];
                xi[k] = broadcast<L>(offset_[k]);
                for (int d = 0; d < D; ++d)
                    if (w[d] != 0.0f) xi[k] = fma(broadcast<L>(w[d]), px[d], xi[k]);
            }
            pull_at(xi, i, pull);
            for (int k = 0; k < cvs_; ++k)
                for (int d = 0; d < D; ++d)
                    if (pulls[k][d] != 0.0f) f[d] = fma(pull[k], broadcast<L>(pulls[k][d]), f[d]);
            for (int d = 0; d < D; ++d) {
                L one_x[1] = {px[d]}, one_v[1], one_previous[1];
                const L one_f[1] = {f[d]}, one_z[1] = {load<L>(z[d], i)};
                one_v[0] = broadcast<L>(0.0f);
                one_previous[0] = Integrator::needs_previous_noise ? load<L>(previous[d], i)
                                                                   : broadcast<L>(0.0f);
                end_variable(ScaledNoise{amplitude[d]}, one_x, one_v, one_f, one_z, one_previous);
                store(state[d], i, one_x[0]);
                if constexpr (Integrator::needs_previous_noise)
                    store(previous[d], i, one_previous[0]);
            }
        }
    }

    // Of one variable; scaled normals hold the amplitude already.
    void end_variable(const ScaledNoise& one_noise, L (&x)[1], L (&v)[1], const L (&f)[1],
                      const L (&z)[1], L (&z_previous)[1]) const {
        if constexpr (Integrator::scales_noise)
            if (scaled_) return integrator_.after_scaled(x, f, z, z_previous);
        integrator_.after(one_noise, x, v, f, z, z_previous);
    }

    L sigma(int entry, int i) const {
        if (system_.noise_constant)
            return broadcast<L>(
                static_cast<float>(system_.noise_values[static_cast<std::size_t>(entry)]));
        return output(system_.noise_output + entry).at(i);
    }

    void evaluate_cvs() {
        std::copy(slots_.data, slots_.data + rows(dim_), cv_slots_.data);
        execute(system_.cv, cv_slots_.data, lanes_);
    }

    // The CVs of one pack, of curved ones from the cv program.
    struct PackCv {
        const Tile& tile;
        int lane;
        L value(int k) const {
            const auto o = static_cast<std::size_t>(k);
            return tile.system_.cvs[o].linear ? tile.cv_value(k, lane) : tile.cv_outputs_[o].at(lane);
        }
        L gradient(int k, int d) const {
            return tile.cv_outputs_[static_cast<std::size_t>(tile.cvs_ + k * tile.dim_ + d)]
                .at(lane);
        }
    };

    template <int K>
    void move_onto_level_set(int i) {
        const PackCv cv{*this, i};
        const auto start = [&](int l, int d) { return load<L>(row(start_, l * dim_ + d), i); };
        L residual[K], move[K];
        for (int k = 0; k < K; ++k)
            residual[k] = nearest_image(load<L>(row(center_, k), i) - cv.value(k), a_.periods.period[k]);
        newton_move(residual, dim_, [&](int k, int d) { return cv.gradient(k, d); }, start, move);
        for (int d = 0; d < dim_; ++d) {
            L p = load<L>(x(d), i);
            for (int k = 0; k < K; ++k) p = fma(move[k], start(k, d), p);
            store(x(d), i, p);
        }
    }

    void finish_segment(index segment, uint64 step) {
        for (int i = 0; i < count_; ++i) {
            bool bad = Integrator::metropolis && is_bad(energy_.data[i]);
            if (Integrator::metropolis) a_.accepted[first_ + i] += accepted_[i];
            for (int d = 0; d < dim_; ++d) bad |= is_bad(x(d)[i]);
            report_bad<float>(a_, first_ + i, 1, step, bad);
        }
        if (!a_.sample_x) return;
        const index column = segment * a_.trajectories + first_;
        for (int d = 0; d < dim_; ++d)
            std::copy(x(d), x(d) + count_, a_.sample_x + d * a_.sample_row + column);
        if (!all_linear_) evaluate_cvs();
        for (int k = 0; k < cvs_; ++k)
            for (int i = 0; i < lanes_; i += W) {
                const L value = a_.periods.image(
                    k, all_linear_ ? cv_value(k, i) : PackCv{*this, i}.value(k));
                for (int j = 0; j < W && i + j < count_; ++j)
                    a_.sample_xi[k * a_.sample_row + column + i + j] = get_lane(value, j);
            }
    }

    static constexpr bool kKeepsStart = Integrator::averages_force || Integrator::metropolis;
    static constexpr bool kPlainScheme =
        !Integrator::has_velocity && !kKeepsStart && !Integrator::needs_noise_slope;

    const FormulaSystem& system_;
    const Integrator integrator_;
    const BiasKind bias_;
    const bool held_;
    const int in_place_;  // the coordinate that is held where it is; −1: it takes Newton's method, or is free
    const PathArgs a_;
    const int dim_, cvs_, common_, group_steps_, blocks_;
    AlignedFloats slots_, cv_slots_, pull_slots_, fixman_slots_, slope_slots_, z_, z_previous_, v_, f_, center_,
        stiffness_, start_, x_before_, f_before_, energy_, energy_before_, decisions_;
    std::vector<Source> outputs_, cv_outputs_, pull_outputs_, fixman_outputs_, slopes_;
    std::uint32_t accepted_[kTile] = {};
    bool few_rounds_;
    bool scaled_ = false;  // by noise_amplitude(), as PathBody does
    NormalScale scale_;
    static constexpr int kPlainDim = 4;
    bool plain_ = false;
    float weights_[kMaxCvs][kPlainDim] = {}, offset_[kMaxCvs] = {};
    std::vector<float> pulls_;  // (cv, variable), where they are constant; times the unit
    float unit_[kMaxCvs] = {1.0f, 1.0f};  // of the pulls of a bias that is one function of all CVs
    bool has_fixman_ = false, all_linear_ = true;
    index first_ = 0;
    int count_ = 0, lanes_ = 0;
};

template <class Integrator>
class FormulaPathKernel final : public PathKernel {
public:
    FormulaPathKernel(std::shared_ptr<const FormulaSystem> system, const Integrator& integrator,
                      const PathSetup& setup)
        : system_(std::move(system)), integrator_(integrator), setup_(setup) {}
    int dim() const override { return system_->dim; }
    int n_cvs() const override { return static_cast<int>(system_->cvs.size()); }
    bool has_velocity() const override { return Integrator::has_velocity; }
    uint64 force_evaluations(uint64 steps) const override {
        return integrator_force_evaluations<Integrator>(steps);
    }
    bool metropolis() const override { return Integrator::metropolis; }
    CvPeriods periods() const override { return setup_.periods; }
    double step_cost() const override {
        constexpr double kTogether = 20;  // instructions that a step of a built-in system is worth
        const Program* programs[] = {&system_->force, &system_->cv, &system_->potential};
        double instructions = 0;
        for (const Program* program : programs)
            instructions += static_cast<double>(program->instructions.size());
        return std::max(1.0, instructions / kTogether);
    }

    void launch(Stream& stream, const PathArgs& args) const override {
        if (!stream.device().is_cpu()) {
            launch_formula_on_cuda(stream, *system_, setup_, args);
            return;
        }
        ThreadPool& pool = stream.device().pool();
        if (const CompiledPath path = compiled(args)) {
            count_launch<CompiledFormula>(args.trajectories, args.steps());
            stream.submit([this, path, &pool, args] {
                const index packs = (args.trajectories + W - 1) / W;
                const index pieces = std::min<index>(packs, pool.threads() * 16);
                pool.run(pieces, [&](index p) {
                    path(&integrator_, &args, packs * p / pieces * W,
                         std::min(args.trajectories, packs * (p + 1) / pieces * W));
                });
            });
            return;
        }
        count_launch<FormulaSystem>(args.trajectories, args.steps());
        stream.submit([this, &pool, args] {
            const index tiles = (args.trajectories + kTile - 1) / kTile;
            const index pieces = std::min<index>(tiles, pool.threads() * 16);
            pool.run(pieces, [&](index p) {
                Tile<Integrator> tile(*system_, integrator_, setup_, args);
                for (index t = tiles * p / pieces; t < tiles * (p + 1) / pieces; ++t)
                    tile.run(t * kTile, static_cast<int>(std::min<index>(
                                            kTile, args.trajectories - t * kTile)));
            });
        });
    }

private:
    // The compiled loop once the work so far is worth the seconds of a compiler, else null.
    CompiledPath compiled(const PathArgs& args) const {
        if (compiled_ || asked_ || setup_.compile_after < 0 || !compiles()) return compiled_;
        work_ += static_cast<double>(args.trajectories) * static_cast<double>(args.segments) *
                 static_cast<double>(args.stride);
        if (work_ < setup_.compile_after) return nullptr;
        asked_ = true;
        std::string why_not;
        compiled_ = compile_formula_path(*system_, setup_, kArch, why_not);
        static bool said = false;
        if (!compiled_ && !said) {
            said = true;
            std::fprintf(stderr, "microlift: formulas stay bytecode: %s\n", why_not.c_str());
        }
        return compiled_;
    }
    // Larger programs would not fit the registers and the instruction cache.
    bool compiles() const {
        std::vector<const Program*> programs{&system_->force};
        if (Integrator::needs_noise_slope) programs.push_back(&system_->noise_slope);
        if (setup_.held()) programs.insert(programs.end(), {&system_->cv, &system_->pull, &system_->fixman});
        std::size_t instructions = 0;
        for (const Program* program : programs) instructions += program->instructions.size();
        return system_->dim <= kCompiledDim && instructions <= kCompiledInstructions;
    }
    static constexpr int kCompiledDim = 16;
    static constexpr std::size_t kCompiledInstructions = 500;
#if defined(__AVX512F__)
    static constexpr const char* kArch = "native";
#elif defined(__AVX2__)
    static constexpr const char* kArch = "x86-64-v3";
#else
    static constexpr const char* kArch = "x86-64";
#endif

    std::shared_ptr<const FormulaSystem> system_;
    Integrator integrator_;
    PathSetup setup_;
    mutable double work_ = 0;
    mutable bool asked_ = false;
    mutable CompiledPath compiled_ = nullptr;
};

}  // namespace

int held_coordinate(const FormulaSystem& system, const PathSetup& setup) {
    return setup.periodic() ? -1 : system.held_coordinate();
}

Scheme effective_scheme(const FormulaSystem& system, const PathSetup& setup) {
    if (setup.held())
        return system.linear_cvs() && system.noise_constant ? Scheme::leimkuhler_matthews
                                                            : Scheme::euler_maruyama;
    if (setup.scheme == Scheme::milstein && system.noise_constant) return Scheme::euler_maruyama;
    return setup.scheme;
}

SchemeRefusal scheme_refusal(const FormulaSystem& system, Scheme scheme) {
    SchemeRefusal no;
    visit_scheme(scheme, [&](const auto& entry) {
        const std::string name = "'" + std::string(entry.name) + "' ";
        switch (entry.needs) {
            case SchemeNeeds::nothing: return;
            case SchemeNeeds::constant_noise:
                if (system.noise_constant) return;
                no = {name + "needs noise that does not depend on the state",
                      std::string("use 'euler_maruyama'") +
                          (system.milstein_fits() ? " or 'milstein'" : "")};
                return;
            case SchemeNeeds::own_noise:
                if (system.noise_constant || system.milstein_fits()) return;
                no = {name + "needs diagonal noise where the diffusion of a variable depends on "
                             "that variable alone",
                      "use 'euler_maruyama'"};
                return;
            case SchemeNeeds::potential:
                if (system.gradient) return;
                no = {name + "needs a system with a potential",
                      std::string("use 'euler_maruyama'") +
                          (system.noise_constant ? " or 'leimkuhler_matthews'" : "")};
                return;
        }
    });
    return no;
}

std::unique_ptr<PathKernel> make_formula_path_kernel(std::shared_ptr<const FormulaSystem> system,
                                                     const PathSetup& setup) {
    if (system->cvs.empty() || system->cvs.size() > static_cast<std::size_t>(kMaxCvs))
        throw InputError("cv.variables: give 1 or 2 collective variables");
    const Scheme scheme = effective_scheme(*system, setup);
    if (const SchemeRefusal no = scheme_refusal(*system, scheme); !no.wrong.empty())
        throw InputError("integrator.scheme: " + no.wrong + "; " + no.right);
    std::unique_ptr<PathKernel> kernel;
    visit_scheme(scheme, [&](const auto& entry) {
        using Integrator = typename std::remove_cvref_t<decltype(entry)>::Integrator;
        if (Integrator::metropolis) system = std::make_shared<const FormulaSystem>(with_energy(*system));
        kernel = std::make_unique<FormulaPathKernel<Integrator>>(system, entry.make(setup), setup);
    });
    return kernel;
}

}  // namespace microlift
