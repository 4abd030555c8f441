#include "nn/generators/generator.h"

#include "engine/error.h"
#include "kernels/random/streams.h"
#include "nn/generators/registry.h"
#include "nn/layers/gemm.h"

namespace microlift {

Generator::Generator(Stream& stream, const SafeTensors& content) {
    if (content.text("format") != "microlift-generator-1")
        throw InputError("the weights' format is not microlift-generator-1; give a file that this "
                         "version of microlift wrote");
    const auto told = [&](const char* key, const char* otherwise) {
        const auto found = content.metadata.find(key);
        return found == content.metadata.end() ? std::string(otherwise) : found->second;
    };
    kind_ = told("kind", "cgan");
    precision_ = precision_from(told("precision", "tf32"));
    const GeneratorKind& kind = generator_kind(kind_, told("architecture", "mlp"));
    whitening_ = Whitening(stream, content.tensors);
    states_ = whitening_.view().states;
    conditions_ = whitening_.view().conditions;
    if (const auto embedded = content.tensors.find(kEmbeddingTensor);
        embedded != content.tensors.end()) {
        embedding_ = Embedding(stream, embedded->second.floats());
        if (embedding_.inside() != states_)
            throw InputError("the weights' states that go round do not fit their number; give a file "
                             "that microlift wrote");
        states_ = embedding_.states();
        periods_ = embedding_.periods();
    }
    if (whitening_.view().period) periods_ = content.tensors.at("whitening.period").floats();
    LoadedGenerator loaded = kind.load(stream.device(), content, whitening_.view());
    sampler_ = std::move(loaded.sampler);
    parameters_ = Buffer<float>(stream.device(), static_cast<index>(loaded.parameters.size()));
    copy_to_device(stream, parameters_.span(), loaded.parameters.data());
}

Generator::Generator(Stream& stream, const std::filesystem::path& file)
    : Generator(stream, read_safetensors(file)) {}

// The conditions of n states, of which there is room for so many numbers.
Matrix<const float> Generator::columns(Span<const float> conditions, index n,
                                       index state_size) const {
    const index row = conditions.size / conditions_;
    if (n > row || n > state_size / states_)
        throw InputError("generate: the arrays are shorter than the number of states asked for");
    return {conditions.data, conditions_, n, row};
}

void Generator::generate(Stream& stream, Span<const float> conditions, index n, uint64 seed,
                         uint64 first_index, Span<float> states) {
    const auto s = columns(conditions, n, states.size);
    const Matrix<float> out{states.data, states_, n, states.size / states_};
    Matrix<float> made = out;
    if (embedding_.states() > 0) {
        if (inside_.size() < embedding_.inside() * n)
            inside_ = Buffer<float>(stream.device(), embedding_.inside() * n);
        made = {inside_.data(), embedding_.inside(), n, n};
    }
    sampler_->run(stream, {whitening_.view(), parameters_.data()}, s,
                  {seed, kStreamGenerate, static_cast<index>(first_index)}, made, precision_);
    if (embedding_.states() > 0) embedding_.project(stream, made, out);
}

bool Generator::has_density() const { return sampler_->has_density(); }

void Generator::check_density() const {
    const std::string refusal = sampler_->density_refusal();
    if (!refusal.empty()) throw InputError("a generator of kind '" + kind_ + "' " + refusal);
}

void Generator::propose(Stream& stream, Span<const float> conditions, index n, uint64 seed,
                        uint32 stream_id, uint64 first_index, Span<float> states,
                        Span<float> log_density) {
    check_density();
    const auto s = columns(conditions, n, states.size);
    sampler_->propose(stream, {whitening_.view(), parameters_.data()}, s,
                      {seed, stream_id, static_cast<index>(first_index)},
                      {states.data, states_, n, states.size / states_}, log_density.data);
}

void Generator::log_density(Stream& stream, Span<const float> conditions, index n,
                            Span<const float> states, Span<float> log_density) {
    check_density();
    const auto s = columns(conditions, n, states.size);
    sampler_->density(stream, {whitening_.view(), parameters_.data()}, s,
                      {states.data, states_, n, states.size / states_}, log_density.data);
}

}  // namespace microlift
