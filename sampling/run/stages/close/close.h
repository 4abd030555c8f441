// The closure stage: the reduced models, what follows from each, and the full model beside them.
// close.cpp has the averages, bursts.cpp the bursts and the slowest rate, passages.cpp first passages and
// committors, compare.cpp what follows from each model and what is not to be trusted, of_two.cpp what is
// different with two collective variables, variants.cpp what errors count besides noise, structure.cpp
// what bins and values do not resolve.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>

#include "engine/files/files.h"
#include "kernels/random/streams.h"
#include "sampling/closure/bursts_of_two.h"
#include "sampling/closure/first_passage.h"
#include "sampling/run/lifted.h"
#include "sampling/run/run.h"
#include "sampling/closure/reduced_of_two.h"
#include "sampling/closure/slowest_rate.h"

namespace microlift {

// What follows from a reduced model, whatever the number of its variables.
struct ClosureFigures {
    std::string name;
    double lag = 0;                   // bursts alone
    std::vector<Figure> rates;        // the slowest first
    std::vector<Figure> times;        // mean first passages, by target
    std::vector<MeanTime> simulated;  // the same by the engine
};

// With the model itself and what it came from.
template <class Model, class Estimate, index replicates_made>
struct ClosureSourceOf : ClosureFigures {
    static constexpr index kReplicates = replicates_made;
    // By this a sum of their squared distances is divided: the mean of 1/χ² is 1/(n − 2), so that z² has
    // the mean 1 although the spread is known from few.
    static constexpr double kDivisor = static_cast<double>(replicates_made - 2);
    Estimate estimate;
    Model model;
    std::vector<Model> replicates;  // of the model, for errors
    // Models that differ from it in what estimates do not tell, walls, curves and meshes: this share of the
    // difference is an error besides that of the replicates. Where the variant has noise of its own, only
    // what exceeds the replicates' spread (kNoiseOfDifference). Differences of one sign add up, as
    // biases do.
    struct Variant {
        Model model;
        double share = 1;
        bool noisy = false;
    };
    std::vector<Variant> variants;
    // Two models each that are off by more and more, of estimates taken together by two and by
    // four. What is left follows by Richardson's rule from the ratio they show. Noise as of
    // variants.
    using Series = std::array<Model, 2>;
    std::vector<Series> series;

    // Of every number in f(model).
    template <class F>
    std::vector<Figure> figures(const F& f) const {
        std::vector<Figure> out;
        for (const double value : f(model)) out.push_back({value, 0});
        for (const Model& r : replicates) {
            const auto values = f(r);
            for (std::size_t i = 0; i < out.size(); ++i) {
                const double d = values[i] - out[i].value;
                out[i].error += d * d / kDivisor;
            }
        }
        const std::vector<Figure> spread = out;  // squares, as yet
        const auto beyond = [&](std::size_t i, double d, bool noisy) {
            const double square = square_beyond(d, noisy ? spread[i].error : 0.0);
            return std::isfinite(square) ? std::sqrt(square) : 0.0;
        };
        std::vector<std::array<double, 2>> biases(out.size());  // down, up
        for (const Variant& v : variants) {
            const auto values = f(v.model);
            for (std::size_t i = 0; i < out.size(); ++i) {
                const double d = v.share * (values[i] - out[i].value);
                biases[i][d > 0] += std::fabs(v.share) * beyond(i, values[i] - out[i].value, v.noisy);
            }
        }
        for (const Series& s : series) {
            const auto near = f(s[0]), far = f(s[1]);
            for (std::size_t i = 0; i < out.size(); ++i) {
                const double d = near[i] - out[i].value;
                const double ratio = std::fabs((far[i] - near[i]) / d);
                const double left = beyond(i, d, true) / (std::clamp(ratio, 2.0, 16.0) - 1);
                if (std::isfinite(left)) out[i].error += left * left;
            }
        }
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i].error += biases[i][0] * biases[i][0] + biases[i][1] * biases[i][1];
        for (Figure& figure : out) figure.error = std::sqrt(figure.error);
        return out;
    }
};
using ClosureSource = ClosureSourceOf<ReducedModel, ClosureEstimate, 32>;
using ClosureSourceOfTwo = ClosureSourceOf<ReducedModelOfTwo, EstimateOfTwo, 16>;  // which cost more

