#include "nn/generators/cgan.h"

#include <algorithm>
#include <cstring>

#include "engine/error.h"
#include "nn/generators/gan_tiles.h"
#include "nn/train/held_out.h"
#include "nn/train/training.h"

namespace microlift {
namespace {

Penalty penalty_from(const std::string& name) {
    if (name == "one_sided") return Penalty::one_sided;
    if (name == "two_sided") return Penalty::two_sided;
    if (name == "relativistic") return Penalty::relativistic;
    throw InputError("there is no penalty '" + name +
                     "'; write one_sided, two_sided or relativistic");
}

// One network's parameters with everything that training keeps beside them.
struct Network {
    MlpLayout layout;
    Buffer<float> parameters, transposed, first, second, gradient;
    index slots = 0;

    Network() = default;
    Network(Stream& stream, const MlpLayout& l, index slot_count)
        : layout(l), parameters(stream.device(), l.parameters),
          transposed(stream.device(), l.transposed_size), first(stream.device(), l.parameters),
          second(stream.device(), l.parameters),
          slots(slot_count) {
        gradient = Buffer<float>(stream.device(), slots * l.parameters);
    }
    void set(Stream& stream, const std::vector<float>& values) {
        copy_to_device(stream, parameters.span(), values.data());
        copy_to_device(stream, transposed.span(), layout.transpose(values).data());
    }
    Mlp<float> view(const MlpScratch<float>& scratch, index rows) const {
        return {layout, parameters.data(), transposed.data(), scratch, rows};
    }
};

}  // namespace

struct Cgan::Impl {
    Stream& stream;
    CganConfig config;
    int states, conditions, latent;
    Penalty penalty;
    Whitening whitening;
    Network generator, critic;
    Buffer<float> average, best_parameters;
    Buffer<float> generator_memory, critic_memory, penalty_values, ones;
    Buffer<float> outputs;  // (3, batch): D of the last critic batch's fake and real rows, D(fake) of
                            // the generator's
    MlpScratch<float> generator_scratch, critic_scratch;
    index places = 0;  // rows of a group's scratch
    bool fused = false;  // an update's sweeps are one kernel (gan_tiles.h)
    TileShape shape;     // of the fused kernels
    Buffer<TrainClock> clock;
    Buffer<float> history_rows;
    Schedule schedule;
    index iteration = 0;
    Graph graph;
    bool recorded = false;

    Span<const float> data_states, data_conditions;
    index data_row = 0;
    HeldOut held_out;
    GeneratorRunner runner;

    Impl(Stream& s, const CganConfig& c, int state_count, int condition_count)
        : stream(s), config(c), states(state_count), conditions(condition_count),
          latent(c.latent > 0 ? c.latent : std::max(4, state_count)),
          penalty(penalty_from(c.penalty)), clock(s.device(), 1) {}

    int groups() const { return groups_of(penalty); }
    int penalised() const { return penalised_of(penalty); }

