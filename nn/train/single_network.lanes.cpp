#include "nn/train/single_network.h"

#include <algorithm>
#include <cstring>

#include "engine/error.h"
#include "nn/generators/flow_bodies.h"
#include "nn/train/training.h"

namespace microlift {

SingleNetworkTrainer::SingleNetworkTrainer(Stream& stream, const TrainerConfig& config, int states,
                                           int conditions, int inputs)
    : stream_(stream), config_(config), states_(states), conditions_(conditions),
      features_(feature_count(config.periods, conditions, config.waves)),
      convolves_(config.architecture == "conv"),
      clock_(stream.device(), 1), loss_(stream.device(), config.batch),
      target_(stream.device(), config.batch * padded_width(states)),
      slots_(gradient_slots(stream.device(), config.batch)) {
    const Device& device = stream.device();
    const Activation activation = activation_from(config.activation);
    if (convolves_) {
        conv_layout_ = ConvLayout(states, inputs + features_ - states, config.widths, config.kernel,
                                  activation);
        conv_ = ConvNetwork(device, conv_layout_, config.batch, true);
        slots_ = conv_.slots(config.batch);
        parameter_count_ = conv_layout_.parameters;
    } else {
        layout_ = MlpLayout(widths_of(inputs + features_, config.widths, states), activation);
        parameter_count_ = layout_.parameters;
    }
    for (auto* buffer : {&parameters_, &first_, &second_, &average_, &best_})
        *buffer = Buffer<float>(device, parameter_count_);
    transposed_ = Buffer<float>(device, convolves_ ? conv_layout_.flipped_size
                                                   : layout_.transposed_size);
    gradient_ = Buffer<float>(device, slots_ * parameter_count_);
    set(convolves_ ? conv_layout_.initial(config.seed) : layout_.initial(config.seed, 0));
    copy(stream, average_.span(), parameters_.span());
    copy(stream, best_.span(), parameters_.span());
    if (!convolves_) {
        memory_ = Buffer<float>(device, MlpScratch<float>::size(layout_, config.batch, 1, 0));
        scratch_ = MlpScratch<float>(layout_, config.batch, 1, 0, memory_.data());
    }
    ones_ = Buffer<float>(device, config.batch);
    const std::vector<float> one(static_cast<std::size_t>(config.batch), 1.0f);
    copy_to_device(stream, ones_.span(), one.data());
    const TrainClock start;
    copy_to_device(stream, clock_.span(), &start);
    history_rows_ = Buffer<float>(device, (kHistoryRows + 1) * kLossColumns);
    schedule_.iterations = static_cast<uint64>(config.iterations);
    schedule_.stride = static_cast<uint64>((config.iterations + kHistoryRows - 1) / kHistoryRows);
    schedule_.generator_rate = static_cast<float>(config.rate);
    schedule_.ema = static_cast<float>(config.ema);
    schedule_.rates = {static_cast<float>(config.beta1), static_cast<float>(config.beta2), 1e-8f};
}

void SingleNetworkTrainer::set(const std::vector<float>& parameters) {
    copy_to_device(stream_, parameters_.span(), parameters.data());
    copy_to_device(stream_, transposed_.span(),
                   (convolves_ ? conv_layout_.flip(parameters) : layout_.transpose(parameters))
                       .data());
}

void SingleNetworkTrainer::set_data(Span<const float> states, Span<const float> conditions,
                                    index row, index columns, index trajectories) {
    held_out_ = HeldOut(stream_,
                        {config_.held_out, config_.validation_bins, config_.validation_samples,
                         config_.iterations / config_.validation_every + 2, config_.seed},
                        states, conditions, row, columns, trajectories, states_, conditions_);
    data_states_ = states;
    data_conditions_ = conditions;
    data_row_ = row;
    const std::vector<float> periods(config_.periods.begin(), config_.periods.end());
    whitening_ = Whitening(stream_,
                           config_.whiten == "global" ? Whitening::Kind::global
                                                      : Whitening::Kind::conditional,
                           states, conditions, row, columns, states_, conditions_, periods,
                           config_.waves);
    if (config_.ring) whitening_.share_over_states(stream_);
    recorded_ = false;
}

void SingleNetworkTrainer::warm_start(const TensorMap& state) {
    const auto found = state.find("generator.best");
    if (found == state.end() ||
        static_cast<index>(found->second.data.size()) != parameter_count_ * 4)
        throw InputError("there is no tensor 'generator.best' of the right size to start from: the "
                         "architecture differs");
    // The weights mean what they meant only behind the whitening that they were trained with.
    Whitening whitening(stream_, state);
    if (whitening.view().states != states_ || whitening.view().conditions != conditions_)
        throw InputError("the whitening to start from is of other states or conditions");
    const auto parameters = found->second.floats();
    set(parameters);
    copy_to_device(stream_, average_.span(), parameters.data());
    copy_to_device(stream_, best_.span(), parameters.data());
    whitening_ = std::move(whitening);
    recorded_ = false;
    judge();
}

void SingleNetworkTrainer::iterate() {
    if (convolves_) {
        sweep(parameters_.data(), transposed_.data(), gradient_.data());
    } else {
        const Mlp<float> network{layout_, parameters_.data(), transposed_.data(), scratch_,
                                 config_.batch};
        RowProgram<float> program(stream_, config_.batch, gradient_.data(), layout_.parameters,
                                  ones_.data(), config_.precision);
        sweep(program, network);
        program.finish();
    }
    for_each_index(stream_, 1, AdvanceBody{schedule_, clock_.data(), false});
    for_each_lane(stream_, parameter_count_,
                  AdamBody{&clock_.data()->generator, &clock_.data()->ema, schedule_.rates,
                           gradient_.data(), slots_, parameter_count_, parameters_.data(),
                           first_.data(), second_.data(), transposed_.data(), average_.data(),
                           convolves_ ? TransposeMap{} : transpose_map(layout_)});
    if (convolves_) conv_.flip(stream_, parameters_.data(), transposed_.data());
    for_each_index(stream_, 1,
                   LossRecordBody{schedule_, clock_.data(), loss_.data(), config_.batch,
                                  history_rows_.data()});
}

void SingleNetworkTrainer::judge() {
    if (held_out_.bins() > 0)
        sample(average_.data(), held_out_.conditions(), held_out_.total(),
               held_out_.generated().data);
    held_out_.judge(stream_, clock_.data(), average_.span(), best_.span());
}

void SingleNetworkTrainer::advance(index n) {
    if (held_out_.columns().samples == 0) throw InputError("the training has no data");
    if (!recorded_ && config_.graph) graph_ = stream_.record([&] { iterate(); });
    recorded_ = true;
    for (index k = 0; k < n && !done(); ++k) {
        if (config_.graph)
            graph_.replay(stream_);
        else
            iterate();
        ++iteration_;
        if (iteration_ % config_.validation_every == 0 || done()) judge();
    }
}

void SingleNetworkTrainer::check() {
    TrainClock time;
    copy_to_host(stream_, &time, Span<const TrainClock>(clock_.span()));
    if (time.bad_iteration == ~uint64{0}) return;
    throw NumericError("training: the generator's loss is not finite at update " +
                       std::to_string(time.bad_iteration) + "; lower the learning rates");
}

TrainingHistory SingleNetworkTrainer::history() {
    TrainingHistory out;
    out.losses = {"loss"};
    const auto rows = to_host(stream_, history_rows_.span());
    const index stride = static_cast<index>(schedule_.stride);
    for (index k = 0; k * stride < iteration_; ++k)
        out.rows.push_back(
            {k * stride, {static_cast<double>(rows[static_cast<std::size_t>(k * kLossColumns + 1)])}});
    HeldOut::Record record = held_out_.record(stream_);
    for (const auto& row : record.rows)
        out.validations.push_back({row.iteration, row.mean, row.worst});
    out.best_iteration = record.best_iteration;
    out.best = record.best;
    out.distances = std::move(record.distances);
    out.floor = held_out_.floor();
    out.bins = held_out_.bins();
    out.samples = held_out_.samples();
    out.bin_conditions = held_out_.bin_conditions();
    return out;
}

TensorMap SingleNetworkTrainer::save_state() {
    TensorMap map = whitening_.tensors();
    const auto keep = [&](const char* name, Buffer<float>& buffer) {
        map[name] = Tensor::of(to_host(stream_, buffer.span()));
    };
    keep("generator.parameters", parameters_);
    keep("generator.first_moment", first_);
    keep("generator.second_moment", second_);
    keep("generator.average", average_);
    keep("generator.best", best_);
    keep("history", history_rows_);
    map["clock"] = checkpoint_words(to_host(stream_, clock_.span())[0]);
    held_out_.save(stream_, map);
    return map;
}

void SingleNetworkTrainer::load_state(const TensorMap& state) {
    const auto get = [&](const char* name, index bytes) -> const Tensor& {
        return checkpoint_tensor(state, name, bytes);
    };
    // All sizes first, so that a wrong checkpoint changes nothing.
    for (const char* name : {"generator.parameters", "generator.first_moment",
                             "generator.second_moment", "generator.average", "generator.best"})
        get(name, parameter_count_ * 4);
    get("history", history_rows_.size() * 4);
    TrainClock time;
    std::memcpy(&time, get("clock", sizeof time).data.data(), sizeof time);
    if (time.iteration > static_cast<uint64>(config_.iterations))
        throw InputError("the training checkpoint is past the end of this training");
    Whitening whitening(stream_, state);
    held_out_.load(stream_, state);
    const auto put = [&](const char* name, Buffer<float>& buffer) {
        copy_to_device(stream_, buffer.span(), state.at(name).floats().data());
    };
    put("generator.first_moment", first_);
    put("generator.second_moment", second_);
    put("generator.average", average_);
    put("generator.best", best_);
    put("history", history_rows_);
    set(state.at("generator.parameters").floats());
    copy_to_device(stream_, clock_.span(), &time);
    iteration_ = static_cast<index>(time.iteration);
    whitening_ = std::move(whitening);
    recorded_ = false;
}

SafeTensors SingleNetworkTrainer::generator_tensors() {
    SafeTensors content;
    content.tensors = whitening_.tensors();
    const std::vector<float> best = to_host(stream_, best_.span());
    std::string widths;
    if (convolves_) {
        add_conv_tensors(content.tensors, "generator", conv_layout_, best);
        for (std::size_t l = 1; l < static_cast<std::size_t>(conv_layout_.layers); ++l)
            widths.append(l > 1 ? "," : "").append(std::to_string(conv_layout_.channels[l]));
        content.metadata["architecture"] = "conv";
        content.metadata["kernel"] = std::to_string(conv_layout_.kernel);
    } else {
        add_network_tensors(content.tensors, "generator", layout_, best);
        for (std::size_t l = 0; l <= static_cast<std::size_t>(layout_.layers); ++l)
            widths.append(l ? "," : "").append(std::to_string(layout_.width[l]));
    }
    content.metadata.insert({{"format", "microlift-generator-1"},
                             {"kind", config_.kind},
                             {"activation", config_.activation},
                             {"states", std::to_string(states_)},
                             {"conditions", std::to_string(conditions_)},
                             {"widths", widths},
                             {"precision", precision_name(config_.precision)},
                             {"iteration", std::to_string(iteration_)},
                             {"seed", std::to_string(config_.seed)}});
    describe(content.metadata);
    return content;
}

}  // namespace microlift
