// Training the generator on what was sampled.
#include "sampling/run/stages.h"

#include <algorithm>
#include <optional>

#include "engine/comm/communicator.h"
#include "engine/files/safetensors.h"
#include "sampling/run/checkpoint.h"
#include "sampling/run/checks.h"
#include "sampling/molecule/coordinates/molecule_coordinates.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/meter.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kMostUpdates = 100;  // between two looks at the clock
constexpr double kPieceSeconds = 0.5;

std::unique_ptr<GeneratorTrainer> trainer_of(Run& run, const TrainerConfig& config, const Targets& y,
                                             TrainingData& data) {
    auto trainer = make_trainer(run.stream, config, static_cast<int>(y.count), run.model.n_cvs());
    data.give(run, *trainer, y);
    return trainer;
}

// What was learned from samples that were thrown away since is learned anew.
bool learns_anew(const Run& run) {
    return run.position.round == 0 || run.coupling.discarded > 0;
}

// A molecule's samples in coordinates that a generator knows.
struct MoleculeData {
    std::optional<MoleculeCoordinates> coordinates;
    Buffer<float> states;

    // What is adjusted keeps the coordinates that it was learned in, unless a torsion goes round that did not:
    // then `anew` becomes true.
    MoleculeData(Run& run, bool& anew) {
        if (!run.model.molecule()) return;
        const SampleSet& samples = run.samples;
        const Matrix<const float> x{samples.x.data(), run.model.dim(), samples.n, samples.row},
            s{samples.xi.data(), run.model.n_cvs(), samples.n, samples.row};
        const Molecule& own = run.model.molecule()->molecule;
        coordinates.emplace(run.stream, own, run.model.molecule_conditions(), x, s);
        if (!anew && !run.generator.state.empty()) {
            MoleculeCoordinates known(run.stream, own, run.model.molecule_conditions(),
                                      run.generator.weights.tensors);
            anew = !known.like(*coordinates);
            if (!anew) coordinates.emplace(std::move(known));
        }
        states = Buffer<float>(run.device, coordinates->states() * samples.row);
        coordinates->to_states(run.stream, x, s,
                               {states.data(), coordinates->states(), samples.n, samples.row});
        run.stream.synchronize();
    }
    Targets targets(Run& run) const {
        if (!coordinates) return microlift::targets(run);
        return {states.span(), run.samples.row, coordinates->states()};
    }
    void add_to(SafeTensors& weights) const {
        if (coordinates) weights.tensors.merge(coordinates->tensors());
    }
};

TrainerConfig round_config(const Run& run, bool anew) {
    TrainerConfig config = trainer_config(
        run.config, anew ? run.config.generator.iterations : run.config.coupling.iterations,
        derived_seed(run.config.seed, 3000 + static_cast<uint64>(run.position.round)));
    if (!anew) {
        // What was learned is adjusted to the new data, not learned again.
        config.rate *= 0.25;
        config.critic_rate *= 0.25;
    }
    return config;
}

void save_training(Run& run, GeneratorTrainer& trainer) {
    run.training.trainer = trainer.save_state();
    save_checkpoint(run);
    run.training.trainer.clear();
    const TrainingHistory history = trainer.history();
    for (std::size_t k = 0; k < history.losses.size() && !history.rows.empty(); ++k)
        run.progress.figure(history.losses[k], static_cast<double>(history.rows.back().values[k]));
    if (!history.validations.empty()) run.progress.figure("held_out_w1", history.validations.back().mean);
}

void resume_or_begin(Run& run, GeneratorTrainer& trainer, bool anew) {
    if (!anew && !run.generator.state.empty()) trainer.warm_start(run.generator.state);
    if (run.training.trainer.empty()) return save_training(run, trainer);
    trainer.load_state(run.training.trainer);
    run.training.trainer.clear();
}