// In place of a number; null in files.
inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

class ClosureStage {
public:
    ClosureStage(Run& run, StageMeter& meter, index heal_steps)
        : run_(run), config_(run.config), c_(run.config.closure), model_(run.model),
          stream_(run.stream), grid_(run.grid), samples_(run.samples), free_energy_(run.free_energy),
          progress_(run.progress), meter_(meter), heal_steps_(heal_steps), K_(run.model.n_cvs()),
          dt_(c_.dt > 0 ? c_.dt : run.config.integrator.dt) {}

    const Json& metrics() const { return metrics_; }
    const std::vector<std::string>& warnings() const { return warnings_; }

    // narrow: of one variable, the same averages on bins a third as wide.
    void run(const ConditionalMoments& moments, const ConditionalMoments* narrow);

private:
    void add_warning(const std::string& text) { warnings_.push_back(text); }
    void open_csv();

    // value(output), error(output) of one row.
    template <class V, class E>
    void row(const CvValue& at, const V& value, const E& error, const std::string& source) {
        std::vector<CsvWriter::Cell> cells;
        for (int k = 0; k < K_; ++k) cells.emplace_back(at[static_cast<std::size_t>(k)]);
        for (int o = 0; o < model_.closure_outputs(); ++o) {
            cells.emplace_back(value(o));
            cells.emplace_back(error(o));
        }
        cells.emplace_back(source);
        csv_->row(cells);
    }

    void rows_of(const ClosureEstimate& e, const std::string& source);

    CvValue centre(index b) const {
        return {grid_.centre(0, b), K_ == 2 ? grid_.centre(1, b) : 0.0};
    }

    // Makes the model's replicates, where there are none, and its variants, and takes it among the
    // sources.
    template <class Source>
    void add_source(Source source);
    void add_variants(ClosureSource& source) const { add_variants(source, source.estimate); }
    // `finer`: what the estimate would be with finer curves between its values.
    void add_variants(ClosureSource& source, const ClosureEstimate& finer) const;
    static void add_walls_and_mesh(ClosureSource& source);
    static void add_variants(ClosureSourceOfTwo& source);
    // Of a model from a density: bins taken together by two and by four.
    static void add_rougher(ClosureSource& source, const std::vector<double>& log_density);
    // Of two variables, its surfaces and walls.
    static void add_rougher(ClosureSourceOfTwo& source, const std::vector<double>& log_density);
    template <class F>
    void each_source(const F& f) {
        for (ClosureSource& s : sources_) f(s);
        for (ClosureSourceOfTwo& s : sources_of_two_) f(s);
    }

    // --- averages --------------------------------------------------------------------------------

    void conditional(const ConditionalMoments& m);
    // Of systems with a potential: the free energy's density with the diffusion of `conditional`. It needs
    // no integral of drift over diffusion, which fails where the diffusion nearly vanishes.
    // `noisy`: other estimates with their noise, for replicates; left out: by the estimate's errors.
    template <class Source>
    void reversible(const Source& conditional, const std::vector<EstimateOfTwo>& noisy = {});
    void conditional_of_two(const ConditionalMoments& m);
    // ln of what the bins hold (of two variables: at their centres), up to a constant; of replicate r ≥ 0
    // with blocks weighing more or less.
    std::vector<double> log_density(index replicate) const;
    // By (output, bin): what a normal deviate for each of the samples' blocks adds to the averages, so
    // that errors of neighbouring bins go together.
    std::vector<double> block_shifts(const ConditionalMoments& m, index replicate) const;

    // --- structure along one variable, as narrow bins show it
    void take_narrow(const ConditionalMoments& m);
    // With errors that take in the difference of wide and narrow bins.
    ClosureEstimate with_narrow(ClosureEstimate e) const;
    ClosureEstimate narrow_within(double from, double to) const;  // where they are known
    // Whether drift or diffusion change between the knots as no curve through these does.
    bool unresolved(const std::vector<double>& knots) const;
    // What wide bins leave out of a model from averages.
    void vary_bins(ClosureSource& source) const;
    // What the values of bursts leave out, where they are too few: into the errors of estimate and model.
    void count_structure(const BurstLag& lag, ClosureEstimate& e, ClosureSource& source);

