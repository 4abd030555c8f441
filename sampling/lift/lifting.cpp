#include "sampling/lift/lifting.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/at.h"
#include "engine/launch/gather.h"
#include "sampling/model/ensembles.h"
#include "sampling/lift/candidates.h"
#include "sampling/lift/descents.h"
#include "sampling/lift/relax.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

int coordinate_of(const FormulaSystem::Cv& cv) {
    if (!cv.linear || cv.offset != 0) return -1;
    int found = -1;
    for (std::size_t d = 0; d < cv.weights.size(); ++d) {
        if (cv.weights[d] == 0) continue;
        if (cv.weights[d] != 1 || found >= 0) return -1;
        found = static_cast<int>(d);
    }
    return found;
}

std::vector<int> free_variables(const Model& model) {
    std::vector<int> free;
    for (int d = 0; d < model.dim(); ++d) {
        const auto& cvs = model.formulas().cvs;
        if (std::none_of(cvs.begin(), cvs.end(),
                         [&](const auto& cv) { return coordinate_of(cv) == d; }))
            free.push_back(d);
    }
    return free;
}

std::shared_ptr<MoleculeCoordinates> coordinates_of(Stream& stream, const Model& model,
                                                    const SafeTensors& weights) {
    if (!model.molecule()) return nullptr;
    return std::make_shared<MoleculeCoordinates>(stream, model.molecule()->molecule,
                                                 model.molecule_conditions(), weights.tensors);
}

Lifter::Lifter(Stream& stream, const Model& model, Generator generator, bool project,
               std::shared_ptr<MoleculeCoordinates> coordinates)
    : stream_(stream), model_(model), generator_(std::move(generator)), project_(project),
      free_(free_variables(model)), coordinates_(std::move(coordinates)) {
    if (model.molecule() && !coordinates_)
        throw std::logic_error("a molecule is lifted in coordinates of its own");
    if (coordinates_ && generator_.states() != coordinates_->states())
        throw InputError("generator.safetensors: its generator makes " +
                         std::to_string(generator_.states()) + " coordinates, the molecule has " +
                         std::to_string(coordinates_->states()) + "; give the file of this run");
}

MoleculeCoordinates& Lifter::coordinates() {
    if (!coordinates_) throw InputError("a system that is no molecule has no coordinates of its own");
    return *coordinates_;
}

std::string Lifter::choose_among(index candidates) {
    const std::string refusal =
        candidates > 1 ? candidates_refusal(model_, generator_, coordinates_.get()) : std::string();
    if (refusal.empty()) candidates_ = candidates;
    return refusal;
}

void Lifter::lift(Span<const float> s, index n, uint64 seed, uint64 first, Span<float> x) {
    if (model_.observed()) {
        generator_.generate(stream_, s, n, seed, first, x);
        return;
    }
    if (candidates_ > 1) {
        lift_by_weight(stream_, model_, generator_, coordinates_.get(), s, n, candidates_, seed, first, x);
        return;
    }
    const index outputs = coordinates_ ? coordinates_->states() * n : std::ssize(free_) * n;
    if (scratch_.size() != outputs) scratch_ = Buffer<float>(stream_.device(), outputs);
    generator_.generate(stream_, s, n, seed, first, scratch_.span());
    complete(s, n, Span<const float>(scratch_.span()), x);
}

void Lifter::complete(Span<const float> s, index n, Span<const float> made, Span<float> x) {
    if (model_.observed()) {
        copy(stream_, x, made);
        return;
    }
    if (coordinates_) {
        coordinates_->from_states(stream_, {made.data, coordinates_->states(), n, n},
                                  {s.data, model_.n_cvs(), n, n}, {x.data, model_.dim(), n, n});
        if (project_ && !coordinates_->exact()) model_.project(stream_, s, n, n, x, n);
        return;
    }
    for (std::size_t f = 0; f < free_.size(); ++f)
        copy(stream_, x.subspan(free_[f] * n, n), made.subspan(static_cast<index>(f) * n, n));
    const auto& cvs = model_.formulas().cvs;
    bool all_known = true;
    for (std::size_t k = 0; k < cvs.size(); ++k) {
        const int d = coordinate_of(cvs[k]);
        all_known &= d >= 0;
        if (d >= 0) copy(stream_, x.subspan(d * n, n), s.subspan(static_cast<index>(k) * n, n));
    }
    if (project_ && !all_known) model_.project(stream_, s, n, n, x, n);
}

