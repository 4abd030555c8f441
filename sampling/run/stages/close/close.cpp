// The closures from averages over physics, generated and healed states.
#include "sampling/run/stages/close/close.h"

#include <algorithm>
#include <cmath>

#include "kernels/random/streams.h"
#include "sampling/run/checks.h"
#include "sampling/run/places.h"
#include "sampling/run/stages.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kAveraged = 4096;  // generated states at each bin
constexpr double kPartOfRing = 0.5;  // of a bin that may be missing of a period
constexpr double kFlat = 0.02;     // of the usual noise along ξ, below which ∇ξ is said to vanish

// What block g of so many weighs more or less in a replicate: influences times this have the spread
// of the estimate.
double block_factor(const PhiloxStream<float>& rng, index g, index blocks) {
    float z[4];
    normal_block<Portable>(rng, static_cast<uint64>(g), z);
    return static_cast<double>(z[0]) * std::sqrt(static_cast<double>(blocks) /
                                                 std::max(1.0, static_cast<double>(blocks - 1)));
}

}  // namespace

void ClosureStage::run(const ConditionalMoments& moments, const ConditionalMoments* narrow) {
    open_csv();
    if (narrow) take_narrow(*narrow);
    if (!model_.molecule()) {
        conditional(moments);
        lifted();
    }
    const std::string& scheme = config_.integrator.scheme;
    free_runs_ = model_.molecule() || (scheme != "baoab" && scheme != "mala");
    if (!free_runs_ && (c_.bursts || !c_.passage_to.empty()))
        add_warning("closure: bursts and first passages are overdamped dynamics; left out with "
                    "integrator.scheme = \"" + scheme + "\"" +
                    (scheme == "mala" ? ", which samples a law and is no dynamics" : ""));
    if (c_.bursts && free_runs_) {
        try {
            bursts();
        } catch (const InputError& e) {
            add_warning(std::string("closure: no bursts were run: ") + e.what());
        } catch (const NumericError& e) {
            add_warning(std::string("closure, bursts: no reduced model: ") + e.what());
        }
    }
    csv_->finish();
    each_source([&](auto& s) { follow(s); });
    passages();
    committors();
    if (K_ == 1)
        write_curves();
    else
        write_surfaces();
    compare();
}

void ClosureStage::open_csv() {
    std::vector<std::string> columns;
    for (int k = 0; k < K_; ++k) columns.push_back("cv_" + std::to_string(k + 1));
    if (K_ == 1)
        columns.insert(columns.end(), {"drift", "drift_se", "diffusion", "diffusion_se"});
    else
        columns.insert(columns.end(),
                       {"drift_1", "drift_1_se", "drift_2", "drift_2_se", "diffusion_11",
                        "diffusion_11_se", "diffusion_12", "diffusion_12_se", "diffusion_22",
                        "diffusion_22_se"});
    columns.push_back("source");
    csv_ = std::make_unique<CsvWriter>(run_.dir / "closure.csv", columns);
}

void ClosureStage::conditional(const ConditionalMoments& m) {
    double weight = 0;
    for (index b = 0; b < grid_.size(); ++b)
        if (const double d = m.mean[m.place(K_, b)]; std::isfinite(d)) {
            typical_diffusion_ += d;
            weight += 1;
        }
    typical_diffusion_ /= std::max(weight, 1.0);
    warn_flat(m);
    if (K_ == 2) return conditional_of_two(m);
    ClosureSource source;
    source.name = "conditional";
    ClosureEstimate& e = source.estimate;
    if (ring(0)) e.period = config_.cv.variables[0].period;
    for (index b = 0; b < grid_.size(); ++b) {
        e.x.push_back(grid_.centre(0, b));
        e.drift.push_back(m.mean[m.place(0, b)]);
        e.drift_error.push_back(m.mean_error[m.place(0, b)]);
        e.diffusion.push_back(m.mean[m.place(1, b)]);
        e.diffusion_error.push_back(m.mean_error[m.place(1, b)]);
    }
    rows_of(with_narrow(e), source.name);
    try {
        source.model = ReducedModel(e);
    } catch (const NumericError& problem) {
        add_warning(std::string("closure, conditional: no reduced model: ") + problem.what());
        return;
    }
    for (index r = 0; r < ClosureSource::kReplicates; ++r) {
        ClosureEstimate other = e;
        const std::vector<double> shift = block_shifts(m, r);
        for (std::size_t i = 0; i < other.x.size(); ++i) {
            other.drift[i] += shift[i];
            other.diffusion[i] = std::max(other.diffusion[i] + shift[other.x.size() + i],
                                          0.1 * e.diffusion[i]);
        }
        source.replicates.push_back(source.model.with(other));
    }
    reversible(source);
    vary_bins(source);
    add_source(std::move(source));
}

