// Training the generator on what was sampled.
#include "sampling/run/run.h"

#include <algorithm>

namespace microlift {

TrainerConfig trainer_config(const RunConfig& run, index iterations, uint64 seed) {
    const GeneratorConfig& g = run.generator;
    TrainerConfig c = TrainerConfig::defaults(g.kind);
    c.widths = g.generator_widths;
    c.critic_widths = g.critic_widths;
    c.latent = static_cast<int>(g.latent);
    c.activation = g.activation;
    c.batch = g.batch;
    c.iterations = iterations;
    c.critic_steps = static_cast<int>(g.critic_steps);
    c.rate = g.generator_rate;
    c.critic_rate = g.critic_rate;
    c.beta1 = g.beta1;
    c.beta2 = g.beta2;
    c.penalty = g.penalty == "r1r2" ? "relativistic" : g.penalty;
    c.penalty_weight = g.penalty_weight;
    c.energy_weight = g.energy_weight;
    c.ema = g.ema;
    c.flow_steps = static_cast<int>(g.flow_steps);
    c.time_waves = static_cast<int>(g.time_waves);
    c.group = static_cast<int>(g.group);
    c.architecture = g.architecture;
    c.kernel = static_cast<int>(g.kernel);
    c.ring = g.ring;
    c.precision = precision_from(g.precision);
    c.held_out = g.held_out;
    c.validation_every = g.validate_every;
    c.validation_samples = g.validation_states;
    for (const CvVariable& cv : run.cv.variables) c.periods.push_back(cv.period);
    c.seed = seed;
    return c;
}

Span<const float> Pipeline::targets(index& row) {
    const index count = model_.observed() ? model_.target_dim() : static_cast<index>(free_.size());
    row = samples_.row;
    const bool contiguous = !model_.observed() &&
                            free_.back() - free_.front() + 1 == static_cast<int>(free_.size());
    if (contiguous)
        return {samples_.x.data() + free_.front() * row, (count - 1) * row + samples_.n};
    if (targets_.size() == 0) targets_ = Buffer<float>(device_, count * row);
    if (model_.observed()) {
        model_.observe(stream_, samples_.x.span(), row, samples_.n, targets_.span(), row);
    } else {
        for (index f = 0; f < count; ++f)
            copy(stream_, targets_.span().subspan(f * row, samples_.n),
                 Span<const float>(samples_.x.span().subspan(
                     free_[static_cast<std::size_t>(f)] * row, samples_.n)));
    }
    stream_.synchronize();
    return targets_.span();
}

std::vector<std::string> Pipeline::target_names() const {
    if (model_.observed()) return model_.target_names();
    std::vector<std::string> names;
    for (int d : free_) names.push_back(model_.variables()[static_cast<std::size_t>(d)]);
    return names;
}

void Pipeline::train() {
    // What was learned from samples that were thrown away since is learned anew.
    const bool anew = round_ == 0 || discarded_ > 0;
    const index iterations = anew ? run_.generator.iterations : run_.coupling.iterations;
    const auto names = target_names();
    index row = 0;
    const Span<const float> states = targets(row);
    // Made before the meter, so that the loop's own transfers are what it shows.
    TrainerConfig config = trainer_config(
        run_, iterations, derived_seed(run_.seed, 3000 + static_cast<uint64>(round_)));
    if (!anew) {
        // What was learned is adjusted to the new data, not learned again.
        config.rate *= 0.25;
        config.critic_rate *= 0.25;
    }
    const auto trainer =
        make_trainer(stream_, config, static_cast<int>(names.size()), model_.n_cvs());
    trainer->set_data(states, samples_.xi.span(), row, samples_.n,
                      samples_.blocks.front().trajectories());
    if (!anew && !warm_.empty()) trainer->warm_start(warm_);
    if (checkpoint_.has("training")) {
        trainer->load_state(unpacked(checkpoint_.get<std::uint8_t>("training")));
        checkpoint_ = Store();
    } else {
        save_training(*trainer);
    }
    progress_.begin(round_ == 0 ? "train" : "train, round " + std::to_string(round_),
                    static_cast<double>(iterations), "updates",
                    static_cast<double>(trainer->iteration()));
    double bytes_in_loop = 0;
    {
        StageMeter meter(metrics_["stages"], "train");
        uint64 quiet = 0;
        auto saved = Clock::now();
        while (!trainer->done()) {
            const TransferCounters start = transfer_counters();
            trainer->advance(std::min<index>(100, iterations - trainer->iteration()));
            stream_.synchronize();
            const TransferCounters end = transfer_counters();
            quiet += end.bytes_to_device - start.bytes_to_device + end.bytes_to_host -
                     start.bytes_to_host;
            trainer->check();
            progress_.update(static_cast<double>(trainer->iteration()));
            if (pending_signal() || seconds_since(saved) > kCheckpointSeconds) {
                save_training(*trainer);
                saved = Clock::now();
                throw_if_stopped();
            }
        }
        bytes_in_loop = static_cast<double>(quiet);
    }
    const TrainingHistory history = trainer->history();
    Json& record = metrics_["stages"]["train"];
    record["kind"] = run_.generator.kind;
    record["precision"] = precision_name(trainer->precision());
    record["bytes_in_loop"] = record.value("bytes_in_loop", 0.0) + bytes_in_loop;
    record["updates"] = record.value("updates", 0.0) + static_cast<double>(iterations);
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
    record["history"] = h;
    record["best_update"] = history.best_iteration;
    record["best_w1"] = history.best;
    record["w1_floor"] = history.floor;
    Json held = Json::array();
    for (std::size_t b = 0; b < history.distances.size(); ++b)
        held.push_back({{"cv", history.bin_conditions[b]}, {"w1_over_sigma", history.distances[b]}});
    record["held_out"] = held;
    SafeTensors tensors = trainer->generator_tensors();
    write_safetensors(dir_ / "generator.safetensors", tensors);
    warm_ = trainer->save_state();
    write_metrics();
    progress_.end();
}

void Pipeline::compare() {
    if (!run_.generator.enabled || run_.generator.compare.empty()) return;
    index row = 0;
    const auto names = target_names();
    const Span<const float> states = targets(row);
    Json list = Json::array();
    const Json& train = metrics_["stages"]["train"];
    list.push_back({{"kind", run_.generator.kind},
                    {"seconds", train.value("seconds", 0.0)},
                    {"updates", train.value("updates", 0.0)},
                    {"best_w1", train.value("best_w1", 0.0)}});
    for (const std::string& kind : run_.generator.compare) {
        // As large a share of its own default's updates as the run's kind was given.
        const TrainerConfig own = TrainerConfig::defaults(kind);
        const double share =
            static_cast<double>(run_.generator.iterations) /
            static_cast<double>(TrainerConfig::defaults(run_.generator.kind).iterations);
        const index iterations = std::max<index>(
            1, static_cast<index>(share * static_cast<double>(own.iterations)));
        TrainerConfig config = trainer_config(run_, iterations, derived_seed(run_.seed, 3000));
        config.kind = kind;
        config.batch = own.batch;
        config.rate = own.rate;
        config.critic_rate = run_.generator.critic_rate;
        config.beta1 = own.beta1;
        config.beta2 = own.beta2;
        config.ema = own.ema;
        config.validation_every = std::max<index>(
            1, static_cast<index>(share * static_cast<double>(own.validation_every)));
        const auto trainer =
            make_trainer(stream_, config, static_cast<int>(names.size()), model_.n_cvs());
        trainer->set_data(states, samples_.xi.span(), row, samples_.n,
                          samples_.blocks.front().trajectories());
        progress_.begin("train " + kind + ", for comparison", static_cast<double>(config.iterations),
                        "updates");
        const auto start = Clock::now();
        {
            StageMeter meter(metrics_["stages"], "compare");
            while (!trainer->done()) {
                trainer->advance(100);
                stream_.synchronize();
                trainer->check();
                progress_.update(static_cast<double>(trainer->iteration()));
                throw_if_stopped();
            }
        }
        progress_.end();
        list.push_back({{"kind", kind},
                        {"seconds", seconds_since(start)},
                        {"updates", config.iterations},
                        {"best_w1", trainer->history().best}});
        write_safetensors(dir_ / ("generator_" + kind + ".safetensors"),
                          trainer->generator_tensors());
    }
    metrics_["compare"] = list;
    write_metrics();
}

}  // namespace microlift
