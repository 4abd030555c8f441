// The closures: from averages over physics, generated and healed states, and from bursts; what follows
// from each by quadrature and by simulation, beside the full model; and what is not to be trusted.
#include <algorithm>
#include <cmath>

#include "kernels/rng_streams.h"
#include "sampling/closure.h"
#include "sampling/first_passage.h"
#include "sampling/pipeline_stages.h"
#include "sampling/slowest_rate.h"

namespace microlift {

namespace {

constexpr index kReplicates = 32;           // of every reduced model, for errors
constexpr double kBurstWork = 1.5e9;        // trajectory-steps of bursts whose length is chosen
constexpr double kReach = 0.15;             // of the range that the longest lag of a closure diffuses
constexpr index kShortLags = 6;             // halvings below the longest lag
constexpr index kTable = 2048;              // points of a simulated reduced model
constexpr index kCurve = 201;               // points of reduced.csv
constexpr index kStartsNear = 16;           // samples that a value needs for bursts to start there
constexpr index kAveraged = 4096;           // generated states at each bin
constexpr double kPoor = 0.2;               // ln of a ratio of rates or times that is worth a warning

struct Source {
    std::string name;
    ClosureEstimate estimate;
    ReducedModel model;
    std::vector<ReducedModel> replicates;
    std::vector<MeanTime> simulated;
    double lag = 0;

    template <class F>
    Figure figure(const F& f) const {
        Figure out{f(model), 0};
        for (const ReducedModel& r : replicates) {
            const double d = f(r) - out.value;
            out.error += d * d / static_cast<double>(replicates.size());
        }
        out.error = std::sqrt(out.error);
        return out;
    }
};

Json json_of(const Figure& f) { return {{"value", f.value}, {"error", f.error}}; }

bool apart(const Figure& a, const Figure& b) {
    if (!(a.value > 0) || !(b.value > 0)) return false;
    const double log_ratio = std::fabs(std::log(a.value / b.value));
    return log_ratio > kPoor && log_ratio > 3 * std::hypot(a.error / a.value, b.error / b.value);
}

std::string with_error(const Figure& f) { return number(f.value) + " +- " + number(f.error); }

}  // namespace

// The stage's work, on the pipeline's own objects.
class ClosureStage {
public:
    ClosureStage(const RunConfig& run, const Model& model, Stream& stream, const Grid& grid,
                 const SampleSet& samples, const fs::path& dir, Progress& progress,
                 StageMeter& meter)
        : run_(run), c_(run.closure), model_(model), stream_(stream), grid_(grid),
          samples_(samples), dir_(dir), progress_(progress), meter_(meter), K_(model.n_cvs()),
          dt_(c_.dt > 0 ? c_.dt : run.integrator.dt) {}

    const Json& metrics() const { return metrics_; }
    const std::vector<std::string>& warnings() const { return warnings_; }

    void run(const ConditionalMoments& moments) {
        open_csv();
        conditional(moments);
        lifted();
        overdamped_ = run_.integrator.scheme != "baoab";
        if (!overdamped_ && (c_.bursts || !c_.passage_to.empty()))
            add_warning("closure: bursts and first passages are overdamped dynamics; left out with "
                  "integrator.scheme = \"baoab\"");
        if (c_.bursts && overdamped_) {
            try {
                bursts();
            } catch (const InputError& e) {
                add_warning(std::string("closure: no bursts were run: ") + e.what());
            }
        }
        csv_->finish();
        if (K_ == 1) {
            passages();
            committors();
            write_curves();
            compare();
        } else if (!c_.passage_to.empty()) {
            add_warning("closure.passage_to: first passages need one collective variable; left out");
        }
    }

private:
    void add_warning(const std::string& text) { warnings_.push_back(text); }

    void open_csv() {
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
        csv_ = std::make_unique<CsvWriter>(dir_ / "closure.csv", columns);
    }

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

    CvValue centre(index b) const {
        return {grid_.centre(0, b), K_ == 2 ? grid_.centre(1, b) : 0.0};
    }