void ClosureStage::rows_of(const ClosureEstimate& e, const std::string& source) {
    for (std::size_t i = 0; i < e.size(); ++i)
        row({e.x[i], 0}, [&](int o) { return o == 0 ? e.drift[i] : e.diffusion[i]; },
            [&](int o) { return o == 0 ? e.drift_error[i] : e.diffusion_error[i]; }, source);
}

std::vector<double> ClosureStage::block_shifts(const ConditionalMoments& m, index replicate) const {
    const PhiloxStream<float> rng(derived_seed(config_.seed, 5001), kStreamBootstrap, replicate);
    const index bins = grid_.size(), outputs = model_.closure_outputs();
    std::vector<double> shifts(static_cast<std::size_t>(outputs * bins), 0.0);
    for (index g = 0; g < m.blocks; ++g) {
        const double z = block_factor(rng, g, m.blocks);
        for (index o = 0; o < outputs; ++o)
            for (index b = 0; b < bins; ++b) {
                const double d = m.mean_influence[static_cast<std::size_t>(
                    (o * m.blocks + g) * bins + b)];
                if (std::isfinite(d))
                    shifts[static_cast<std::size_t>(o * bins + b)] += z * d;
            }
    }
    return shifts;
}

std::vector<double> ClosureStage::log_density(index replicate) const {
    std::vector<double> out;
    for (const double f : free_energy_.profile) out.push_back(-f / model_.kt());
    const std::size_t bins = out.size(), blocks = free_energy_.influence.size() / bins;
    const PhiloxStream<float> rng(derived_seed(config_.seed, 5002), kStreamBootstrap, replicate);
    for (std::size_t g = 0; g < blocks && replicate >= 0; ++g) {
        const double z = block_factor(rng, static_cast<index>(g), static_cast<index>(blocks));
        for (std::size_t b = 0; b < bins; ++b)
            out[b] -= z * free_energy_.influence[g * bins + b] / model_.kt();
    }
    if (replicate >= 0 && !free_energy_.bias.empty()) {
        float z[4];
        normal_block<Portable>(rng, static_cast<uint64>(blocks), z);
        for (std::size_t b = 0; b < bins; ++b)
            out[b] -= static_cast<double>(z[0]) * free_energy_.bias[b] / model_.kt();
    }
    if (K_ == 2) return out;
    // The profile is that of the bins' centres: what they hold, by the same second differences.
    const std::vector<double> centre = out;
    const bool round = grid_.round[0];
    for (std::size_t b = round ? 0 : 1; b + (round ? 0 : 1) < bins; ++b) {
        const double before = centre[b > 0 ? b - 1 : bins - 1], after = centre[b + 1 < bins ? b + 1 : 0];
        const double around = std::exp(before - centre[b]) + std::exp(after - centre[b]);
        if (std::isfinite(around)) out[b] += std::log1p((around - 2) / 24);
    }
    return out;
}

bool ClosureStage::ring(int k) const {
    const auto c = static_cast<std::size_t>(k);
    const double period = config_.cv.variables[c].period;
    return period > 0 && std::fabs(grid_.to[c] - grid_.from[c] - period) < kPartOfRing * grid_.width(k);
}

CvValue ClosureStage::rings() const {
    CvValue period{};
    for (std::size_t k = 0; k < static_cast<std::size_t>(K_); ++k)
        if (ring(static_cast<int>(k))) period[k] = config_.cv.variables[k].period;
    return period;
}