    // Whether the bins go all round a periodic variable.
    bool ring(int k) const;
    CvValue rings() const;  // the periods of those that do; else 0
    // Where ξ does not change along any direction that moves.
    void warn_flat(const ConditionalMoments& m);
    // Generated states at every bin, and the same healed.
    void lifted();

    void average(const std::string& name, const std::vector<CvValue>& values, Span<const float> x,
                 index each);

    // --- bursts ----------------------------------------------------------------------------------

    std::vector<CvValue> burst_values();

    // The longest run of the bursts' values that all have samples near them.
    void covered(double& from, double& to);
    void leave_out_bare(std::vector<CvValue>& values, index side);

    Buffer<float> starts(const std::vector<CvValue>& values, index replicas, uint64 part);

    void bursts();
    // Bursts from the same stored sample tell of its hidden variables once: where few lie near a value,
    // errors take in the spread of drift and diffusion over so few. Where there are no hidden
    // variables, the states of a value differ by rounding, of them and of formulas: its spread is
    // an error of all.
    void count_starts(BurstMoments& m);
    // Single precision rounds the collective variable and the states that have its value: by the slopes
    // of drift and diffusion along it. And it rounds formulas, which double precision shows; of learned
    // coordinates, how little smooth they are over a short distance.
    void count_rounding(BurstMoments& m);
    bool learned() const;
    // Averages of the closure's integrands, (output, value), over states of each value; at the values
    // themselves, where these are states.
    std::vector<double> in_double(const std::vector<float>& x, const std::vector<CvValue>& values,
                                  index few) const;
    // The first few of every value.
    Buffer<float> some_starts(index values, index replicas, index few) const;
    // of_integrands: of drift and diffusion, (output, value), which all bursts of a value share.
    void add_start_errors(BurstMoments& m, const std::vector<double>& of_integrands) const;
    std::vector<index> burst_lags(index bursts) const;
    // What the chosen lag is compared with: the lag before it where that is on the plateau, too, else the
    // one after it, or null.
    template <class Closure>
    static auto beside(const Closure& c) {
        const std::size_t before = c.chosen - 1, after = c.chosen + 1, lags = c.lags.size();
        if (before < lags && (c.lags[before].plateau || after >= lags)) return &c.lags[before];
        return after < lags ? &c.lags[after] : nullptr;
    }
    void bursts_of_one(const BurstMoments& m);
    void bursts_of_two(const BurstMoments& m);
    // Drift and diffusion in the very states that bursts of two variables start from.
    TwoLag without_lag(const BurstMoments& m) const;
    void describe_lags(const BurstClosure& closure);
    struct Inverted {
        ClosureEstimate estimate;
        ReducedModel model;
    };
    std::vector<Inverted> inverted(const BurstLag& lag, double period) const;
    static void raise_errors(ClosureEstimate& e, const std::vector<Inverted>& replicates);
    // Of molecules, whose diffusion no average tells: a closure of it and the free energy.
    void free_energy_and_bursts(const ClosureSource& bursts);
    void free_energy_and_bursts(const ClosureSourceOfTwo& bursts,
                                const std::optional<ReducedModelOfTwo>& at_other_lag);
    void warn_indefinite(const BurstMoments& m, const TwoLag& lag);
    ClosureSource burst_source(const BurstLag& lag, std::vector<Inverted> replicates) const;

    // Rates of the full model: the slowest from free trajectories, the next from the bursts'
    // transition matrices where those tell it.
    void relax(const SlowMotion& motion, index lag, const std::vector<Figure>& from_bursts);

    void write_lags(const BurstClosure& closure);

    // --- first passages --------------------------------------------------------------------------

    PassageOptions passage_options(uint64 part);

    std::size_t targets() const { return c_.passage_to.size() / static_cast<std::size_t>(K_); }
    CvValue passage_from() const;
    CvValue passage_to(std::size_t target) const;
    // A threshold of one variable, and on a ring its image on the other side; an ellipse about a place of
    // two.
    std::array<PassageSet, 2> passage_sets(std::size_t target) const;
    EllipseSet near(const CvValue& place) const;
    // A value as files have it: a number, or two.
    Json json_of(const CvValue& value) const;
    std::string text_of(const CvValue& value) const;

    void passages();

