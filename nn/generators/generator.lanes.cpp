#include "nn/generators/generator.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "engine/error.h"
#include "nn/generators/flow_bodies.h"
#include "nn/generators/gan_tiles.h"
#include "nn/generators/registry.h"

namespace microlift {

GeneratorRunner::GeneratorRunner(const Device& device, const MlpLayout& layout, int latent)
    : layout_(layout), latent_(latent) {
    places_ = rows_of_places(device, std::max(kRows, kMostTileBlocks * kTileRows),
                             RowPlaces::by_thread);
    index size = 0;
    for (int l = 0; l <= layout.layers; ++l) size += places_ * layout.ld[static_cast<std::size_t>(l)];
    memory_ = Buffer<float>(device, size);
    float* at = memory_.data();
    for (std::size_t l = 0; l <= static_cast<std::size_t>(layout.layers); ++l) {
        scratch_.h[l] = at;
        at += places_ * layout.ld[l];
    }
}

void GeneratorRunner::run(Stream& stream, const WhiteningView& white, const float* parameters,
                          const float* conditions, index condition_row, index n, uint64 seed,
                          uint32 stream_id, index first, float* states, index state_row,
                          Precision precision) {
    const auto last = static_cast<std::size_t>(layout_.layers);
    if (runs_tiles(stream.device(), precision, layout_)) {
        if (n <= 0) return;
        GenerateTilePlan plan{};
        plan.layout = layout_, plan.scratch = scratch_, plan.parameters = parameters;
        plan.shape = TileShape(n, kMostTileBlocks);
        plan.places = plan.shape.blocks * kTileRows;
        plan.features = {white, conditions, condition_row, latent_, scratch_.h[0], layout_.ld[0]};
        plan.latent = {seed, stream_id, nullptr, 0, 0, first, latent_, scratch_.h[0],
                       layout_.ld[0]};
        plan.unwhiten = {white, scratch_.h[last], conditions, layout_.ld[last], condition_row,
                         state_row, states};
        launch_tiles<GenerateTileKernel>(stream, precision, plan);
        return;
    }
    const index most = stream.device().is_cpu() ? n : kRows;
    for (index from = 0; from < n; from += most) {
        const index rows = std::min(most, n - from);
        RowProgram<float> program(stream, rows, nullptr, 0, nullptr, precision,
                                  RowPlaces::by_thread);
        program.each_row(FeatureBody{white, conditions + from, condition_row, latent_,
                                     scratch_.h[0], layout_.ld[0]});
        program.row_lanes(LatentBody{seed, stream_id, nullptr, 0, 0, first + from, latent_,
                                     scratch_.h[0], layout_.ld[0]});
        const Mlp<float> network{layout_, parameters, nullptr, scratch_, program.group_rows()};
        network.forward(program, 0, 1, false);
        program.each_row(UnwhitenBody{white, scratch_.h[last], conditions + from, layout_.ld[last],
                                      condition_row, state_row, states + from});
        program.finish();
    }
}

void add_network_tensors(TensorMap& map, const std::string& prefix, const MlpLayout& layout,
                         const std::vector<float>& parameters) {
    for (std::size_t l = 1; l <= static_cast<std::size_t>(layout.layers); ++l) {
        const index in = layout.width[l - 1], out = layout.width[l];
        std::vector<float> weight, bias;
        for (index i = 0; i < in; ++i)
            for (index j = 0; j < out; ++j)
                weight.push_back(parameters[static_cast<std::size_t>(
                    layout.weight[l] + i * layout.ld[l] + j)]);
        for (index j = 0; j < out; ++j)
            bias.push_back(parameters[static_cast<std::size_t>(layout.bias[l] + j)]);
        map[prefix + "." + std::to_string(l) + ".weight"] = Tensor::of(weight, {in, out});
        map[prefix + "." + std::to_string(l) + ".bias"] = Tensor::of(bias, {out});
    }
}

std::vector<float> network_parameters(const TensorMap& map, const std::string& prefix,
                                      const MlpLayout& layout) {
    std::vector<float> parameters(static_cast<std::size_t>(layout.parameters), 0.0f);
    const auto get = [&](const std::string& name, const std::vector<index>& shape) {
        const auto found = map.find(name);
        if (found == map.end() || found->second.shape != shape)
            throw InputError("the weights hold no tensor '" + name +
                             "' of the right shape; give a file that microlift wrote");
        auto values = found->second.floats();
        for (const float value : values)
            if (!std::isfinite(value))
                throw InputError("tensor '" + name +
                                 "' holds a value that is not finite; give other weights");
        return values;
    };
    for (std::size_t l = 1; l <= static_cast<std::size_t>(layout.layers); ++l) {
        const index in = layout.width[l - 1], out = layout.width[l];
        const std::string name = prefix + "." + std::to_string(l);
        const auto weight = get(name + ".weight", {in, out});
        const auto bias = get(name + ".bias", {out});
        for (index i = 0; i < in; ++i)
            for (index j = 0; j < out; ++j)
                parameters[static_cast<std::size_t>(layout.weight[l] + i * layout.ld[l] + j)] =
                    weight[static_cast<std::size_t>(i * out + j)];
        for (index j = 0; j < out; ++j)
            parameters[static_cast<std::size_t>(layout.bias[l] + j)] =
                bias[static_cast<std::size_t>(j)];
    }
    return parameters;
}

namespace {

index number_from(const std::string& text, const char* what, index least, index most) {
    index value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
        throw InputError(std::string("the weights' metadata have a wrong ") + what +
                         "; give a file that microlift wrote");
    return value;
}

}  // namespace

Generator::Generator(Stream& stream, const SafeTensors& content) : metadata_(content.metadata) {
    if (content.text("format") != "microlift-generator-1")
        throw InputError("the weights' format is not microlift-generator-1; give a file that this "
                         "version of microlift wrote");
    if (const auto named = content.metadata.find("kind"); named != content.metadata.end())
        kind_ = named->second;
    TrainerConfig::defaults(kind_);  // refuses an unknown one
    if (const auto named = content.metadata.find("precision"); named != content.metadata.end())
        precision_ = precision_from(named->second);
    const bool flow = kind_ == "flow";
    if (!flow)
        latent_ = static_cast<int>(number_from(content.text("latent"), "latent dimension", 1, 4096));
    std::vector<index> widths;
    std::istringstream list(content.text("widths"));
    for (std::string word; std::getline(list, word, ',');)
        widths.push_back(number_from(word, "list of widths", 1, 16384));
    whitening_ = Whitening(stream, content.tensors);
    states_ = whitening_.view().states;
    conditions_ = whitening_.view().conditions;
    const int features = whitening_.view().features;
    int steps = 0, waves = 0;
    if (flow) {
        latent_ = states_;
        steps = static_cast<int>(number_from(content.text("flow_steps"), "number of steps", 1, 1000));
        waves = static_cast<int>(
            number_from(content.text("time_waves"), "number of waves", 0, kMostWaves));
    }
    const index inputs = latent_ + features + (flow ? time_features(waves) : 0);
    if (const auto built = content.metadata.find("architecture");
        built != content.metadata.end() && built->second == "conv") {
        if (!flow)
            throw InputError("the weights are of convolutions but not of a flow; give a file that "
                             "this version of microlift wrote");
        convolves_ = true;
        const ConvLayout layout(states_, inputs - states_, widths,
                                number_from(content.text("kernel"), "kernel", 1, 4096),
                                activation_from(content.text("activation")));
        const auto parameters = conv_parameters(content.tensors, "generator", layout);
        parameters_ = Buffer<float>(stream.device(), layout.parameters);
        copy_to_device(stream, parameters_.span(), parameters.data());
        conv_flow_ = ConvFlowRunner(stream.device(), layout, features, waves, steps);
        return;
    }
    layout_ = MlpLayout(widths, activation_from(content.text("activation")));
    if (widths.front() != inputs || widths.back() != states_)
        throw InputError("the weights' widths do not fit their latent dimension and whitening; give "
                         "a file that microlift wrote");
    const auto parameters = network_parameters(content.tensors, "generator", layout_);
    parameters_ = Buffer<float>(stream.device(), layout_.parameters);
    copy_to_device(stream, parameters_.span(), parameters.data());
    if (flow)
        flow_ = FlowRunner(stream.device(), layout_, states_, features, waves, steps,
                           content.metadata.contains("normal_velocity"));
    else
        runner_ = GeneratorRunner(stream.device(), layout_, latent_);
}

Generator::Generator(Stream& stream, const std::filesystem::path& file)
    : Generator(stream, read_safetensors(file)) {}

void Generator::check_rows(Span<const float> conditions, index n, index state_size) const {
    if (n > conditions.size / conditions_ || n > state_size / states_)
        throw InputError("generate: the arrays are shorter than the number of states asked for");
}

void Generator::generate(Stream& stream, Span<const float> conditions, index n, uint64 seed,
                         uint64 first_index, Span<float> states) {
    check_rows(conditions, n, states.size);
    const index condition_row = conditions.size / conditions_, state_row = states.size / states_;
    if (convolves_)
        conv_flow_.run(stream, whitening_.view(), parameters_.data(), conditions.data,
                       condition_row, n, seed, kStreamGenerate, static_cast<index>(first_index),
                       states.data, state_row);
    else if (kind_ == "flow")
        flow_.run(stream, whitening_.view(), parameters_.data(), conditions.data, condition_row, n,
                  seed, kStreamGenerate, static_cast<index>(first_index), states.data, state_row,
                  precision_);
    else
        runner_.run(stream, whitening_.view(), parameters_.data(), conditions.data, condition_row,
                    n, seed, kStreamGenerate, static_cast<index>(first_index), states.data,
                    state_row, precision_);
}

bool Generator::has_density() const {
    return kind_ == "flow" && !convolves_ && flow_.has_density();
}

void Generator::propose(Stream& stream, Span<const float> conditions, index n, uint64 seed,
                        uint32 stream_id, uint64 first_index, Span<float> states,
                        Span<float> log_density) {
    if (kind_ != "flow")
        throw InputError("a generator of kind '" + kind_ + "' has no density; train a flow");
    if (convolves_) throw InputError("the density of a flow of convolutions is not built");
    check_rows(conditions, n, states.size);
    flow_.propose(stream, whitening_.view(), parameters_.data(), conditions.data,
                  conditions.size / conditions_, n, seed, stream_id,
                  static_cast<index>(first_index), states.data, states.size / states_,
                  log_density.data);
}

void Generator::log_density(Stream& stream, Span<const float> conditions, index n,
                            Span<const float> states, Span<float> log_density) {
    if (kind_ != "flow")
        throw InputError("a generator of kind '" + kind_ + "' has no density; train a flow");
    if (convolves_) throw InputError("the density of a flow of convolutions is not built");
    check_rows(conditions, n, states.size);
    flow_.density(stream, whitening_.view(), parameters_.data(), conditions.data,
                  conditions.size / conditions_, n, states.data, states.size / states_,
                  log_density.data);
}

}  // namespace microlift