void ClosureStage::warn_flat(const ConditionalMoments& m) {
    for (int k = 0, o = K_; k < K_; o += K_ - k, ++k) {
        std::vector<std::pair<double, index>> known;  // the diffusion along ξ_k, bin
        for (index b = 0; b < grid_.size(); ++b)
            if (const double d = m.mean[m.place(o, b)]; std::isfinite(d)) known.emplace_back(d, b);
        if (known.empty()) continue;
        std::sort(known.begin(), known.end());
        const double usual = known[known.size() / 2].first;
        if (!(known[0].first < kFlat * usual)) continue;
        add_warning("closure: the gradient of collective variable " + std::to_string(k + 1) +
                    " nearly vanishes where it is " +
                    number(centre(known[0].second)[static_cast<std::size_t>(k)]) +
                    " (diffusion " + number(known[0].first) + ", usually " + number(usual) +
                    "); biasing, lifting and closing fail there, choose another variable");
    }
}

void ClosureStage::lifted() {
    if (!config_.generator.enabled || model_.observed()) return;
    Lifter lifter = make_lifter(run_);
    const index bins = grid_.size();
    const index each = std::clamp<index>(800000 / bins, 64, kAveraged);
    const std::vector<CvValue> values = bin_centres(grid_);
    const Buffer<float> s = conditions(run_, values, each);
    Buffer<float> x(stream_.device(), model_.dim() * bins * each);
    lifter.lift(s.span(), bins * each, derived_seed(config_.seed, 5010), 0, x.span());
    average("generator", values, x.span(), each);
    if (heal_steps_ == 0) return;
    heal(run_, meter_, s, bins * each, heal_steps_, 5011, x);
    average("healed", values, x.span(), each);
}

void ClosureStage::average(const std::string& name, const std::vector<CvValue>& values,
                           Span<const float> x, index each) {
    const index n = static_cast<index>(values.size());
    const AveragedClosure a = average_closure(stream_, model_, x, n, each);
    ClosureSource source;
    ClosureSourceOfTwo of_two;
    source.name = of_two.name = name;
    of_two.estimate.period = rings();
    if (ring(0)) source.estimate.period = config_.cv.variables[0].period;
    for (index b = 0; b < n; ++b) {
        const auto place = [&](int o) { return static_cast<std::size_t>(o * n + b); };
        row(values[static_cast<std::size_t>(b)], [&](int o) { return a.mean[place(o)]; },
            [&](int o) { return a.error[place(o)]; }, name);
        if (K_ == 2) {
            of_two.estimate.add(values[static_cast<std::size_t>(b)],
                                [&](int o) { return a.mean[place(o)]; },
                                [&](int o) { return a.error[place(o)]; });
            continue;
        }
        source.estimate.x.push_back(values[static_cast<std::size_t>(b)][0]);
        source.estimate.drift.push_back(a.mean[place(0)]);
        source.estimate.drift_error.push_back(a.error[place(0)]);
        source.estimate.diffusion.push_back(a.mean[place(1)]);
        source.estimate.diffusion_error.push_back(a.error[place(1)]);
    }
    if (K_ == 1)
        add_source(std::move(source));
    else
        add_source(std::move(of_two));
}

void close(Run& run) {
    ConditionalMoments moments, narrow;
    constexpr index kParts = 3;  // odd: the middle one has the centre of the whole
    const bool one = run.model.n_cvs() == 1;
    StageMeter meter(run.record, "close");
    run.progress.begin("close", 1, "pass");
    if (!run.model.molecule()) {
        const SampleSet& samples = run.samples;
        const int outputs = run.model.closure_outputs();
        Buffer<float> values(run.device, outputs * samples.n);
        run.model.closure(run.stream, samples.x.span(), samples.row, samples.n, values.span(),
                          samples.n);
        const auto averages = [&](index parts) {
            Grid grid = run.grid;
            grid.bins[0] *= parts;
            return conditional_moments(run.stream, samples.biased(), values.span(), samples.n, outputs,
                                       grid, run.free_energy.error_blocks);
        };
        moments = averages(1);
        if (one) narrow = averages(kParts);
    }
    run.progress.end();
    ClosureStage stage(run, meter, healing_steps(run));
    stage.run(moments, one && !run.model.molecule() ? &narrow : nullptr);
    run.record["closure"] = stage.metrics();
    const Checking check(run, "closure");
    for (const std::string& text : stage.warnings()) run.warn(text);
}

}  // namespace microlift
