// The closure stage: the reduced models, what follows from each, and the full model beside them.
// stage_close.cpp has the averages and the comparison, stage_close_bursts.cpp the bursts and the
// slowest rate, stage_close_passages.cpp first passages and committors.
#pragma once

#include <cmath>

#include "sampling/closure.h"
#include "sampling/first_passage.h"
#include "sampling/pipeline_stages.h"

namespace microlift {

// A reduced model and what it came from.
struct ClosureSource {
    std::string name;
    ClosureEstimate estimate;
    ReducedModel model;
    std::vector<ReducedModel> replicates;  // of the model, for errors
    std::vector<MeanTime> simulated;       // first passages, by target
    double lag = 0;                        // bursts alone

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

inline constexpr index kClosureReplicates = 32;  // of every reduced model

class ClosureStage {
public:
    ClosureStage(const RunConfig& run, const Model& model, Stream& stream, const Grid& grid,
                 const SampleSet& samples, const std::vector<double>& free_energy,
                 const std::vector<double>& free_energy_error, const fs::path& dir,
                 Progress& progress, StageMeter& meter)
        : run_(run), c_(run.closure), model_(model), stream_(stream), grid_(grid),
          samples_(samples), free_energy_(free_energy), free_energy_error_(free_energy_error),
          dir_(dir), progress_(progress), meter_(meter), K_(model.n_cvs()),
          dt_(c_.dt > 0 ? c_.dt : run.integrator.dt) {}

    const Json& metrics() const { return metrics_; }
    const std::vector<std::string>& warnings() const { return warnings_; }

    void run(const ConditionalMoments& moments);

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

    CvValue centre(index b) const {
        return {grid_.centre(0, b), K_ == 2 ? grid_.centre(1, b) : 0.0};
    }

    void add_source(ClosureSource source);

    // --- averages --------------------------------------------------------------------------------

    void conditional(const ConditionalMoments& m);
    // Of systems with a potential: the free energy's density with the diffusion of `conditional`. It needs
    // no integral of drift over diffusion, which fails where the diffusion nearly vanishes.
    void reversible(const ClosureSource& conditional);

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
    void bursts_of_two(const BurstMoments& m);

    // Rates of the full model: the slowest from free trajectories, the next from the bursts'
    // transition matrices where those tell it.
    void relax(const ReducedModel& reduced, index lag, const std::vector<Figure>& from_bursts);

    void write_lags(const BurstClosure& closure);

    // --- first passages --------------------------------------------------------------------------

    PassageOptions passage_options(uint64 part);

    static PassageSet threshold(double from, double to);

    void passages();

    // The reduced model by the engine, from tables that reach beyond its ends.
    void simulate(ClosureSource& s, double from);

    // The committor between passage_from and the last of passage_to: reduced against full, from the
    // states that bursts start from. And between two balls from given states.
    void committors();

    // --- what came out ---------------------------------------------------------------------------

    void write_curves();

    void compare();

    Figure time_of(const ClosureSource& s, std::size_t i) const;
    const ClosureSource* find(const std::string& name) const;

    const RunConfig& run_;
    const ClosureConfig& c_;
    const Model& model_;
    Stream& stream_;
    const Grid& grid_;
    const SampleSet& samples_;
    const std::vector<double>&free_energy_, &free_energy_error_;  // energy, by bin
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
    std::vector<ClosureSource> sources_;
    Buffer<float> starts_;
    std::vector<CvValue> burst_values_;
    index burst_replicas_ = 0;
    std::vector<Figure> full_rates_;
    std::vector<MeanTime> direct_;
};

}  // namespace microlift