    void allocate();
    void set_data(Span<const float> x, Span<const float> s, index row, index n, index trajectories);
    GanTilePlan tile_plan(Network& updated);
    void critic_step(uint32 step);
    void generator_step();
    void iterate();
    void validate();
    TensorMap save();
    void load(const TensorMap& state);
};

void CganConfig::validate() const {
    const auto require = [](bool good, const char* what) {
        if (!good) throw InputError(std::string("generator: ") + what);
    };
    activation_from(activation);
    penalty_from(penalty);
    require(batch >= 1 && batch <= (index{1} << 22), "batch must be 1 to 4194304");
    require(iterations >= 1 && iterations <= 1000000000, "iterations must be 1 to 1e9");
    require(critic_steps >= 1 && critic_steps <= 100, "critic_steps must be 1 to 100");
    require(generator_rate > 0 && critic_rate > 0, "learning rates must be > 0");
    require(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "betas must be in [0, 1)");
    require(energy_weight >= 0, "energy_weight must be ≥ 0");
    require(penalty_weight >= 0, "penalty_weight must be ≥ 0");
    require(ema >= 0 && ema < 1, "ema must be in [0, 1)");
    require(whiten == "conditional" || whiten == "global",
            "whiten must be conditional or global");
    require(held_out >= 0 && held_out < 1, "held_out must be in [0, 1)");
    require(validation_bins >= 1 && validation_samples >= 16 && validation_every >= 1,
            "validation needs at least 1 bin, 16 samples and 1 iteration between");
    require(waves >= 0 && waves <= kMostWaves, "waves must be 0 to 32");
    require(latent >= 0 && latent <= 4096, "latent must be 0 (automatic) to 4096");
}

void Cgan::Impl::allocate() {
    const Device& device = stream.device();
    const Activation kind = activation_from(config.activation);
    const index batch = config.batch;
    const int features = feature_count(config.periods, conditions, config.waves);
    const MlpLayout generator_layout(
        widths_of(latent + features, config.generator_widths, states), kind);
    const MlpLayout critic_layout(widths_of(states + features, config.critic_widths, 1), kind);
    fused = runs_tiles(device, config.precision, generator_layout) &&
            runs_tiles(device, config.precision, critic_layout);
    if (fused) shape = TileShape(batch, kMostTileBlocks);
    const index slots = fused ? shape.blocks : gradient_slots(device, batch);
    generator = Network(stream, generator_layout, slots);
    critic = Network(stream, critic_layout, slots);
    generator.set(stream, generator.layout.initial(config.seed, 0));
    critic.set(stream, critic.layout.initial(config.seed, 1));
    average = Buffer<float>(device, generator.layout.parameters);
    best_parameters = Buffer<float>(device, generator.layout.parameters);
    copy(stream, average.span(), generator.parameters.span());
    copy(stream, best_parameters.span(), generator.parameters.span());
    places = fused ? shape.blocks * kTileRows
                   : rows_of_places(device, batch, RowPlaces::by_thread);
    generator_memory =
        Buffer<float>(device, MlpScratch<float>::size(generator.layout, places, 1, 0));
    critic_memory = Buffer<float>(
        device, MlpScratch<float>::size(critic.layout, places, groups(), penalised()));
    generator_scratch =
        MlpScratch<float>(generator.layout, places, 1, 0, generator_memory.data());
    critic_scratch =
        MlpScratch<float>(critic.layout, places, groups(), penalised(), critic_memory.data());
    outputs = Buffer<float>(device, 3 * batch);
    penalty_values = Buffer<float>(device, penalised() * batch);
    ones = Buffer<float>(device, batch * 3);
    const std::vector<float> one(static_cast<std::size_t>(batch) * 3, 1.0f);
    copy_to_device(stream, ones.span(), one.data());
    const TrainClock start;
    copy_to_device(stream, clock.span(), &start);
    history_rows = Buffer<float>(device, (kHistoryRows + 1) * kHistoryColumns);
    schedule.iterations = static_cast<uint64>(config.iterations);
    schedule.stride = static_cast<uint64>((config.iterations + kHistoryRows - 1) / kHistoryRows);
    schedule.generator_rate = static_cast<float>(config.generator_rate);
    schedule.critic_rate = static_cast<float>(config.critic_rate);
    schedule.ema = static_cast<float>(config.ema);
    schedule.fade_critic = config.energy_weight > 0;
    schedule.rates = {static_cast<float>(config.beta1), static_cast<float>(config.beta2), 1e-8f};
    runner = GeneratorRunner(device, generator.layout, latent);
}

// --- data -------------------------------------------------------------------------------------------

void Cgan::Impl::set_data(Span<const float> x, Span<const float> s, index row, index n,
                          index trajectories) {
    held_out = HeldOut(stream,
                       {config.held_out, config.validation_bins, config.validation_samples,
                        config.iterations / config.validation_every + 2, config.seed},
                       x, s, row, n, trajectories, states, conditions);
    data_states = x;
    data_conditions = s;
    data_row = row;
    const std::vector<float> periods(config.periods.begin(), config.periods.end());
    whitening = Whitening(stream,
                          config.whiten == "global" ? Whitening::Kind::global
                                                    : Whitening::Kind::conditional,
                          x, s, row, n, states, conditions, periods, config.waves);
    recorded = false;
}

// --- one iteration ----------------------------------------------------------------------------------

// The parts that both kinds of update share.
GanTilePlan Cgan::Impl::tile_plan(Network& updated) {
    GanTilePlan plan{};
    plan.generator_layout = generator.layout, plan.critic_layout = critic.layout;
    plan.generator_scratch = generator_scratch, plan.critic_scratch = critic_scratch;
    plan.generator_parameters = generator.parameters.data();
    plan.generator_transposed = generator.transposed.data();
    plan.critic_parameters = critic.parameters.data();
    plan.critic_transposed = critic.transposed.data();
    plan.gradient = updated.gradient.data();
    plan.parameters = updated.layout.parameters;
    plan.shape = shape, plan.places = places;
    plan.penalty = penalty, plan.states = states;
    plan.penalty_weight = static_cast<float>(config.penalty_weight);
    plan.penalty_values = penalty_values.data();
    plan.critic_share = &clock.data()->critic_share;
    return plan;
}

void Cgan::Impl::critic_step(uint32 step) {
    const index batch = config.batch;
    const uint32 steps = static_cast<uint32>(config.critic_steps) + 1;
    const auto critic_last = static_cast<std::size_t>(critic.layout.layers);
    const auto generator_last = static_cast<std::size_t>(generator.layout.layers);
    const Mlp<float> g = generator.view(generator_scratch, places);
    const Mlp<float> d = critic.view(critic_scratch, places);
    const index ld0 = critic.layout.ld[0];
    float* fake = critic_scratch.h[0];
    float* real = fake + places * ld0;
    float* mixed = penalty == Penalty::relativistic ? nullptr : real + places * ld0;

    const GatherBody gather{held_out.columns(), whitening.view(), data_states.data, data_conditions.data,
                            data_row, clock.data(), config.seed, steps, step, latent, false,
                            generator_scratch.h[0], fake, real, mixed, generator.layout.ld[0], ld0};
    const LatentBody noise{config.seed, kStreamLatent, clock.data(), steps, step, 0, latent,
                           generator_scratch.h[0], generator.layout.ld[0]};
    const FakeBody hand_over{clock.data(), config.seed, steps, step, states,
                             generator_scratch.h[generator_last], real, fake, mixed,
                             generator.layout.ld[generator_last], ld0};
    const float* out = critic_scratch.h[critic_last];
    const index ld_out = critic.layout.ld[critic_last];
    const KeepOutputBody keep[2] = {{out, ld_out, outputs.data()},
                                    {out + places * ld_out, ld_out, outputs.data() + batch}};
    const int kept = step + 2 == steps ? 2 : 0;
    const AdvanceBody advance{schedule, clock.data(), true};
    if (fused) {
        GanTilePlan plan = tile_plan(critic);
        plan.gather = gather, plan.latent = noise, plan.fake = hand_over;
        plan.keep[0] = keep[0], plan.keep[1] = keep[1], plan.kept = kept;
        plan.advance = advance;
        launch_tiles<CriticTileKernel>(stream, config.precision, plan);
    } else {
        RowProgram<float> program(stream, batch, critic.gradient.data(), critic.layout.parameters,
                                  ones.data(), config.precision, RowPlaces::by_thread);
        program.each_row(gather);
        program.row_lanes(noise);
        g.forward(program, 0, 1, false);
        program.each_row(hand_over);
        critic_sweeps(program, d, penalty, static_cast<float>(config.penalty_weight), states,
                      penalty_values.data());
        for (int k = 0; k < kept; ++k) program.each_row(keep[k]);
        program.finish();
        for_each_index(stream, 1, advance);
    }
    for_each_lane(stream, critic.layout.parameters,
                  AdamBody{&clock.data()->critic, nullptr, schedule.rates, critic.gradient.data(),
                           critic.slots, critic.layout.parameters, critic.parameters.data(),
                           critic.first.data(), critic.second.data(), critic.transposed.data(),
                           nullptr, transpose_map(critic.layout)});
}

void Cgan::Impl::generator_step() {
    const index batch = config.batch;
    const uint32 steps = static_cast<uint32>(config.critic_steps) + 1;
    const uint32 step = steps - 1;
    const auto last = static_cast<std::size_t>(critic.layout.layers);
    const auto generator_last = static_cast<std::size_t>(generator.layout.layers);
    const Mlp<float> g = generator.view(generator_scratch, places);
    const Mlp<float> d = critic.view(critic_scratch, places);
    const index ld0 = critic.layout.ld[0], ld_out = critic.layout.ld[last];
    float* fake = critic_scratch.h[0];
    float* real = fake + places * ld0;

    const GatherBody gather{held_out.columns(), whitening.view(), data_states.data, data_conditions.data,
                            data_row, clock.data(), config.seed, steps, step, latent,
                            config.energy_weight > 0, generator_scratch.h[0], fake, real, nullptr,
                            generator.layout.ld[0], ld0};
    const LatentBody noise{config.seed, kStreamLatent, clock.data(), steps, step, 0, latent,
                           generator_scratch.h[0], generator.layout.ld[0]};
    const FakeBody hand_over{clock.data(), config.seed, steps, step, states,
                             generator_scratch.h[generator_last], real, fake, nullptr,
                             generator.layout.ld[generator_last], ld0};
    const KeepOutputBody keep{critic_scratch.h[last], ld_out, outputs.data() + 2 * batch};
    const float energy = static_cast<float>(config.energy_weight);
    if (fused) {
        GanTilePlan plan = tile_plan(generator);
        plan.gather = gather, plan.latent = noise, plan.fake = hand_over;
        plan.keep[0] = keep, plan.kept = 1;
        plan.energy_weight = energy;
        launch_tiles<GeneratorTileKernel>(stream, config.precision, plan);
    } else {
        RowProgram<float> program(stream, batch, generator.gradient.data(),
                                  generator.layout.parameters, ones.data(), config.precision,
                                  RowPlaces::by_thread);
        program.each_row(gather);
        program.row_lanes(noise);
        g.forward(program, 0, 1, true);
        program.each_row(hand_over);
        generator_sweeps(program, g, d, penalty, states, energy, &clock.data()->critic_share);
        program.each_row(keep);
        program.finish();
    }

    for_each_index(stream, 1, AdvanceBody{schedule, clock.data(), false});
    for_each_lane(stream, generator.layout.parameters,
                  AdamBody{&clock.data()->generator, &clock.data()->ema, schedule.rates,
                           generator.gradient.data(), generator.slots,
                           generator.layout.parameters, generator.parameters.data(),
                           generator.first.data(), generator.second.data(),
                           generator.transposed.data(), average.data(),
                           transpose_map(generator.layout)});
    for_each_index(stream, 1,
                   RecordBody{schedule, clock.data(), outputs.data(), outputs.data() + batch,
                              outputs.data() + 2 * batch, penalty_values.data(), batch,
                              penalised() * batch, history_rows.data()});
}

void Cgan::Impl::iterate() {
    for (int k = 0; k < config.critic_steps; ++k) critic_step(static_cast<uint32>(k));
    generator_step();
}

void Cgan::Impl::validate() {
    const index total = held_out.total();
    if (total > 0)
        runner.run(stream, whitening.view(), average.data(), held_out.conditions().data, total,
                   total, config.seed, kStreamValidation, 0, held_out.generated().data, total,
                   config.precision);
    held_out.judge(stream, clock.data(), average.span(), best_parameters.span());
}

// --- state ------------------------------------------------------------------------------------------

TensorMap Cgan::Impl::save() {
    TensorMap map = whitening.tensors();
    const auto keep = [&](const char* name, Buffer<float>& buffer) {
        map[name] = Tensor::of(to_host(stream, buffer.span()));
    };
    keep("generator.parameters", generator.parameters);
    keep("generator.first_moment", generator.first);
    keep("generator.second_moment", generator.second);
    keep("generator.average", average);
    keep("generator.best", best_parameters);
    keep("critic.parameters", critic.parameters);
    keep("critic.first_moment", critic.first);
    keep("critic.second_moment", critic.second);
    keep("history", history_rows);
    map["clock"] = checkpoint_words(to_host(stream, clock.span())[0]);
    held_out.save(stream, map);
    return map;
}

void Cgan::Impl::load(const TensorMap& state) {
    const auto get = [&](const char* name, index bytes) -> const Tensor& {
        return checkpoint_tensor(state, name, bytes);
    };
    const auto put = [&](const char* name, Buffer<float>& buffer) {
        const auto values = get(name, buffer.size() * 4).floats();
        copy_to_device(stream, buffer.span(), values.data());
    };
    // All sizes first, so that a wrong checkpoint changes nothing.
    for (const char* name : {"generator.parameters", "generator.first_moment",
                             "generator.second_moment", "generator.average", "generator.best"})
        get(name, generator.layout.parameters * 4);
    for (const char* name : {"critic.parameters", "critic.first_moment", "critic.second_moment"})
        get(name, critic.layout.parameters * 4);
    get("history", history_rows.size() * 4);
    TrainClock time;
    std::memcpy(&time, get("clock", sizeof time).data.data(), sizeof time);
    if (time.iteration > static_cast<uint64>(config.iterations))
        throw InputError("the training checkpoint is past the end of this training");
    held_out.load(stream, state);
    put("history", history_rows);
    put("generator.first_moment", generator.first);
    put("generator.second_moment", generator.second);
    put("generator.average", average);
    put("generator.best", best_parameters);
    put("critic.first_moment", critic.first);
    put("critic.second_moment", critic.second);
    generator.set(stream, state.at("generator.parameters").floats());
    critic.set(stream, state.at("critic.parameters").floats());
    copy_to_device(stream, clock.span(), &time);
    iteration = static_cast<index>(time.iteration);
    whitening = Whitening(stream, state);
    recorded = false;
}

// --- interface ----------------------------------------------------------------------------------------

Cgan::Cgan(Stream& stream, const CganConfig& config, int states, int conditions) {
    config.validate();
    if (states < 1 || states > 4096) throw InputError("a generator needs 1 to 4096 states");
    if (conditions < 1 || conditions > kMostConditions)
        throw InputError("a generator needs 1 to " + std::to_string(kMostConditions) +
                         " conditions");
    impl_ = std::make_unique<Impl>(stream, config, states, conditions);
    impl_->allocate();
}

Cgan::~Cgan() = default;
Cgan::Cgan(Cgan&&) noexcept = default;

void Cgan::set_data(Span<const float> states, Span<const float> conditions, index row,
                    index columns, index trajectories) {
    impl_->set_data(states, conditions, row, columns, trajectories);
}

void Cgan::warm_start(const TensorMap& state) {
    Impl& m = *impl_;
    const auto get = [&](const char* name, index size) {
        const auto found = state.find(name);
        if (found == state.end() || static_cast<index>(found->second.data.size()) != size * 4)
            throw InputError(std::string("there is no tensor '") + name +
                             "' of the right size to start from: the architecture differs");
        return found->second.floats();
    };
    const auto generator = get("generator.best", m.generator.layout.parameters);
    const auto critic = get("critic.parameters", m.critic.layout.parameters);
    m.generator.set(m.stream, generator);
    m.critic.set(m.stream, critic);
    copy_to_device(m.stream, m.average.span(), generator.data());
    copy_to_device(m.stream, m.best_parameters.span(), generator.data());
    // The weights mean what they meant only behind the whitening that they were trained with.
    Whitening whitening(m.stream, state);
    if (whitening.view().states != m.states || whitening.view().conditions != m.conditions)
        throw InputError("the whitening to start from is of other states or conditions");
    m.whitening = std::move(whitening);
    m.recorded = false;
    m.validate();
}

void Cgan::advance(index n) {
    Impl& m = *impl_;
    if (m.held_out.columns().samples == 0) throw InputError("the training has no data");
    if (!m.recorded && m.config.graph) m.graph = m.stream.record([&] { m.iterate(); });
    m.recorded = true;
    for (index k = 0; k < n && m.iteration < m.config.iterations; ++k) {
        if (m.config.graph)
            m.graph.replay(m.stream);
        else
            m.iterate();
        ++m.iteration;
        if (m.iteration % m.config.validation_every == 0 || m.iteration == m.config.iterations)
            m.validate();
    }
}

void Cgan::check() {
    TrainClock time;
    copy_to_host(impl_->stream, &time, Span<const TrainClock>(impl_->clock.span()));
    if (time.bad_iteration == ~uint64{0}) return;
    constexpr const char* names[] = {"", "critic's loss", "gradient penalty", "generator's loss"};
    throw NumericError(std::string("training: the ") + names[static_cast<int>(time.bad_what)] +
                       " is not finite at update " + std::to_string(time.bad_iteration) +
                       "; lower the learning rates");
}

index Cgan::iteration() const { return impl_->iteration; }
bool Cgan::done() const { return impl_->iteration >= impl_->config.iterations; }
Precision Cgan::precision() const {
    const Precision asked = impl_->config.precision;
    return impl_->fused ? asked : product_precision(impl_->stream.device(), asked);
}

CganHistory Cgan::history() {
    Impl& m = *impl_;
    CganHistory out;
    const auto rows = to_host(m.stream, m.history_rows.span());
    const index stride = static_cast<index>(m.schedule.stride);
    for (index k = 0; k * stride < m.iteration; ++k) {
        const float* row = rows.data() + k * kHistoryColumns;
        out.rows.push_back({k * stride, static_cast<double>(row[1]), static_cast<double>(row[2]),
                            static_cast<double>(row[3])});
    }
    HeldOut::Record record = m.held_out.record(m.stream);
    for (const auto& row : record.rows)
        out.validations.push_back({row.iteration, row.mean, row.worst});
    out.best_iteration = record.best_iteration;
    out.best = record.best;
    out.distances = std::move(record.distances);
    out.floor = m.held_out.floor();
    out.bins = m.held_out.bins();
    out.samples = m.held_out.samples();
    out.bin_conditions = m.held_out.bin_conditions();
    return out;
}

TensorMap Cgan::save_state() { return impl_->save(); }
void Cgan::load_state(const TensorMap& state) { impl_->load(state); }

SafeTensors Cgan::generator_tensors() {
    Impl& m = *impl_;
    SafeTensors content;
    content.tensors = m.whitening.tensors();
    add_network_tensors(content.tensors, "generator", m.generator.layout,
                        to_host(m.stream, m.best_parameters.span()));
    std::string widths;
    for (std::size_t l = 0; l <= static_cast<std::size_t>(m.generator.layout.layers); ++l)
        widths.append(l ? "," : "").append(std::to_string(m.generator.layout.width[l]));
    content.metadata = {{"format", "microlift-generator-1"},
                        {"activation", m.config.activation},
                        {"latent", std::to_string(m.latent)},
                        {"states", std::to_string(m.states)},
                        {"conditions", std::to_string(m.conditions)},
                        {"widths", widths},
                        {"precision", precision_name(m.config.precision)},
                        {"iteration", std::to_string(m.iteration)},
                        {"seed", std::to_string(m.config.seed)}};
    return content;
}

}  // namespace microlift