namespace {

// The column next to j that is none of the wild ones, which ascend: states of one value lie side by side.
index nearest_calm(const std::vector<index>& wild, index j, index n) {
    const auto is_calm = [&](index c) { return c >= 0 && c < n && !std::ranges::binary_search(wild, c); };
    for (index off = 1;; ++off)
        for (const index c : {j - off, j + off})
            if (is_calm(c)) return c;
}

// A state that stays wild after its descents becomes another one at its value.
double calm_molecule(Stream& stream, const Model& model, const IntegratorConfig& integrator, Span<const float> s,
                     index n, Span<float> x) {
    const index D = model.dim(), K = model.n_cvs();
    const std::vector<index> wild = descend_wild_states(stream, model, integrator, n, x);
    const auto m = std::ssize(wild);
    if (m == 0) return static_cast<double>(n);
    Buffer<index> which(stream.device(), m);
    copy_to_device(stream, which.span(), wild.data());
    Buffer<float> states(stream.device(), D * m), aim(stream.device(), K * m);
    gather_columns(stream, x.data, n, D, std::as_const(which).span(), states.data());
    gather_columns(stream, s.data, n, K, std::as_const(which).span(), aim.data());
    model.project(stream, std::as_const(aim).span(), m, m, states.span(), m);
    put_columns(stream, std::as_const(states).span(), wild, D, n, x);
    std::vector<index> bad;  // columns of x
    for (const index j : wild_states(stream, model, integrator, std::as_const(states).span(), m, 2))
        bad.push_back(wild[at(j)]);
    if (!bad.empty() && std::ssize(bad) < n) {
        std::vector<float> all = to_host(stream, Span<const float>(x.data, D * n));
        for (const index j : bad)
            for (index d = 0; d < D; ++d) all[at(d * n + j)] = all[at(d * n + nearest_calm(bad, j, n))];
        copy_to_device(stream, x.subspan(0, D * n), all.data());
        model.project(stream, s, n, n, x, n);
    }
    return static_cast<double>(n) + static_cast<double>(kDescentIterations * m);
}

}  // namespace

double calm(Stream& stream, const Model& model, const IntegratorConfig& integrator,
            Span<const float> s, index n, Span<float> x) {
    if (!model.gradient() || model.observed()) return 0;
    if (model.molecule()) return calm_molecule(stream, model, integrator, s, n, x);
    constexpr int kSteps = 32;
    constexpr double kDeviations = 3;
    const double dt = integrator.dt, kt = model.kt();
    const bool inertia = integrator.scheme == "baoab";
    const double mass = integrator.mass;
    const double step = inertia ? dt * dt / mass : dt;
    const double limit = kDeviations * (inertia ? dt * std::sqrt(kt / mass) : std::sqrt(2 * kt * dt));
    const index piece = std::min<index>(n, 1 << 18);
    const int dim = model.dim(), K = model.n_cvs();
    Buffer<float> f(stream.device(), model.force_rows() * piece), y(stream.device(), dim * piece),
        at(stream.device(), K * piece);
    for (index from = 0; from < n; from += piece) {
        const index now = std::min(piece, n - from);
        for (int d = 0; d < dim; ++d)
            copy(stream, y.span().subspan(d * now, now),
                 Span<const float>(x.subspan(d * n + from, now)));
        for (int k = 0; k < K; ++k)
            copy(stream, at.span().subspan(k * now, now), s.subspan(k * n + from, now));
        const Span<float> states = y.span().subspan(0, dim * now);
        for (int i = 0; i < kSteps; ++i) {
            model.forces(stream, states, now, now, f.span());
            calm_step(stream, Span<const float>(f.span()), static_cast<float>(step),
                      static_cast<float>(limit), dim, now, states);
            model.project(stream, at.span().subspan(0, K * now), now, now, states, now, 1);
        }
        for (int d = 0; d < dim; ++d)
            copy(stream, x.subspan(d * n + from, now),
                 Span<const float>(y.span().subspan(d * now, now)));
    }
    return kSteps * static_cast<double>(n);
}

namespace {

// States that are not finite become the nearest that is; how many. NumericError where there is none.
index replace_lost(Stream& stream, const Model& model, index n, Span<float> x) {
    const index D = model.dim();
    std::vector<float> all = to_host(stream, Span<const float>(x.data, D * n));
    std::vector<index> bad;
    for (index j = 0; j < n; ++j) {
        bool finite = true;
        for (index d = 0; d < D && finite; ++d) finite = std::isfinite(all[static_cast<std::size_t>(d * n + j)]);
        if (!finite) bad.push_back(j);
    }
    if (bad.empty()) return 0;
    if (std::ssize(bad) == n)
        throw NumericError("every healed state blew up: the generator makes overlapping atoms; train longer, or "
                           "choose a smaller integrator.dt");
    for (const index j : bad) {
        const index calm = nearest_calm(bad, j, n);
        for (index d = 0; d < D; ++d)
            all[static_cast<std::size_t>(d * n + j)] = all[static_cast<std::size_t>(d * n + calm)];
    }
    copy_to_device(stream, x.subspan(0, D * n), all.data());
    return std::ssize(bad);
}

}  // namespace