    void add_source(Source source) {
        try {
            if (source.replicates.empty()) {
                source.model = ReducedModel(source.estimate);
                for (uint64 r = 0; r < static_cast<uint64>(kReplicates); ++r)
                    source.replicates.emplace_back(
                        perturbed(source.estimate, derived_seed(run_.seed, 5000), r),
                        source.model.drift_lambda(), source.model.diffusion_lambda());
            }
            sources_.push_back(std::move(source));
        } catch (const NumericError& e) {
            add_warning("closure, " + source.name + ": no reduced model: " + e.what());
        }
    }

    // --- averages ---------------------------------------------------------------------------------

    void conditional(const ConditionalMoments& m) {
        for (index b = 0; b < grid_.size(); ++b)
            row(centre(b), [&](int o) { return m.mean[m.place(o, b)]; },
                [&](int o) { return m.mean_error[m.place(o, b)]; }, "conditional");
        double weight = 0;
        for (index b = 0; b < grid_.size(); ++b)
            if (const double d = m.mean[m.place(K_, b)]; std::isfinite(d)) {
                typical_diffusion_ += d;
                weight += 1;
            }
        typical_diffusion_ /= std::max(weight, 1.0);
        if (K_ != 1) return;
        Source source;
        source.name = "conditional";
        ClosureEstimate& e = source.estimate;
        for (index b = 0; b < grid_.size(); ++b) {
            e.x.push_back(grid_.centre(0, b));
            e.drift.push_back(m.mean[m.place(0, b)]);
            e.drift_error.push_back(m.mean_error[m.place(0, b)]);
            e.diffusion.push_back(m.mean[m.place(1, b)]);
            e.diffusion_error.push_back(m.mean_error[m.place(1, b)]);
        }
        // Errors of neighbouring bins go together: the replicates follow the blocks' influence.
        try {
            source.model = ReducedModel(e);
        } catch (const NumericError& problem) {
            add_warning(std::string("closure, conditional: no reduced model: ") + problem.what());
            return;
        }
        const double factor = std::sqrt(static_cast<double>(m.blocks) /
                                        std::max(1.0, static_cast<double>(m.blocks - 1)));
        for (index r = 0; r < kReplicates; ++r) {
            ClosureEstimate other = e;
            const PhiloxStream<float> rng(derived_seed(run_.seed, 5001), kStreamBootstrap, r);
            for (index g = 0; g < m.blocks; ++g) {
                float z[4];
                normal_block<Portable>(rng, static_cast<uint64>(g), z);
                const double shift = factor * static_cast<double>(z[0]);
                for (index b = 0; b < grid_.size(); ++b) {
                    const auto i = static_cast<std::size_t>(b);
                    const double d0 = m.mean_influence[static_cast<std::size_t>(
                                     g * grid_.size() + b)],
                                 d1 = m.mean_influence[static_cast<std::size_t>(
                                     (m.blocks + g) * grid_.size() + b)];
                    if (std::isfinite(d0)) other.drift[i] += shift * d0;
                    if (std::isfinite(d1)) other.diffusion[i] += shift * d1;
                }
            }
            for (std::size_t i = 0; i < other.x.size(); ++i)
                other.diffusion[i] = std::max(other.diffusion[i], 0.1 * e.diffusion[i]);
            source.replicates.emplace_back(other, source.model.drift_lambda(),
                                           source.model.diffusion_lambda());
        }
        add_source(std::move(source));
    }

    // Generated states at every bin, and the same healed.
    void lifted() {
        if (!run_.generator.enabled || model_.observed()) return;
        Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                      run_.generator.project);
        const index bins = grid_.size();
        const index each = std::clamp<index>(800000 / bins, 64, kAveraged);
        std::vector<CvValue> values;
        for (index b = 0; b < bins; ++b) values.push_back(centre(b));
        const Buffer<float> s = repeated_values(stream_, K_, values, each);
        Buffer<float> x(stream_.device(), model_.dim() * bins * each);
        lifter.lift(s.span(), bins * each, derived_seed(run_.seed, 5010), 0, x.span());
        average("generator", values, x.span(), each);
        if (run_.lifting.heal_steps == 0) return;
        meter_.work(0, heal(stream_, model_, run_.integrator, s.span(), bins * each,
                            run_.lifting.heal_steps, derived_seed(run_.seed, 5011), 0, x.span(),
                            [](index) { throw_if_stopped(); }));
        average("healed", values, x.span(), each);
    }

