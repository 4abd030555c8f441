// Checkpoints of a run: what they hold, and how a run goes on from one.
#include "sampling/run/run.h"

namespace microlift {

Store Pipeline::base_checkpoint() {
    Store store;
    store.attributes["stage"] = stage_;
    store.attributes["metrics"] = metrics_.dump();
    store.put_scalar<long long>("round", round_);
    std::vector<double> centers, stiffness;
    for (index w = 0; w < windows_.size(); ++w)
        for (int k = 0; k < kMaxCvs; ++k) {
            centers.push_back(windows_.center[static_cast<std::size_t>(w)][k]);
            stiffness.push_back(windows_.stiffness[static_cast<std::size_t>(w)][k]);
        }
    store.put("window_center", centers);
    store.put("window_stiffness", stiffness);
    std::vector<long long> blocks;
    for (const SampleBlock& b : samples_.blocks)
        for (index v : {b.first, b.first_window, b.windows, b.replicas, b.samples})
            blocks.push_back(v);
    store.put("blocks", blocks);
    store.put("error_blocks", std::vector<long long>{error_blocks_.replica_groups,
                                                     error_blocks_.time_segments});
    if (!warm_.empty()) store.put("generator", packed(warm_));
    store.put("profile", profile_);
    store.put("profile_error", profile_error_);
    store.put("profile_influence", profile_influence_);
    std::vector<double> places;
    for (const auto& place : round_places_) places.insert(places.end(), place.begin(), place.end());
    store.put("round_places", places);
    store.put_scalar<long long>("discarded", discarded_);
    store.put_scalar<double>("jump_acceptance", jump_acceptance_);
    return store;
}

std::vector<std::uint8_t> Pipeline::packed(const TensorMap& tensors) {
    const std::vector<std::byte> bytes = format_safetensors({tensors, {}});
    const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
    return {first, first + bytes.size()};
}

TensorMap Pipeline::unpacked(std::span<const std::uint8_t> bytes) {
    return parse_safetensors(std::as_bytes(bytes), "checkpoint.h5").tensors;
}

void Pipeline::save_sampling(Ensemble& ensemble, index sampled, double steps, double energies,
                             const std::vector<uint64>& counters) {
    Store store = base_checkpoint();
    store.put("ensemble", ensemble.save_state());
    store.put_scalar<long long>("step", static_cast<long long>(ensemble.step()));
    store.put_scalar<long long>("sampled", sampled);
    store.put_scalar<double>("steps", steps);
    store.put_scalar<double>("energies", energies);
    store.put("counters", std::vector<long long>(counters.begin(), counters.end()));
    if (kernel_->metropolis()) {
        const std::vector<uint64> accepted = ensemble.accepted();
        store.put("accepted_steps", std::vector<long long>(accepted.begin(), accepted.end()));
    }
    put_samples(store);
    put_histogram(store);
    store.save(dir_ / "checkpoint.h5");
}

void Pipeline::put_samples(Store& store) {
    const auto rows = [this](const Buffer<float>& from, int count) {
        return [this, &from, count](index first, index n, index, void* out) {
            for (index r = 0; r < n; ++r) {
                const index row = first + r;
                (void)count;
                copy_to_host(stream_, static_cast<float*>(out) + r * samples_.n,
                             from.span().subspan(row * samples_.row, samples_.n));
            }
        };
    };
    if (samples_.n == 0) return;
    store.put_rows("samples_x", {DType::f32, {model_.dim(), samples_.n}},
                   rows(samples_.x, model_.dim()));
    store.put_rows("samples_xi", {DType::f32, {model_.n_cvs(), samples_.n}},
                   rows(samples_.xi, model_.n_cvs()));
}

void Pipeline::save_training(GeneratorTrainer& trainer) {
    Store store = base_checkpoint();
    store.put("training", packed(trainer.save_state()));
    if (!run_.estimate.enabled) put_samples(store);  // there is no samples.h5
    store.save(dir_ / "checkpoint.h5");
}

void Pipeline::restore() {
    const fs::path file = dir_ / "checkpoint.h5";
    if (!fs::exists(file)) return;  // stopped before the first one
    checkpoint_ = Store::load(file);
    const auto missing = [&](const std::string& what) -> InputError {
        return InputError(file.string() + ": it does not hold " + what +
                          "; begin anew with --force");
    };
    if (!checkpoint_.attributes.count("stage") || !checkpoint_.attributes.count("metrics"))
        throw missing("a run");
    stage_ = checkpoint_.attributes.at("stage");
    metrics_ = Json::parse(checkpoint_.attributes.at("metrics"), nullptr, false);
    if (metrics_.is_discarded()) throw missing("readable metrics");
    round_ = checkpoint_.scalar<long long>("round");
    const auto centers = checkpoint_.get<double>("window_center");
    const auto stiffness = checkpoint_.get<double>("window_stiffness");
    for (std::size_t w = 0; w * kMaxCvs < centers.size(); ++w) {
        windows_.center.push_back({centers[2 * w], centers[2 * w + 1]});
        windows_.stiffness.push_back({stiffness[2 * w], stiffness[2 * w + 1]});
    }
    const auto blocks = checkpoint_.get<long long>("blocks");
    for (std::size_t b = 0; b + 5 <= blocks.size(); b += 5)
        samples_.blocks.push_back(
            {blocks[b], blocks[b + 1], blocks[b + 2], blocks[b + 3], blocks[b + 4]});
    const auto errors = checkpoint_.get<long long>("error_blocks", 2);
    error_blocks_.replica_groups = errors[0];
    error_blocks_.time_segments = errors[1];
    const auto profile = checkpoint_.get<double>("profile");
    profile_.assign(profile.begin(), profile.end());
    const auto profile_error = checkpoint_.get<double>("profile_error");
    profile_error_.assign(profile_error.begin(), profile_error.end());
    const auto influence = checkpoint_.get<double>("profile_influence");
    profile_influence_.assign(influence.begin(), influence.end());
    const auto places = checkpoint_.get<double>("round_places");
    const auto K = static_cast<std::size_t>(model_.n_cvs());
    for (std::size_t i = 0; i + K <= places.size(); i += K)
        round_places_.emplace_back(places.begin() + static_cast<std::ptrdiff_t>(i),
                                   places.begin() + static_cast<std::ptrdiff_t>(i + K));
    discarded_ = checkpoint_.scalar<long long>("discarded");
    jump_acceptance_ = checkpoint_.scalar<double>("jump_acceptance");
    if (checkpoint_.has("generator"))
        warm_ = unpacked(checkpoint_.get<std::uint8_t>("generator"));
    if (stage_ == "done") return;
    if (stage_ == "sample" || !run_.estimate.enabled) {
        if (!checkpoint_.has("samples_x")) return;
        const index n = checkpoint_.info("samples_x").shape.at(1);
        if (n > samples_.row) throw missing("samples of this configuration");
        load_rows(samples_.x, checkpoint_.get<float>("samples_x", model_.dim() * n), n);
        load_rows(samples_.xi, checkpoint_.get<float>("samples_xi", model_.n_cvs() * n), n);
        samples_.n = n;
    } else if (!run_.umbrella.histogram) {
        read_samples();
    }
}

void Pipeline::load_rows(Buffer<float>& to, std::span<const float> from, index n) {
    for (index r = 0; r * n < static_cast<index>(from.size()); ++r)
        copy_to_device(stream_, to.span().subspan(r * samples_.row, n), from.data() + r * n);
}

void Pipeline::read_samples() {
    const SamplesReader file(dir_ / "samples.h5");
    const index n = file.info().samples;
    if (n > samples_.row)
        throw InputError((dir_ / "samples.h5").string() +
                         ": it holds more samples than this configuration makes; begin anew "
                         "with --force");
    const auto D = static_cast<std::size_t>(model_.dim());
    const auto K = static_cast<std::size_t>(model_.n_cvs());
    constexpr index piece = 1 << 18;
    std::vector<float> state(D * piece), cv(K * piece), column(piece);
    for (index first = 0; first < n; first += piece) {
        const index count = std::min(piece, n - first);
        file.read(first, count, state.data(), cv.data(), nullptr, nullptr);
        const auto scatter = [&](const std::vector<float>& rows, std::size_t width,
                                 Buffer<float>& to) {
            for (std::size_t d = 0; d < width; ++d) {
                for (index i = 0; i < count; ++i)
                    column[static_cast<std::size_t>(i)] =
                        rows[static_cast<std::size_t>(i) * width + d];
                copy_to_device(
                    stream_,
                    to.span().subspan(static_cast<index>(d) * samples_.row + first, count),
                    column.data());
            }
        };
        scatter(state, D, samples_.x);
        scatter(cv, K, samples_.xi);
    }
    samples_.n = n;
}

}  // namespace microlift
