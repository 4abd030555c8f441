#include "nn/train/training.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "nn/layers/weights.h"
#include "nn/train/checkpoint.h"
#include "nn/train/limits.h"

namespace microlift {

int feature_count(const std::vector<double>& periods, int conditions, index waves) {
    int n = 0;
    for (int k = 0; k < conditions; ++k) {
        const auto at = static_cast<std::size_t>(k);
        n += at < periods.size() && periods[at] > 0 ? 2 * kHarmonics
                                                    : 1 + 2 * static_cast<int>(waves);
    }
    return n;
}

std::vector<index> widths_of(index in, const std::vector<index>& hidden, index out) {
    std::vector<index> widths{in};
    widths.insert(widths.end(), hidden.begin(), hidden.end());
    widths.push_back(out);
    return widths;
}

// --- a network in training --------------------------------------------------------------------------

TrainedNetwork::TrainedNetwork(Stream& stream, std::unique_ptr<Network> made, index slot_count,
                               const std::vector<float>& initial)
    : network(std::move(made)), slots(slot_count) {
    const index size = network->parameters();
    for (auto* buffer : {&parameters, &first, &second})
        *buffer = Buffer<float>(stream.device(), size);
    transposed = Buffer<float>(stream.device(),
                               static_cast<index>(network->transposed(initial).size()));
    gradient = Buffer<float>(stream.device(), slots * size);
    set(stream, initial);
}

void TrainedNetwork::set(Stream& stream, const std::vector<float>& values) {
    copy_to_device(stream, parameters.span(), values.data());
    copy_to_device(stream, transposed.span(), network->transposed(values).data());
}

void TrainedNetwork::step(Stream& stream, const AdamStep* step, const AdamRates& rates,
                          const float* share, float* average) {
    for_each_lane(stream, size(),
                  AdamBody{step, share, rates, gradient.data(), slots, size(), parameters.data(),
                           first.data(), second.data(), transposed.data(), average,
                           network->transpose_map()});
    network->transpose(stream, parameters.data(), transposed.data());
}

// --- data and loop ------------------------------------------------------------------------------------

Training::Training(Stream& stream, const TrainerConfig& config, int states, int conditions,
                   std::vector<RecordedLoss> losses, int columns)
    : stream_(stream), config_(config), states_(states), conditions_(conditions),
      features_(feature_count(config.periods, conditions, config.waves)),
      clock_(stream.device(), 1),
      history_rows_(stream.device(), (kHistoryRows + 1) * static_cast<index>(columns)),
      losses_(std::move(losses)), record_columns_(columns) {
    const TrainClock start;
    copy_to_device(stream, clock_.span(), &start);
    schedule_.iterations = static_cast<uint64>(config.iterations);
    schedule_.stride = static_cast<uint64>((config.iterations + kHistoryRows - 1) / kHistoryRows);
    schedule_.generator_rate = static_cast<float>(config.rate);
    schedule_.ema = static_cast<float>(config.ema);
    schedule_.rates = {static_cast<float>(config.beta1), static_cast<float>(config.beta2), 1e-8f};
}

void Training::set_generator(std::unique_ptr<Network> network, index slots,
                             std::unique_ptr<Sampler> sampler) {
    const auto initial = network->initial(config_.seed, 0);
    generator_ = TrainedNetwork(stream_, std::move(network), slots, initial);
    sampler_ = std::move(sampler);
    for (auto* buffer : {&average_, &best_}) {
        *buffer = Buffer<float>(stream_.device(), generator_.size());
        copy(stream_, buffer->span(), generator_.parameters.span());
    }
}

void Training::set_data(Span<const float> states, Span<const float> conditions, index row,
                        index columns, index trajectories) {
    if (trajectories < 1 || columns < trajectories || row < columns ||
        states.size < row * (states_ - 1) + columns ||
        conditions.size < row * (conditions_ - 1) + columns)
        throw InputError("training data: the arrays do not hold the columns that are named");
    if (columns > kMostColumns)
        throw InputError("training data: at most " + std::to_string(kMostColumns) + " columns");
    data_states_ = {states.data, states_, columns, row};
    data_conditions_ = {conditions.data, conditions_, columns, row};
    held_out_ = HeldOut(stream_,
                        {config_.held_out, config_.validation_bins, config_.validation_samples,
                         config_.iterations / config_.validation_every + 2, config_.seed},
                        data_states_, data_conditions_, trajectories);
    whitening_ = Whitening(stream_,
                           config_.whiten == "global" ? Whitening::Kind::global
                                                      : Whitening::Kind::conditional,
                           data_states_, data_conditions_, config_.periods,
                           static_cast<int>(config_.waves), config_.state_periods);
    if (config_.ring) whitening_.share_over_states(stream_);
    recorded_ = false;
}

void Training::advance(index n) {
    if (held_out_.columns().samples == 0) throw InputError("the training has no data");
    if (!recorded_ && config_.graph) graph_ = stream_.record([&] { iterate(); });
    recorded_ = true;
    for (index k = 0; k < n && !done(); ++k) {
        if (config_.graph)
            graph_.replay(stream_);
        else
            iterate();
        ++iteration_;
        if (iteration_ % config_.validation_every != 0 && !done()) continue;
        judge();
        if (config_.stop_at_floor) return;  // check() says whether it goes on
    }
}

void Training::judge() {
    const index total = held_out_.total();
    if (total > 0)
        sampler_->run(stream_, {whitening_.view(), average_.data()},
                      {held_out_.conditions().data, conditions_, total, total},
                      {config_.seed, kStreamValidation, 0},
                      {held_out_.generated().data, states_, total, total}, config_.precision);
    held_out_.judge(stream_, clock_.data(), average_.span(), best_.span());
}

// --- history ------------------------------------------------------------------------------------------

void Training::check() {
    TrainClock time;
    copy_to_host(stream_, &time, Span<const TrainClock>(clock_.span()));
    at_floor_ = config_.stop_at_floor && time.at_floor > 0;
    if (time.bad_iteration == ~uint64{0}) return;
    for (const RecordedLoss& loss : losses_)
        if (loss.column == static_cast<int>(time.bad_what))
            throw NumericError(std::string("training: the ") + loss.what +
                               " is not finite at update " + std::to_string(time.bad_iteration) +
                               "; lower the learning rates");
}

TrainingHistory Training::history() {
    TrainingHistory out;
    const auto rows = to_host(stream_, history_rows_.span());
    const index stride = static_cast<index>(schedule_.stride);
    for (const RecordedLoss& loss : losses_) out.losses.push_back(loss.name);
    for (index k = 0; k * stride < iteration_; ++k) {
        out.rows.push_back({k * stride, {}});
        for (const RecordedLoss& loss : losses_)
            out.rows.back().values.push_back(static_cast<double>(
                rows[static_cast<std::size_t>(k * record_columns_ + loss.column)]));
    }
    HeldOut::Record record = held_out_.record(stream_);
    out.validations = std::move(record.rows);
    out.best_iteration = record.best_iteration;
    out.best = record.best;
    out.distances = std::move(record.distances);
    out.floor = held_out_.floor();
    out.bins = held_out_.bins();
    out.samples = held_out_.samples();
    out.bin_conditions = held_out_.bin_conditions();
    return out;
}

// --- saved states ---------------------------------------------------------------------------------------

std::vector<std::pair<std::string, TrainedNetwork*>> Training::networks() {
    std::vector<std::pair<std::string, TrainedNetwork*>> all{{"generator", &generator_}};
    for (const auto& other : others()) all.push_back(other);
    return all;
}

std::vector<std::pair<std::string, Buffer<float>*>> Training::saved_buffers() {
    std::vector<std::pair<std::string, Buffer<float>*>> all{{"generator.average", &average_},
                                                            {"generator.best", &best_},
                                                            {"history", &history_rows_}};
    for (const auto& [name, network] : networks()) {
        all.emplace_back(name + ".parameters", &network->parameters);
        all.emplace_back(name + ".first_moment", &network->first);
        all.emplace_back(name + ".second_moment", &network->second);
    }
    return all;
}

TensorMap Training::save_state() {
    TensorMap map = whitening_.tensors();
    for (const auto& [name, buffer] : saved_buffers())
        map[name] = Tensor::of(to_host(stream_, buffer->span()));
    map["clock"] = checkpoint_words(to_host(stream_, clock_.span())[0]);
    held_out_.save(stream_, map);
    return map;
}

void Training::load_state(const TensorMap& state) {
    // All sizes first, so that a wrong checkpoint changes nothing.
    for (const auto& [name, buffer] : saved_buffers())
        checkpoint_tensor(state, name, buffer->size() * 4);
    const auto time = checkpoint_struct<TrainClock>(state, "clock");
    if (time.iteration > static_cast<uint64>(config_.iterations))
        throw InputError("the training checkpoint is past the end of this training");
    Whitening whitening(stream_, state);
    if (whitening.view().states != states_ || whitening.view().conditions != conditions_)
        throw InputError("the training checkpoint is of other states or conditions");
    held_out_.load(stream_, state);
    for (const auto& [name, buffer] : saved_buffers())
        copy_to_device(stream_, buffer->span(), state.at(name).floats().data());
    for (const auto& [name, network] : networks())
        network->set(stream_, state.at(name + ".parameters").floats());
    copy_to_device(stream_, clock_.span(), &time);
    iteration_ = static_cast<index>(time.iteration);
    at_floor_ = config_.stop_at_floor && time.at_floor > 0;
    whitening_ = std::move(whitening);
    recorded_ = false;
}

void Training::warm_start(const TensorMap& state) {
    const auto get = [&](const std::string& name, index size) {
        const auto found = state.find(name);
        if (found == state.end() || static_cast<index>(found->second.data.size()) != size * 4)
            throw InputError("there is no tensor '" + name +
                             "' of the right size to start from: the architecture differs");
        return found->second.floats();
    };
    const auto best = get("generator.best", generator_.size());
    for (const auto& [name, network] : others()) get(name + ".parameters", network->size());
    // The weights mean what they meant only behind the whitening that they were trained with.
    Whitening whitening(stream_, state);
    if (whitening.view().states != states_ || whitening.view().conditions != conditions_)
        throw InputError("the whitening to start from is of other states or conditions");
    generator_.set(stream_, best);
    for (const auto& [name, network] : others())
        network->set(stream_, state.at(name + ".parameters").floats());
    copy_to_device(stream_, average_.span(), best.data());
    copy_to_device(stream_, best_.span(), best.data());
    whitening_ = std::move(whitening);
    recorded_ = false;
    judge();
}

SafeTensors Training::generator_tensors() {
    SafeTensors content;
    content.tensors = whitening_.tensors();
    generator_.network->add_tensors(content.tensors, "generator", to_host(stream_, best_.span()));
    generator_.network->describe(content.metadata);
    content.metadata.insert({{"format", "microlift-generator-1"},
                             {"kind", config_.kind},
                             {"activation", config_.activation},
                             {"states", std::to_string(states_)},
                             {"conditions", std::to_string(conditions_)},
                             {"precision", precision_name(config_.precision)},
                             {"iteration", std::to_string(iteration_)},
                             {"seed", std::to_string(config_.seed)}});
    describe(content.metadata);
    return content;
}

}  // namespace microlift