    void average(const std::string& name, const std::vector<CvValue>& values, Span<const float> x,
                 index each) {
        const index n = static_cast<index>(values.size());
        const AveragedClosure a = average_closure(stream_, model_, x, n, each);
        Source source;
        source.name = name;
        for (index b = 0; b < n; ++b) {
            const auto place = [&](int o) { return static_cast<std::size_t>(o * n + b); };
            row(values[static_cast<std::size_t>(b)], [&](int o) { return a.mean[place(o)]; },
                [&](int o) { return a.error[place(o)]; }, name);
            if (K_ != 1) continue;
            source.estimate.x.push_back(values[static_cast<std::size_t>(b)][0]);
            source.estimate.drift.push_back(a.mean[place(0)]);
            source.estimate.drift_error.push_back(a.error[place(0)]);
            source.estimate.diffusion.push_back(a.mean[place(1)]);
            source.estimate.diffusion_error.push_back(a.error[place(1)]);
        }
        if (K_ == 1) add_source(std::move(source));
    }

    // --- bursts -----------------------------------------------------------------------------------

    std::vector<CvValue> burst_values() {
        CvValue from = grid_.from, to = grid_.to;
        if (c_.start == "physics" && K_ == 1) covered(from[0], to[0]);
        std::vector<CvValue> values;
        const index side =
            K_ == 1 ? c_.values
                    : std::max<index>(4, static_cast<index>(
                                             std::sqrt(static_cast<double>(c_.values))));
        const auto at = [&](std::size_t k, index i) {
            return from[k] + (to[k] - from[k]) * static_cast<double>(i) /
                                 static_cast<double>(side - 1);
        };
        for (index i = 0; i < side; ++i)
            for (index j = 0; j < (K_ == 2 ? side : 1); ++j)
                values.push_back({at(0, i), K_ == 2 ? at(1, j) : 0.0});
        spacing_[0] = (to[0] - from[0]) / static_cast<double>(side - 1);
        spacing_[1] = K_ == 2 ? (to[1] - from[1]) / static_cast<double>(side - 1) : 1.0;
        return values;
    }

    // The longest run of the bursts' values that all have samples near them.
    void covered(double& from, double& to) {
        const std::vector<float> xi =
            to_host(stream_, Span<const float>(samples_.xi.span().subspan(0, samples_.n)));
        const index cells = c_.values - 1;
        const double width = (to - from) / static_cast<double>(cells);
        std::vector<index> near(static_cast<std::size_t>(c_.values), 0);
        for (const float value : xi) {
            const double t = (static_cast<double>(value) - from) / width + 0.5;
            if (t >= 0 && t < static_cast<double>(c_.values)) ++near[static_cast<std::size_t>(t)];
        }
        index best = 0, end = -1, length = 0;
        for (index v = 0; v < c_.values; ++v) {
            length = near[static_cast<std::size_t>(v)] >= kStartsNear ? length + 1 : 0;
            if (length > best) {
                best = length;
                end = v;
            }
        }
        if (best == c_.values) return;
        const double whole[2] = {from, to};
        if (best >= 8) {
            to = whole[0] + width * static_cast<double>(end);
            from = whole[0] + width * static_cast<double>(end - best + 1);
        }
        add_warning("closure: bursts start between " + number(from) + " and " + number(to) +
                    " only: elsewhere between " + number(whole[0]) + " and " + number(whole[1]) +
                    " fewer than " + std::to_string(kStartsNear) +
                    " stored samples lie near a value; the closure from bursts takes those ends "
                    "for walls");
    }