    // Whether a passage, or the set in which it ends, lies within the model. Of what does not, nothing is
    // known: null, and a warning.
    bool covers(const ReducedModel& m, double to) const;
    bool covers(const ReducedModelOfTwo& m, const EllipseSet& set) const;
    void warn_beyond();
    void leave_out_vague();

    // The reduced model by the engine, from tables that reach beyond its ends.
    void simulate(ClosureSource& s);
    void simulate(ClosureSourceOfTwo& s);
    void simulate(ClosureFigures& s, const PassageKernel& kernel);

    // The committor between passage_from and the last of passage_to: reduced against full, from the
    // states that bursts start from. And between two balls from given states.
    void committors();
    void committor_of_bursts();
    std::vector<Figure> committor_at(const ClosureSource& s, const std::vector<CvValue>& x) const;
    std::vector<Figure> committor_at(const ClosureSourceOfTwo& s,
                                     const std::vector<CvValue>& x) const;

    // --- what came out ---------------------------------------------------------------------------

    void write_curves();
    void write_surfaces();

    // Rates and mean times of each model.
    void follow(ClosureSource& s);
    void follow(ClosureSourceOfTwo& s);

    void compare();
    Json describe(const ClosureFigures& s) const;
    Json describe_full_model() const;
    void warn_poor(const ClosureFigures* averages, const ClosureFigures* bursts);

    const ClosureFigures* find(const std::string& name) const;

    Run& run_;
    const RunConfig& config_;
    const ClosureConfig& c_;
    const Model& model_;
    Stream& stream_;
    const Grid& grid_;
    const SampleSet& samples_;
    const FreeEnergy& free_energy_;
    Json metrics_ = Json::object();
    std::vector<std::string> warnings_;
    Progress& progress_;
    StageMeter& meter_;
    const index heal_steps_;
    int K_;
    double dt_;
    bool free_runs_ = true;
    double typical_diffusion_ = 0;
    ClosureEstimate narrow_;
    CvValue spacing_{};
    std::unique_ptr<CsvWriter> csv_;
    std::vector<ClosureSource> sources_;
    std::vector<ClosureSourceOfTwo> sources_of_two_;
    Buffer<float> starts_;
    std::vector<CvValue> burst_values_;
    index burst_replicas_ = 0;
    std::vector<Figure> full_rates_;
    std::vector<MeanTime> direct_;
};

template <class Source>
void ClosureStage::add_source(Source source) {
    try {
        if (source.replicates.empty()) {
            source.model = decltype(source.model)(source.estimate);
            for (index r = 0; r < Source::kReplicates; ++r)
                source.replicates.push_back(source.model.with(perturbed(
                    source.estimate, derived_seed(config_.seed, 5000), static_cast<uint64>(r))));
        }
        add_variants(source);
        if constexpr (std::is_same_v<Source, ClosureSource>)
            sources_.push_back(std::move(source));
        else
            sources_of_two_.push_back(std::move(source));
    } catch (const NumericError& e) {
        add_warning("closure, " + source.name + ": no reduced model: " + e.what());
    }
}

template <class Source>
void ClosureStage::reversible(const Source& conditional, const std::vector<EstimateOfTwo>& noisy) {
    if (!model_.gradient() || free_energy_.profile.size() != conditional.estimate.size()) return;
    Source source;
    source.name = "free_energy";
    source.estimate = conditional.estimate;
    source.variants = conditional.variants;
    try {
        const std::vector<double> density = log_density(-1);
        source.model = decltype(source.model)(source.estimate, density);
        add_rougher(source, density);
        if constexpr (std::is_same_v<Source, ClosureSource>) vary_bins(source);
        for (index r = 0; r < Source::kReplicates; ++r) {
            if constexpr (std::is_same_v<Source, ClosureSourceOfTwo>)
                if (!noisy.empty()) {
                    source.replicates.push_back(
                        source.model.with(noisy[static_cast<std::size_t>(r)], log_density(r)));
                    continue;
                }
            source.replicates.push_back(source.model.with(
                perturbed(source.estimate, derived_seed(config_.seed, 5003), static_cast<uint64>(r)),
                log_density(r)));
        }
    } catch (const NumericError& e) {
        add_warning(std::string("closure, free energy: no reduced model: ") + e.what());
        return;
    }
    add_source(std::move(source));
}

}  // namespace microlift