// Returns the bytes that moved between host and device meanwhile.
double train_to_the_end(Run& run, GeneratorTrainer& trainer, index iterations) {
    StageMeter meter(run.record, "train");
    const StopLater later;  // the loop saves first
    uint64 moved = 0;
    SaveClock saves;
    index piece = 1;  // updates; a wide network's take seconds
    while (!trainer.done()) {
        const auto began = Clock::now();
        const TransferCounters start = transfer_counters();
        trainer.advance(std::min<index>(piece, iterations - trainer.iteration()));
        run.stream.synchronize();
        const TransferCounters end = transfer_counters();
        moved += end.bytes_to_device - start.bytes_to_device + end.bytes_to_host -
                 start.bytes_to_host;
        trainer.check();
        const bool slow = Communicator::world().any(seconds_since(began) >= kPieceSeconds);
        piece = slow ? 1 : std::min<index>(2 * piece, kMostUpdates);
        run.progress.update(static_cast<double>(trainer.iteration()));
        if (!saves.due()) continue;
        save_training(run, trainer);
        throw_if_stopped();
    }
    return static_cast<double>(moved);
}

Json curves(const TrainingHistory& history) {
    Json h;
    // A picture needs no more than some hundred points.
    const std::size_t every = std::max<std::size_t>(1, history.rows.size() / 400);
    for (std::size_t i = 0; i < history.rows.size(); i += every) {
        h["update"].push_back(history.rows[i].iteration);
        for (std::size_t k = 0; k < history.losses.size(); ++k)
            h[history.losses[k]].push_back(history.rows[i].values[k]);
    }
    for (const auto& v : history.validations) {
        h["validation_update"].push_back(v.iteration);
        h["w1_mean"].push_back(v.mean);
        h["w1_worst"].push_back(v.worst);
    }
    return h;
}

void record_training(Run& run, const TrainingHistory& history, Precision precision) {
    Json& record = run.record.stage("train");
    record["kind"] = run.config.generator.kind;
    record["precision"] = precision_name(precision);
    record["bytes_in_loop"] = run.generator.bytes_in_loop;
    record["updates"] = run.generator.updates;
    record["history"] = curves(history);
    const bool judged = !history.distances.empty() && history.floor > 0;
    record["best_update"] = judged ? Json(history.best_iteration) : Json();
    record["best_w1"] = judged ? Json(history.best) : Json();
    record["w1_floor"] = judged ? Json(history.floor) : Json();
    Json held = Json::array();
    for (std::size_t b = 0; b < history.distances.size(); ++b)
        held.push_back({{"cv", history.bin_conditions[b]}, {"w1_over_sigma", history.distances[b]}});
    record["held_out"] = held;
}

}  // namespace

void train(Run& run) {
    // Made before the meter, so that the loop's own transfers are what it shows.
    bool anew = learns_anew(run);
    const MoleculeData molecule(run, anew);
    TrainerConfig config = round_config(run, anew);
    if (molecule.coordinates) config.state_periods = molecule.coordinates->periods();
    TrainingData data;
    const auto trainer = trainer_of(run, config, molecule.targets(run), data);
    resume_or_begin(run, *trainer, anew);
    const index round = run.position.round;
    run.progress.begin(round == 0 ? "train" : "train, round " + std::to_string(round),
                       static_cast<double>(config.iterations), "updates",
                       static_cast<double>(trainer->iteration()));
    TrainedGenerator& generator = run.generator;
    generator.bytes_in_loop += train_to_the_end(run, *trainer, config.iterations);
    generator.updates += static_cast<double>(trainer->iteration());
    const TrainingHistory history = trainer->history();
    generator.best = history.best;
    generator.floor = history.floor;
    generator.conditions = history.bin_conditions;
    generator.distances = history.distances;
    record_training(run, history, trainer->precision());
    const Checking check(run, "held_out");
    if (history.distances.empty())
        run.warn("nothing was held out of the training, so nothing judged it and its last state is kept; "
                 "choose generator.held_out so that both parts have samples, or sample more");
    else if (!(history.floor > 0))
        run.warn("what the generator learns does not vary in the samples, so that there is nothing to "
                 "validate; check the system, or leave out [generator]");
    generator.weights = trainer->generator_tensors();
    molecule.add_to(generator.weights);
    generator.state = trainer->save_state();
    SafeTensors file = generator.weights;
    file.metadata["configuration"] = run.config.checksum();
    write_safetensors(run.dir / "generator.safetensors", file);
    run.write_metrics();
    run.progress.end();
}

}  // namespace microlift