double heal(Stream& stream, const Model& model, const IntegratorConfig& integrator,
            Span<const float> s, index n, index steps, uint64 seed, uint64 first, Span<float> x,
            const std::function<void(index)>& after, index* lost) {
    if (model.observed())
        throw InputError("healing needs the state itself, and this generator makes observed "
                         "functions of it; leave out 'observe', or do not heal");
    const double calmed = calm(stream, model, integrator, s, n, x);
    const std::unique_ptr<Ensemble> held =
        held_ensemble(stream, model, integrator, s, x, n, seed, static_cast<index>(first));
    Ensemble& ensemble = *held;
    // Pieces of about a second, however slow a step is: a run may be stopped between them.
    index piece = std::max<index>(1, 100000 / std::max<index>(n, 1));
    for (index done = 0; done < steps;) {
        const index now = std::min(piece, steps - done);
        const auto begin = std::chrono::steady_clock::now();
        ensemble.advance(static_cast<uint64>(now));
        stream.synchronize();
        if (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(500)) piece *= 2;
        done += now;
        if (after) after(done);
    }
    const bool replaces = model.molecule() && lost != nullptr;
    if (!replaces) ensemble.check_finite([&](index t) { return "healed state " + std::to_string(t); });
    copy(stream, Span<float>(x.data, model.dim() * n), Span<const float>(ensemble.x()));
    if (replaces) *lost += replace_lost(stream, model, n, x);
    if (model.molecule()) model.project(stream, s, n, n, x, n);
    return ensemble.force_evaluations() + calmed;
}

std::string healing_remark(const IntegratorConfig& integrator) {
    if (integrator.scheme != "mala") return "";
    return "states are healed without Metropolis decisions: runs that hold the collective variable "
           "take plain steps of integrator.dt also with integrator.scheme = \"mala\", and have the "
           "error of such a step";
}

std::vector<Relaxation> relaxation_times(Stream& stream, const Model& model,
                                         const IntegratorConfig& integrator, Span<const float> s,
                                         index n, index each, Span<const float> x, index limit,
                                         uint64 seed, double* force_evaluations) {
    constexpr index kSamples = 64;
    const index values = n / each;
    const std::vector<int> free = free_variables(model);
    std::vector<Relaxation> times(static_cast<std::size_t>(values));
    // Runs of 64 samples; four times as long until the time is a small part of the run.
    for (index stride = 1;; stride *= 4) {
        const bool last = stride * 4 * kSamples > limit;
        const std::unique_ptr<Ensemble> held =
            held_ensemble(stream, model, integrator, s, x, n, seed);
        Ensemble& ensemble = *held;
        SampleSet samples(stream.device(), model.dim(), model.n_cvs(), kSamples * n);
        ensemble.sample(static_cast<uint64>(stride), kSamples, samples);
        ensemble.check_finite([&](index t) { return "relaxing state " + std::to_string(t); });
        if (force_evaluations) *force_evaluations += ensemble.force_evaluations();
        const std::vector<float> all = to_host(stream, Span<const float>(samples.x.span()));
        bool resolved = true;
        std::vector<double> series(static_cast<std::size_t>(kSamples * each));
        for (index v = 0; v < values; ++v) {
            Relaxation& time = times[static_cast<std::size_t>(v)];
            if (time.resolved) continue;
            double longest = 1;
            for (const int d : free) {
                for (index t = 0; t < kSamples; ++t)
                    for (index r = 0; r < each; ++r)
                        series[static_cast<std::size_t>(t * each + r)] = static_cast<double>(
                            all[static_cast<std::size_t>(d * samples.row + t * n + v * each + r)]);
                longest = std::max(longest, statistical_inefficiency(series.data(), kSamples, each));
            }
            time.steps = 0.5 * longest * static_cast<double>(stride);
            time.resolved = longest < static_cast<double>(kSamples) / 8;
            resolved &= time.resolved;
        }
        if (resolved || last) return times;
    }
}

}  // namespace microlift
