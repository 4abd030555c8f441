#include "sampling/run/config/memory.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "engine/device/allocations.h"
#include "nn/generators/registry.h"
#include "nn/train/training.h"
#include "sampling/closure/bursts.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/estimate/conditional.h"
#include "sampling/estimate/mixture_pass.h"
#include "sampling/lift/lifting.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/work/steered_config.h"

namespace microlift {

namespace {

constexpr double kFloat = 4, kDouble = 8;
constexpr double kLibraries = 2.5e7;  // what they take once they are used, and small blocks
constexpr index kPiece = 1 << 18;  // samples that are written, and states that are calmed, at once

class MemoryPlan {
public:
    MemoryPlan(const RunConfig& run, const Model& model, const Device& device)
        : run_(run), model_(model), device_(device), stream_(device), grid_(run.grid()), D_(model.dim()),
          K_(model.n_cvs()), n_(run.umbrella.histogram ? 0 : static_cast<index>(run.stored_samples())) {
        if (run.bias.along_path()) n_ = 0;
        blocks_.blocks = {{0, 0, run.umbrella.window_count(), run.umbrella.replicas,
                           run.umbrella.samples_per_trajectory()}};
    }
    RunMemory plan(double process) {
        RunMemory memory;
        memory.process = process + kLibraries;
        memory.samples = kFloat * per_sample() * static_cast<double>(n_);
        const auto add = [&](const char* stage, double bytes) {
            if (bytes > 1e6) memory.stages.push_back({stage, bytes});
        };
        if (run_.rates.enabled) add("rates", rates());
        if (!run_.sampled) return memory;
        add("sample", sampling());
        if (run_.estimate.enabled && n_ > 0) add("estimate", estimate());
        if (n_ == 0) return memory;
        const bool knows = !model_.states_alone();
        if (run_.generator.enabled) add("train", training());
        if (learned() > 0) add("averages", averages(learned(), grid_));
        if (run_.closure.enabled) add("close", closing());
        if (run_.closure.enabled && run_.closure.bursts && knows) add("bursts", bursts());
        if (run_.generator.enabled) add("lift", lifting());
        if (run_.generator.enabled && run_.lifting.energies > 0 && knows)
            add("energies", lifted(run_.lifting.energies * run_.lifting.energy_states));
        return memory;
    }

private:
    static double of(index numbers) { return static_cast<double>(numbers); }
    bool molecule() const { return model_.molecule() != nullptr; }

    // What generators learn and averages are of; the numbers of a sample that are kept besides the state.
    index learned() const {
        if (model_.observed()) return model_.target_dim();
        if (molecule()) return std::ssize(model_.feature_names());
        return std::ssize(free_variables(model_));
    }
    index copied() const {
        if (model_.observed() || molecule()) return learned();
        const std::vector<int> free = free_variables(model_);
        const bool contiguous = free.empty() || free.back() - free.front() + 1 == static_cast<int>(free.size());
        return contiguous ? 0 : std::ssize(free);
    }
    double per_sample() const {
        double floats = static_cast<double>(D_ + K_);
        if (run_.sampled) floats += static_cast<double>(copied());
        if (run_.learn.enabled) ++floats;
        if (run_.samples.given && run_.samples.given->weighted()) ++floats;
        return floats;
    }
    // Trajectories at once, of any ensemble of the system.
    double ensemble(index trajectories) {
        const std::shared_ptr<const PathKernel> kernel = model_.path_kernel(model_.path_setup(run_.integrator));
        double bytes = static_cast<double>(
            most_allocated([&] { const Ensemble made(stream_, kernel, trajectories, 1, 1); }));
        if (molecule()) bytes += kFloat * of(2 * D_ * trajectories);  // the last good states
        return bytes;
    }
    // Samples on their way into a file.
    double piece() const { return of(std::min(n_, kPiece)) * (kFloat * of(D_ + K_ + 2) + kDouble); }

    double sampling() {
        if (run_.samples.enabled) return 0;
        const index trajectories = std::max<index>(run_.umbrella.trajectories(),
                                                   run_.coupling.enabled ? run_.coupling.windows * run_.coupling.replicas : 0);
        const double states = kFloat * of(D_ * trajectories) * (run_.integrator.scheme == "baoab" || molecule() ? 2 : 1);
        // The ensembles; a checkpoint's copy of the states, and the store's.
        double bytes = ensemble(trajectories) * of(1 + std::ssize(run_.umbrella.molecule.temperatures)) + 2 * states + piece();
        bytes += steered_bytes(run_.bias, run_.umbrella);
        if (run_.umbrella.histogram) bytes += of(trajectories) * (16.0 + 64.0) * of(D_ + K_);
        return bytes;
    }

    ErrorBlocks error_blocks() const { return choose_error_blocks(blocks_, 1, run_.estimate.blocks); }
    double estimate() const {
        const index windows = (run_.umbrella.window_count() + kWindowGroup - 1) / kWindowGroup * kWindowGroup;
        bool period = false;
        for (index k = 0; k < K_; ++k) period = period || model_.all_round(static_cast<int>(k));
        const double moments = of(window_moments_scratch(blocks_.blocks[0], error_blocks().time_segments, static_cast<int>(K_)));
        const double weights = kFloat * of(n_), near = period ? kFloat * of(K_ * n_) : 0;
        return weights + std::max(near + kDouble * std::max(moments, of(mixture_scratch(n_, windows))), piece());
    }