    Buffer<float> starts(const std::vector<CvValue>& values, index replicas, uint64 part) {
        const CvValue reach{0.5 * spacing_[0], 0.5 * spacing_[1]};
        const uint64 seed = derived_seed(run_.seed, part);
        if (c_.start == "constrained")
            return constrained_starts(stream_, model_, run_.integrator, run_.umbrella.initial_state,
                                      values, replicas, c_.equilibrate, seed);
        if (c_.start == "physics" || model_.observed())
            return physics_starts(stream_, model_, samples_, values, reach, replicas);
        const index n = static_cast<index>(values.size()) * replicas;
        Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                      run_.generator.project);
        const Buffer<float> s = repeated_values(stream_, K_, values, replicas);
        Buffer<float> x(stream_.device(), model_.dim() * n);
        lifter.lift(s.span(), n, seed, 0, x.span());
        if (c_.start == "healed" && run_.lifting.heal_steps > 0)
            meter_.work(0, heal(stream_, model_, run_.integrator, s.span(), n,
                                run_.lifting.heal_steps, derived_seed(run_.seed, part + 1), 0,
                                x.span(), [](index) { throw_if_stopped(); }));
        return x;
    }

    void bursts() {
        const std::vector<CvValue> values = burst_values();
        const index replicas =
            std::max<index>(1, c_.replicas / kBurstBlocks) * kBurstBlocks;
        const index n = static_cast<index>(values.size()) * replicas;
        // Lags of the closure, doubling.
        BurstOptions options;
        options.dt = dt_;
        options.seed = derived_seed(run_.seed, 5020);
        if (!c_.burst_lags.empty()) {
            options.lags = c_.burst_lags;
        } else {
            index longest = c_.burst_steps;
            if (longest == 0) {
                const double range = kReach * (grid_.to[0] - grid_.from[0]);
                const double steps = range * range / (2 * std::max(typical_diffusion_, 1e-300) * dt_);
                longest = static_cast<index>(std::clamp(
                    steps, 8.0, std::max(8.0, kBurstWork / static_cast<double>(n))));
            }
            for (index h = kShortLags; h >= 0; --h)
                if (const index lag = longest >> h; lag > 0 && (options.lags.empty() ||
                                                                lag > options.lags.back()))
                    options.lags.push_back(lag);
        }
        progress_.begin("bursts", static_cast<double>(options.lags.back()) * static_cast<double>(n),
                        "steps");
        options.after = [&](double done) {
            progress_.update(done);
            throw_if_stopped();
        };
        starts_ = starts(values, replicas, 5021);
        burst_values_ = values;
        burst_replicas_ = replicas;
        for (std::size_t k = 0; k < static_cast<std::size_t>(K_); ++k)
            options.periods[k] = run_.cv.variables[k].period;
        const BurstMoments m = run_bursts(stream_, model_, run_.integrator, values, starts_.span(),
                                          replicas, options);
        meter_.work(m.steps, m.force_evaluations);
        progress_.end();
        if (K_ == 2) {
            const std::size_t lag = options.lags.size() > 2 ? options.lags.size() - 3 : 0;
            metrics_["lag"] = m.tau(lag);
            for (std::size_t v = 0; v < values.size(); ++v)
                row(values[v],
                    [&](int o) {
                        const BurstPoint& p = m.point(lag, v);
                        return o < 2 ? p.mean[o] / m.tau(lag) : p.covariance[o - 2] / (2 * m.tau(lag));
                    },
                    [&](int o) {
                        const BurstPoint& p = m.point(lag, v);
                        return o < 2 ? p.mean_error[o] / m.tau(lag)
                                     : p.covariance_error[o - 2] / (2 * m.tau(lag));
                    },
                    "burst");
            return;
        }
        const BurstClosure closure = burst_closure(m, options.lags.size(), c_.tolerance);
        write_lags(closure);
        const BurstLag& lag = closure.lags[closure.chosen];
        relax(lag.model, options.lags.back(), burst_rates(m, 2));
        metrics_["lag"] = lag.tau;
        metrics_["plateau"] = closure.plateau;
        metrics_["start"] = c_.start;
        Json list = Json::array();
        for (const BurstLag& l : closure.lags) {
            Json j{{"lag", l.tau}, {"rate", l.rate}, {"rate_error", l.rate_error},
                   {"plateau", l.plateau}};
            Json times = Json::array();
            for (double to : c_.passage_to)
                times.push_back(l.model.mean_time(*c_.passage_from, to));
            if (!times.empty()) j["passages"] = times;
            list.push_back(j);
        }
        metrics_["lags"] = list;
        if (!closure.plateau && closure.lags.size() > 1) {
            const BurstLag& last = closure.lags.back();
            const BurstLag& before = closure.lags[closure.lags.size() - 2];
            add_warning("the bursts show no plateau: from the lag " + number(before.tau) + " to " +
                  number(last.tau) + " the slowest rate of their closure goes from " +
                  number(before.rate) + " to " + number(last.rate) +
                  "; do not trust it, and give longer bursts (closure.burst_steps)");
        }
        for (std::size_t i = 0; i < lag.corrected.x.size(); ++i)
            row({lag.corrected.x[i], 0},
                [&](int o) { return o == 0 ? lag.corrected.drift[i] : lag.corrected.diffusion[i]; },
                [&](int o) {
                    return o == 0 ? lag.corrected.drift_error[i] : lag.corrected.diffusion_error[i];
                },
                "burst");
        Source source;
        source.name = "burst";
        source.lag = lag.tau;
        source.estimate = lag.corrected;
        source.model = lag.model;
        // Replicates of the measured displacements, each inverted anew.
        for (uint64 r = 0; r < static_cast<uint64>(kReplicates); ++r) {
            const ClosureEstimate e =
                perturbed(lag.apparent, derived_seed(run_.seed, 5022), r);
            std::vector<double> mean, mean_error, variance, variance_error;
            for (std::size_t i = 0; i < e.x.size(); ++i) {
                mean.push_back(e.drift[i] * lag.tau);
                mean_error.push_back(e.drift_error[i] * lag.tau);
                variance.push_back(e.diffusion[i] * 2 * lag.tau);
                variance_error.push_back(e.diffusion_error[i] * 2 * lag.tau);
            }
            ReducedModel model;
            invert_displacements(e.x, lag.tau, mean, mean_error, variance, variance_error, model,
                                 &lag.model, lag.model.drift_lambda(), lag.model.diffusion_lambda());
            source.replicates.push_back(std::move(model));
        }
        sources_.push_back(std::move(source));
    }

    // Rates of the full model: the slowest from free trajectories, the next from the bursts' transition
    // matrices where those tell it.
    void relax(const ReducedModel& reduced, index lag, const std::vector<Figure>& from_bursts) {
        if (c_.relaxation == 0) return;
        SlowestRateOptions options;
        options.dt = dt_;
        options.seed = derived_seed(run_.seed, 5025);
        options.lag = 2 * lag;
        options.work = c_.relaxation;
        options.after = [&](double done) {
            progress_.update(done);
            throw_if_stopped();
        };
        progress_.begin("relaxation of the full model", options.work, "steps");
        const SlowestRate r = slowest_rate(stream_, model_, run_.integrator, burst_values_,
                                          starts_.span(), burst_replicas_, reduced, options);
        progress_.end();
        meter_.work(r.steps, r.force_evaluations);
        if (!(r.rate.error < 0.3 * r.rate.value)) return;
        full_rates_.push_back(r.rate);
        metrics_["relaxation"] = {{"first", r.first}, {"second", r.second},
                                  {"trajectories", r.trajectories}};
        if (from_bursts.size() > 1 && from_bursts[1].error < 0.3 * from_bursts[1].value)
            full_rates_.push_back(from_bursts[1]);
    }

    void write_lags(const BurstClosure& closure) {
        CsvWriter csv(dir_ / "bursts.csv",
                      {"cv_1", "lag", "drift", "drift_se", "diffusion", "diffusion_se",
                       "apparent_drift", "apparent_diffusion"});
        for (const BurstLag& l : closure.lags)
            for (std::size_t i = 0; i < l.corrected.x.size(); ++i)
                csv.row({l.corrected.x[i], l.tau, l.corrected.drift[i], l.corrected.drift_error[i],
                         l.corrected.diffusion[i], l.corrected.diffusion_error[i],
                         l.apparent.drift[i], l.apparent.diffusion[i]});
        csv.finish();
    }

    // --- first passages -----------------------------------------------------------------------------

    PassageOptions passage_options(uint64 part) {
        PassageOptions options;
        options.dt = dt_;
        options.seed = derived_seed(run_.seed, part);
        options.max_steps = static_cast<uint64>(c_.passage_steps);
        options.after = [this](double share) {
            progress_.update(share);
            throw_if_stopped();
        };
        return options;
    }

    static PassageSet threshold(double from, double to) {
        return to >= from ? above(0, to) : below(0, to);
    }

    void passages() {
        if (c_.passage_to.empty()) return;
        const double from = *c_.passage_from;
        const index n = c_.passages;
        for (Source& s : sources_)
            if (s.name == "conditional" || s.name == "burst") simulate(s, from);
        if (!overdamped_) return;
        Buffer<float> start;
        if (!c_.passage_state.empty()) {
            std::vector<float> host;
            for (double v : c_.passage_state)
                host.insert(host.end(), static_cast<std::size_t>(n), static_cast<float>(v));
            start = Buffer<float>(stream_.device(), model_.dim() * n);
            copy_to_device(stream_, start.span(), host.data());
        } else {
            spacing_ = {grid_.width(0), 1.0};
            start = starts({{from, 0.0}}, n, 5030);
        }
        const auto kernel = passage_kernel(model_, model_.path_setup(run_.integrator));
        for (std::size_t i = 0; i < c_.passage_to.size(); ++i) {
            progress_.begin("first passages to " + number(c_.passage_to[i]), 1, "of them");
            const PassageResult r =
                run_passages(stream_, *kernel, start.span(), n, PassageSet{},
                             threshold(from, c_.passage_to[i]), passage_options(5040 + i));
            meter_.work(r.steps, r.force_evaluations);
            progress_.end();
            direct_.push_back(mean_passage_time(r));
            if (direct_.back().unfinished > 0)
                add_warning(std::to_string(direct_.back().unfinished) + " of " + std::to_string(n) +
                      " first passages to " + number(c_.passage_to[i]) +
                      " were not over after closure.passage_steps; the mean takes them for "
                      "exponential");
        }
    }

    // The reduced model by the engine, from tables that reach beyond its ends.
    void simulate(Source& s, double from) {
        const double margin = 0.25 * (s.model.to() - s.model.from());
        const double low = s.model.from() - margin, high = s.model.to() + margin;
        std::vector<float> drift, sigma;
        for (index i = 0; i < kTable; ++i) {
            const double x =
                low + (high - low) * static_cast<double>(i) / static_cast<double>(kTable - 1);
            // A drift that would lead out beyond the ends is turned back.
            double b = s.model.drift(x);
            if (x > s.model.to()) b = std::min(b, s.model.diffusion(x) / margin * -20);
            if (x < s.model.from()) b = std::max(b, s.model.diffusion(x) / margin * 20);
            drift.push_back(static_cast<float>(b));
            sigma.push_back(static_cast<float>(std::sqrt(2 * s.model.diffusion(x))));
        }
        Buffer<float> drift_table(stream_.device(), kTable), sigma_table(stream_.device(), kTable);
        copy_to_device(stream_, drift_table.span(), drift.data());
        copy_to_device(stream_, sigma_table.span(), sigma.data());
        const auto kernel = table_passage_kernel(low, high, drift_table.span(), sigma_table.span());
        const index n = c_.passages;
        const std::vector<float> host(static_cast<std::size_t>(n), static_cast<float>(from));
        Buffer<float> start(stream_.device(), n);
        copy_to_device(stream_, start.span(), host.data());
        for (std::size_t i = 0; i < c_.passage_to.size(); ++i) {
            progress_.begin("reduced model, " + s.name, 1, "of its passages");
            const PassageResult r = run_passages(stream_, *kernel, start.span(), n, PassageSet{},
                                                 threshold(from, c_.passage_to[i]),
                                                 passage_options(5060 + i));
            progress_.end();
            s.simulated.push_back(mean_passage_time(r));
        }
    }

    // The committor between passage_from and the last of passage_to: reduced against full, from the
    // states that bursts start from. And between two balls from given states.
    void committors() {
        if (!overdamped_) return;
        if (!c_.passage_to.empty() && burst_replicas_ > 0) {
            const double from = *c_.passage_from, to = c_.passage_to.back();
            const double a = std::min(from, to), b = std::max(from, to);
            std::vector<index> inside;
            for (std::size_t v = 0; v < burst_values_.size(); ++v)
                if (burst_values_[v][0] > a && burst_values_[v][0] < b)
                    inside.push_back(static_cast<index>(v));
            const index each = std::min<index>(burst_replicas_, 1024);
            const index n = static_cast<index>(inside.size()) * each;
            if (n > 0) {
                Buffer<float> start(stream_.device(), model_.dim() * n);
                const index all = static_cast<index>(burst_values_.size()) * burst_replicas_;
                for (int d = 0; d < model_.dim(); ++d)
                    for (std::size_t i = 0; i < inside.size(); ++i)
                        copy(stream_,
                             start.span().subspan(d * n + static_cast<index>(i) * each, each),
                             Span<const float>(starts_.span().subspan(
                                 d * all + inside[i] * burst_replicas_, each)));
                const auto kernel = passage_kernel(model_, model_.path_setup(run_.integrator));
                progress_.begin("committor", 1, "of the trajectories");
                const PassageResult r = run_passages(stream_, *kernel, start.span(), n, below(0, a),
                                                     above(0, b), passage_options(5080));
                meter_.work(r.steps, r.force_evaluations);
                progress_.end();
                Json list = Json::array();
                for (std::size_t i = 0; i < inside.size(); ++i) {
                    const index first = static_cast<index>(i) * each;
                    const Share q = second_before_first(r, first, first + each);
                    const double x = burst_values_[static_cast<std::size_t>(inside[i])][0];
                    Json j{{"cv", x}, {"direct", q.value}, {"direct_error", q.error}};
                    for (const Source& s : sources_) {
                        const Figure f =
                            s.figure([&](const ReducedModel& m) { return m.committor(x, a, b); });
                        j[s.name] = f.value;
                        j[s.name + "_error"] = f.error;
                    }
                    list.push_back(j);
                }
                metrics_["committor"] = list;
            }
        }
        if (c_.committor_points.empty()) return;
        const auto D = static_cast<std::size_t>(model_.dim());
        const std::size_t points = c_.committor_points.size() / D;
        const index each = c_.committor_runs, n = static_cast<index>(points) * each;
        std::vector<float> host(D * static_cast<std::size_t>(n));
        for (std::size_t d = 0; d < D; ++d)
            for (index j = 0; j < n; ++j)
                host[d * static_cast<std::size_t>(n) + static_cast<std::size_t>(j)] =
                    static_cast<float>(
                        c_.committor_points[static_cast<std::size_t>(j / each) * D + d]);
        Buffer<float> start(stream_.device(), static_cast<index>(host.size()));
        copy_to_device(stream_, start.span(), host.data());
        const auto set = [&](const std::vector<double>& numbers) {
            return ball(std::span<const double>(numbers.data(), D), numbers.back());
        };
        const auto kernel = passage_kernel(model_, model_.path_setup(run_.integrator));
        progress_.begin("committor of given states", 1, "of the trajectories");
        const PassageResult r =
            run_passages(stream_, *kernel, start.span(), n, set(c_.committor_a),
                         set(c_.committor_b), passage_options(5090));
        meter_.work(r.steps, r.force_evaluations);
        progress_.end();
        Json list = Json::array();
        for (std::size_t p = 0; p < points; ++p) {
            const index first = static_cast<index>(p) * each;
            const Share q = second_before_first(r, first, first + each);
            Json j;
            for (std::size_t d = 0; d < D; ++d) j["state"].push_back(c_.committor_points[p * D + d]);
            j["committor"] = q.value;
            j["error"] = q.error;
            list.push_back(j);
        }
        metrics_["committor_points"] = list;
    }

    // --- what came out -------------------------------------------------------------------------------

    void write_curves() {
        CsvWriter csv(dir_ / "reduced.csv",
                      {"cv_1", "drift", "drift_se", "diffusion", "diffusion_se", "density",
                       "density_se", "source"});
        for (const Source& s : sources_)
            for (index i = 0; i < kCurve; ++i) {
                const double x = s.model.from() + (s.model.to() - s.model.from()) *
                                                      static_cast<double>(i) /
                                                      static_cast<double>(kCurve - 1);
                const Figure b = s.figure([&](const ReducedModel& m) { return m.drift(x); });
                const Figure d = s.figure([&](const ReducedModel& m) { return m.diffusion(x); });
                const Figure p = s.figure([&](const ReducedModel& m) { return m.density(x); });
                csv.row({x, b.value, b.error, d.value, d.error, p.value, p.error, s.name});
            }
        csv.finish();
    }

    void compare() {
        Json sources = Json::array();
        for (const Source& s : sources_) {
            Json j{{"source", s.name}};
            if (s.lag > 0) j["lag"] = s.lag;
            for (int k = 0; k < 2; ++k)
                j["rates"].push_back(json_of(s.figure([&](const ReducedModel& m) {
                    return m.rates(2)[static_cast<std::size_t>(k)];
                })));
            for (std::size_t i = 0; i < c_.passage_to.size(); ++i) {
                Json p = json_of(time_of(s, i));
                p["from"] = *c_.passage_from;
                p["to"] = c_.passage_to[i];
                if (i < s.simulated.size()) {
                    p["simulated"] = s.simulated[i].mean;
                    p["simulated_error"] = s.simulated[i].error;
                }
                j["passages"].push_back(p);
            }
            sources.push_back(j);
        }
        Json full{{"source", "full"}};
        for (const Figure& f : full_rates_) full["rates"].push_back(json_of(f));
        for (std::size_t i = 0; i < direct_.size(); ++i)
            full["passages"].push_back({{"value", direct_[i].mean},
                                        {"error", direct_[i].error},
                                        {"from", *c_.passage_from},
                                        {"to", c_.passage_to[i]},
                                        {"unfinished", direct_[i].unfinished}});
        sources.push_back(full);
        metrics_["sources"] = sources;

        const Source* averages = find("conditional");
        const Source* bursts = find("burst");
        const auto rate = [](const ReducedModel& m) { return m.rates(1)[0]; };
        if (averages && bursts) {
            const Figure a = averages->figure(rate), b = bursts->figure(rate);
            if (apart(a, b))
                add_warning("the collective variable is poor: the two sources of the closure disagree; its "
                      "slowest rate is " +
                      with_error(a) + " by averages and " + with_error(b) +
                      " by bursts (lag " + number(bursts->lag) +
                      "), so it leaves out a slow motion; do not trust rates and times of the "
                      "closure from averages");
        }
        for (std::size_t i = 0; i < direct_.size(); ++i)
            for (const Source* s : {averages, bursts}) {
                if (!s) continue;
                const Figure closed = time_of(*s, i), full_time{direct_[i].mean, direct_[i].error};
                if (apart(closed, full_time))
                    add_warning("the collective variable is poor: from " + number(*c_.passage_from) +
                          " to " + number(c_.passage_to[i]) + " the full model takes " +
                          with_error(full_time) + ", the closure by " +
                          (s == averages ? "averages " : "bursts ") + with_error(closed));
            }
    }

    Figure time_of(const Source& s, std::size_t i) const {
        return s.figure([&](const ReducedModel& m) {
            return m.mean_time(*c_.passage_from, c_.passage_to[i]);
        });
    }
    const Source* find(const std::string& name) const {
        for (const Source& s : sources_)
            if (s.name == name) return &s;
        return nullptr;
    }

    const RunConfig& run_;
    const ClosureConfig& c_;
    const Model& model_;
    Stream& stream_;
    const Grid& grid_;
    const SampleSet& samples_;
    fs::path dir_;
    Json metrics_ = Json::object();
    std::vector<std::string> warnings_;
    Progress& progress_;
    StageMeter& meter_;
    int K_;
    double dt_;
    bool overdamped_ = true;
    double typical_diffusion_ = 0;
    CvValue spacing_{};
    std::unique_ptr<CsvWriter> csv_;
    std::vector<Source> sources_;
    Buffer<float> starts_;
    std::vector<CvValue> burst_values_;
    index burst_replicas_ = 0;
    std::vector<Figure> full_rates_;
    std::vector<MeanTime> direct_;
};

void Pipeline::close() {
    Json metrics;
    std::vector<std::string> warnings;
    {
        StageMeter meter(metrics_["stages"], "close");
        progress_.begin("close", 1, "pass");
        const int outputs = model_.closure_outputs();
        Buffer<float> values(device_, outputs * samples_.n);
        model_.closure(stream_, samples_.x.span(), samples_.row, samples_.n, values.span(),
                       samples_.n);
        const ConditionalMoments m =
            conditional_moments(stream_, samples_.biased(), values.span(), samples_.n, outputs,
                                grid_, error_blocks_);
        values = Buffer<float>();
        progress_.end();
        RunConfig run = run_;
        run.lifting.heal_steps = healing_steps();
        ClosureStage stage(run, model_, stream_, grid_, samples_, dir_, progress_, meter);
        stage.run(m);
        metrics = stage.metrics();
        warnings = stage.warnings();
    }
    metrics_["closure"] = metrics;
    for (const std::string& text : warnings) warn(text);
}

}  // namespace microlift
