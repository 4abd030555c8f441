#include "sampling/closure/observed_passages.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/launch/gather.h"
#include "engine/launch/work.h"
#include "sampling/model/ensembles.h"

namespace microlift {

namespace {

constexpr uint64 kMostSteps = 2000000000ull;
constexpr index kPieceFloats = index{1} << 24;  // of states that are stored between looks

// How far ξ is from a set: not positive inside.
double distance(const PassageSet& set, const double* xi, int cvs) {
    if (set.kind == PassageSet::none) return 1e30;
    if (set.kind == PassageSet::cv)
        return static_cast<double>(set.sign) * (static_cast<double>(set.bound) - xi[set.k]);
    double square = 0;
    for (int k = 0; k < cvs; ++k) {
        const double d = nearest_image(xi[k] - static_cast<double>(set.center[k]),
                                       static_cast<double>(set.period[k]));
        square += std::pow(d * static_cast<double>(set.inverse_radius[k]), 2);
    }
    return std::sqrt(square) - 1;
}

class Watch {
public:
    Watch(Stream& stream, const Model& model, const IntegratorConfig& integrator,
          const PassageSet& first, const PassageSet& second, const PassageOptions& options)
        : stream_(stream), model_(model), integrator_(integrator), sets_{first, second},
          options_(options) {}

    PassageResult run(Span<const float> start, index n) {
        result_.time.assign(at(n), 0.0f);
        result_.entered.assign(at(n), 0);
        for (index i = 0; i < n; ++i) who_.push_back(i);
        begin(start, {});
        const uint64 most = options_.max_steps > 0 ? options_.max_steps : kMostSteps;
        while (!who_.empty() && done_ < most) {
            advance(std::min(most - done_, piece() * kLookEvery));
            if (options_.after)
                options_.after(static_cast<double>(result_.finished) / static_cast<double>(n));
            if (2 * running_ < std::ssize(who_)) narrow();
        }
        result_.force_evaluations += ensemble_ ? ensemble_->force_evaluations() : 0;
        for (std::size_t j = 0; j < who_.size(); ++j)
            if (result_.entered[at(who_[j])] == 0)
                result_.time[at(who_[j])] = static_cast<float>(options_.dt * static_cast<double>(done_));
        for (const float t : result_.time) result_.waited += static_cast<double>(t);
        result_.steps = result_.waited / options_.dt;
        return result_;
    }

private:
    index K() const { return model_.n_cvs(); }
    index size() const { return std::ssize(who_); }
    uint64 piece() const {
        const index each = (model_.dim() + K()) * size();
        return static_cast<uint64>(
            std::clamp<index>(floats_at_once(stream_.device(), kPieceFloats) / each, 1, 64));
    }

    // Trajectories of who_ from states x, with velocities where they have some.
    void begin(Span<const float> x, const std::vector<float>& v) {
        const index n = size();
        ensemble_ = free_ensemble(stream_, model_, integrator_, options_.dt, n,
                                  options_.seed + 0x9E3779B97F4A7C15ull * narrowed_++);
        copy(stream_, ensemble_->x(), Span<const float>(x.data, model_.dim() * n));
        if (!v.empty()) copy_to_device(stream_, ensemble_->v(), v.data());
        if (!last_.empty()) return;
        Buffer<float> values(stream_.device(), K() * (1 + model_.dim()) * n);
        model_.evaluate_cvs(stream_, ensemble_->x(), n, n, values.span(), n);
        const std::vector<float> xi =
            to_host(stream_, Span<const float>(values.span().subspan(0, K() * n)));
        last_.assign(xi.begin(), xi.end());
        running_ = n;
        for (index j = 0; j < n; ++j) look(j, 0, [&](index k) { return last_[at(k * n + j)]; });
    }

    void advance(uint64 steps) {
        const index n = size();
        const auto looks = static_cast<index>(steps / kLookEvery);
        if (looks == 0) {
            ensemble_->advance(steps);
            done_ += steps;
            return;
        }
        SampleSet seen(stream_.device(), model_.dim(), static_cast<int>(K()), looks * n);
        ensemble_->sample(kLookEvery, looks, seen);
        ensemble_->check_finite([&](index t) { return "first passage " + std::to_string(who_[at(t)]); });
        const std::vector<float> xi = to_host(stream_, Span<const float>(seen.xi.span()));
        for (index l = 0; l < looks; ++l) {
            done_ += kLookEvery;
            for (index j = 0; j < n; ++j)
                look(j, kLookEvery, [&](index k) {
                    return static_cast<double>(xi[at(k * looks * n + l * n + j)]);
                });
        }
    }

    // ξ of trajectory j now, `steps` after the last look; along a turn it is followed past the seam.
    template <class Values>
    void look(index j, uint64 steps, const Values& value) {
        if (result_.entered[at(who_[at(j)])] != 0) return;
        const index n = size();
        double before[kMaxCvs], now[kMaxCvs];
        for (index k = 0; k < K(); ++k) {
            double& last = last_[at(k * n + j)];
            before[k] = last;
            last += nearest_image(value(k) - last, model_.turn(static_cast<int>(k)));
            now[k] = last;
        }
        for (int s = 0; s < 2; ++s) {
            const double to = distance(sets_[s], now, static_cast<int>(K()));
            if (!(to <= 0)) continue;
            const double from = distance(sets_[s], before, static_cast<int>(K()));
            const double part = from > 0 ? from / (from - to) : 0;
            const double step = static_cast<double>(done_ - steps) + part * static_cast<double>(steps);
            result_.time[at(who_[at(j)])] = static_cast<float>(options_.dt * step);
            result_.entered[at(who_[at(j)])] = s + 1;
            ++result_.finished;
            --running_;
            return;
        }
    }

    // Goes on with those that have not passed.
    void narrow() {
        const index n = size(), D = model_.dim();
        const std::vector<float> state = ensemble_->save_state();
        result_.force_evaluations += ensemble_->force_evaluations();
        std::vector<index> kept;
        for (index j = 0; j < n; ++j)
            if (result_.entered[at(who_[at(j)])] == 0) kept.push_back(j);
        std::vector<float> x, v;
        std::vector<double> last;
        std::vector<index> who;
        for (index d = 0; d < D; ++d)
            for (const index j : kept) x.push_back(state[at(d * n + j)]);
        for (index d = D; d < 2 * D; ++d)
            for (const index j : kept) v.push_back(state[at(d * n + j)]);
        for (index k = 0; k < K(); ++k)
            for (const index j : kept) last.push_back(last_[at(k * n + j)]);
        for (const index j : kept) who.push_back(who_[at(j)]);
        who_ = std::move(who);
        last_ = std::move(last);
        ensemble_.reset();
        if (who_.empty()) return;
        Buffer<float> states(stream_.device(), std::ssize(x));
        copy_to_device(stream_, states.span(), x.data());
        begin(std::as_const(states).span(), v);
    }

    Stream& stream_;
    const Model& model_;
    const IntegratorConfig& integrator_;
    const PassageSet sets_[2];
    const PassageOptions& options_;
    PassageResult result_;
    std::vector<index> who_;    // the passages of the ensemble's trajectories
    std::vector<double> last_;  // ξ of each at the last look, (variable, trajectory)
    index running_ = 0;
    uint64 done_ = 0, narrowed_ = 0;
    std::unique_ptr<Ensemble> ensemble_;
};

}  // namespace

PassageResult run_observed_passages(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                                    Span<const float> start, index n, const PassageSet& first,
                                    const PassageSet& second, const PassageOptions& options) {
    return Watch(stream, model, integrator, first, second, options).run(start, n);
}

}  // namespace microlift