    // A network on a whole batch has derivatives at its first and its last layer that no training asks for: nobody writes
    // to these arrays, so that they take no memory on a CPU.
    double unwritten(const TrainerConfig& config, index states) const {
        if (config.kind == "cgan" || config.architecture != "mlp" || !device_.is_cpu()) return 0;
        constexpr index kPadded = 16, kLatent = 4;
        const auto padded = [](index width) { return (width + kPadded - 1) / kPadded * kPadded; };
        const index drawn = config.kind == "energy" ? (config.latent > 0 ? config.latent : std::max(kLatent, states))
                                                    : states + 1 + 2 * config.time_waves;
        const index inputs = feature_count(config.periods, static_cast<int>(K_), config.waves) + drawn;
        return kFloat * of(config.batch) * of(2 * padded(inputs) + padded(states));
    }
    double training() {
        const index states = molecule() ? D_ - 6 : learned();
        if (states < 1) return 0;
        const TrainerConfig config = trainer_config(run_.generator, run_.cv, run_.generator.iterations, 1);
        double bytes = static_cast<double>(most_allocated(
            [&] { make_trainer(stream_, config, static_cast<int>(states), static_cast<int>(K_)); }));
        bytes -= unwritten(config, states);
        // Held-out samples of each bin and as many generated ones, sorted.
        const double held = std::min(of(n_) * config.held_out, of(config.validation_bins * config.validation_samples));
        bytes += held * kFloat * of(K_ + 4 * states);
        if (molecule()) bytes += kFloat * of(states * n_);
        if (run_.samples.enabled) bytes += of(n_) * (kFloat * of(states + K_) + 3 * kDouble);
        return bytes;
    }

    double averages(index variables, const Grid& grid) const {
        return conditional_bytes(n_, grid, error_blocks(), variables);
    }
    double closing() const {
        if (molecule()) return 0;
        Grid narrow = grid_;
        if (K_ == 1) narrow.bins[0] *= 3;
        return kFloat * of(model_.closure_outputs() * n_) + averages(model_.closure_outputs(), narrow);
    }

    double bursts() {
        const auto side = static_cast<index>(std::sqrt(of(run_.closure.values)));
        const index values = K_ == 1 ? run_.closure.values : std::max<index>(16, side * side);
        const index replicas = std::max<index>(1, run_.closure.replicas / kBurstBlocks) * kBurstBlocks;
        const index count = values * replicas;
        return burst_bytes(device_, static_cast<int>(D_), static_cast<int>(K_), count, molecule()) + ensemble(count);
    }

    // States that a generator makes, once: conditions, states, what the generator makes of them, a copy on the host.
    double lifted(index count) {
        const double made = of(count) * kFloat * of(2 * K_ + 2 * D_ + learned());
        const index healed = run_.lifting.heal_steps != 0 && !model_.observed() ? count : 0;
        return made + (healed > 0 ? ensemble(healed) : 0);
    }
    double lifting() {
        const AveragedStates averaged = averaged_states(grid_.size(), static_cast<int>(D_));
        const index values = K_ == 1 ? std::min(run_.lifting.values, 2 * run_.umbrella.windows[0]) : run_.lifting.values;
        const index judged = values * run_.lifting.states;
        const index kinds = 1 + std::ssize(run_.generator.compare);
        const double of_judged = lifted(judged) + of(judged) * kFloat * of(learned()) * of(kinds);
        const double of_bins = of(grid_.size() * averaged.generated) * kFloat * of(2 * K_ + 2 * D_ + learned());
        return std::max({of_bins, lifted(grid_.size() * averaged.healed), of_judged});
    }

    double rates() const {
        return rates_cost(run_.rates, variable_count(run_.system), molecule() || run_.integrator.scheme == "baoab").memory_bytes;
    }

    const RunConfig& run_;
    const Model& model_;
    const Device device_;
    Stream stream_;
    const Grid grid_;
    const index D_, K_;
    index n_;
    BiasedSamples blocks_;  // of which only the blocks are there
};

}  // namespace

const StageMemory& RunMemory::greatest() const {
    static const StageMemory none{"sample", 0};
    const auto most = std::ranges::max_element(stages, {}, &StageMemory::bytes);
    return most == stages.end() ? none : *most;
}

namespace {

double status_bytes(const std::string& key) {
    std::ifstream in("/proc/self/status");
    for (std::string line; std::getline(in, line);)
        if (line.starts_with(key + ":")) return 1024 * std::strtod(line.c_str() + key.size() + 1, nullptr);
    return 0;
}

}  // namespace

double resident_bytes() { return status_bytes("VmRSS"); }
double most_resident_bytes() { return status_bytes("VmHWM"); }

RunMemory run_memory(const RunConfig& run, const Model& model, const Device& device, double process) {
    return MemoryPlan(run, model, device).plan(process);
}

}  // namespace microlift
