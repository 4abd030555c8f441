#include "nn/train/held_out.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/error.h"
#include "engine/launch/blocks.h"
#include "engine/launch/gather.h"
#include "engine/launch/lanes.h"
#include "engine/launch/sort.h"
#include "nn/train/checkpoint.h"

namespace microlift {

HeldOut::HeldOut(Stream& stream, const HeldOutConfig& config, Matrix<const float> states,
                 Matrix<const float> conditions, index trajectories)
    : states_(static_cast<int>(states.rows)), condition_count_(static_cast<int>(conditions.rows)),
      rows_(stream.device(), (config.validations + 1) * kValidationColumns),
      best_(stream.device(), 1) {
    const index count = states.columns / trajectories;
    std::vector<int32> training;
    Kept held{{}, 0, count};
    index training_samples = count;
    if (trajectories >= 20) {
        for (index t = 0; t < trajectories; ++t) {
            uint32 counter[4] = {static_cast<uint32>(t), kStreamSplit, 0, 0};
            philox4x32(counter, philox_key(config.seed));
            const bool out = uniform_open<float>(counter[0]) < static_cast<float>(config.share);
            (out ? held.trajectories : training).push_back(static_cast<int32>(t));
        }
        if (training.empty()) std::swap(training, held.trajectories);
    } else {
        training.resize(static_cast<std::size_t>(trajectories));
        std::iota(training.begin(), training.end(), 0);
        training_samples = std::max<index>(
            1, count - static_cast<index>(static_cast<double>(count) * config.share));
        held = {training, training_samples, count};
    }
    choose_bins(stream, config, held, states, conditions, trajectories);
    kept_ = Buffer<int32>(stream.device(), static_cast<index>(training.size()));
    copy_to_device(stream, kept_.span(), training.data());
    columns_.kept = kept_.data();
    columns_.kept_count = static_cast<uint32>(training.size());
    columns_.trajectories = trajectories;
    columns_.samples = training_samples;
    const BestState none;
    copy_to_device(stream, best_.span(), &none);
}

namespace {

// The values (variable, pick) of chosen columns.
std::vector<float> fetch(Stream& stream, Matrix<const float> from,
                         const std::vector<int64>& picks) {
    const index total = static_cast<index>(picks.size());
    Buffer<index> where(stream.device(), total);
    Buffer<float> out(stream.device(), total * from.rows);
    copy_to_device(stream, where.span(), picks.data());
    gather_columns(stream, from.data, from.stride, from.rows, where.span(), out.data());
    return to_host(stream, out.span());
}

// The columns of (variable, column) in another order.
std::vector<float> reordered(const std::vector<float>& values, const std::vector<index>& order) {
    std::vector<float> out;
    for (std::size_t first = 0; first < values.size(); first += order.size())
        for (const index from : order)
            out.push_back(values[first + static_cast<std::size_t>(from)]);
    return out;
}

}  // namespace

// Held-out columns sorted into bins of the condition.
void HeldOut::choose_bins(Stream& stream, const HeldOutConfig& config, const Kept& held,
                          Matrix<const float> states, Matrix<const float> conditions,
                          index trajectories) {
    const index count = static_cast<index>(held.trajectories.size());
    const index available = count * (held.to - held.from);
    bins_ = 1;
    while (bins_ * 2 <= config.bins && available / (bins_ * 2) >= 128) bins_ *= 2;
    samples_ = std::min(config.samples, available / bins_);
    floor_ = 0;
    bin_conditions_.clear();
    if (samples_ < kLeastValidationSamples) {
        bins_ = samples_ = 0;
        return;
    }
    std::vector<int64> picks(static_cast<std::size_t>(total()));
    for (index i = 0; i < total(); ++i) {
        // Evenly spread over the held-out columns.
        const index k = static_cast<index>((static_cast<double>(i) + 0.5) *
                                           static_cast<double>(available) /
                                           static_cast<double>(total()));
        picks[static_cast<std::size_t>(i)] =
            (held.from + k / count) * trajectories +
            held.trajectories[static_cast<std::size_t>(k % count)];
    }
    const auto picked = fetch(stream, conditions, picks);
    const auto order = order_by_bins(picked);
    const auto s = reordered(picked, order);
    auto x = reordered(fetch(stream, states, picks), order);
    bin_conditions_.assign(static_cast<std::size_t>(bins_), {});
    for (index b = 0; b < bins_; ++b)
        for (int k = 0; k < condition_count_; ++k) {
            double sum = 0;
            for (index i = 0; i < samples_; ++i)
                sum += static_cast<double>(
                    s[static_cast<std::size_t>(k * total() + b * samples_ + i)]);
            bin_conditions_[static_cast<std::size_t>(b)].push_back(sum /
                                                                   static_cast<double>(samples_));
        }
    const auto inverse = sort_and_scale(x);
    const Device& device = stream.device();
    conditions_ = Buffer<float>(device, total() * condition_count_);
    held_states_ = Buffer<float>(device, total() * states_);
    generated_ = Buffer<float>(device, total() * states_);
    sort_space_ =
        Buffer<unsigned char>(device, sort_scratch_rows(device, bins_ * states_, samples_, samples_));
    inverse_deviation_ = Buffer<float>(device, bins_ * states_);
    distances_ = Buffer<float>(device, bins_ * states_);
    best_distances_ = Buffer<float>(device, bins_ * states_);
    copy_to_device(stream, conditions_.span(), s.data());
    copy_to_device(stream, held_states_.span(), x.data());
    copy_to_device(stream, inverse_deviation_.span(), inverse.data());
}

// By splitting at medians: a k-d tree. Within a bin the data's order stays, so that its halves are alike.
std::vector<index> HeldOut::order_by_bins(const std::vector<float>& s) const {
    std::vector<index> order(static_cast<std::size_t>(total()));
    std::iota(order.begin(), order.end(), index{0});
    for (index parts = 1, depth = 0; parts < bins_; parts *= 2, ++depth) {
        const index axis = depth % condition_count_, length = total() / parts;
        for (index p = 0; p < parts; ++p)
            std::sort(order.begin() + p * length, order.begin() + (p + 1) * length,
                      [&](index a, index b) {
                          const float u = s[static_cast<std::size_t>(axis * total() + a)];
                          const float v = s[static_cast<std::size_t>(axis * total() + b)];
                          return u != v ? u < v : a < b;
                      });
    }
    for (index b = 0; b < bins_; ++b)
        std::sort(order.begin() + b * samples_, order.begin() + (b + 1) * samples_);
    return order;
}

// Sorts every (variable, bin), measures the floor and returns 1/σ of each.
std::vector<float> HeldOut::sort_and_scale(std::vector<float>& states) {
    std::vector<float> inverse;
    for (index segment = 0; segment < bins_ * states_; ++segment) {
        float* begin = states.data() + segment * samples_;
        double mean = 0, square = 0;
        for (index i = 0; i < samples_; ++i) mean += static_cast<double>(begin[i]);
        mean /= static_cast<double>(samples_);
        for (index i = 0; i < samples_; ++i) {
            const double u = static_cast<double>(begin[i]) - mean;
            square += u * u;
        }
        const double deviation = std::sqrt(square / static_cast<double>(samples_));
        inverse.push_back(deviation > 0 ? static_cast<float>(1.0 / deviation) : 0.0f);
        // The distance of two halves, scaled to whole samples.
        const index half = samples_ / 2;
        std::vector<float> one, two;
        for (index i = 0; i < 2 * half; ++i) (i % 2 ? one : two).push_back(begin[i]);
        std::sort(one.begin(), one.end());
        std::sort(two.begin(), two.end());
        double distance = 0;
        for (std::size_t i = 0; i < one.size(); ++i)
            distance += std::fabs(static_cast<double>(one[i]) - static_cast<double>(two[i]));
        floor_ += distance / static_cast<double>(half) * static_cast<double>(inverse.back()) /
                  std::sqrt(2.0) / static_cast<double>(bins_ * states_);
        std::sort(begin, begin + samples_);
    }
    return inverse;
}

void HeldOut::judge(Stream& stream, TrainClock* clock, Span<const float> average,
                    Span<float> best) {
    if (bins_ == 0) {
        copy(stream, best, average);
        return;
    }
    const index segments = bins_ * states_;
    sort_rows(stream, generated_.data(), segments, samples_, samples_, sort_space_.span());
    for_each_block(stream, segments,
                   DistanceKernel{held_states_.data(), generated_.data(), inverse_deviation_.data(),
                                  samples_, distances_.data()},
                   DistanceOnCpu{});
    for_each_index(stream, 1,
                   JudgeBody{distances_.data(), segments, floor_ > 0 ? static_cast<float>(kAtFloor * floor_) : -1.0f,
                             clock, best_.data(), rows_.data()});
    for_each_lane(stream, average.size, KeepBestBody{best_.data(), average.data, best.data});
    for_each_lane(stream, segments,
                  KeepBestBody{best_.data(), distances_.data(), best_distances_.data()});
}

HeldOut::Record HeldOut::record(Stream& stream) {
    Record out;
    BestState top;
    copy_to_host(stream, &top, Span<const BestState>(best_.span()));
    const auto checks = to_host(stream, rows_.span());
    for (uint32 k = 0; k < top.rows; ++k) {
        const float* row = checks.data() + k * kValidationColumns;
        out.rows.push_back({static_cast<index>(row[0]), static_cast<double>(row[1]),
                            static_cast<double>(row[2])});
    }
    out.best_iteration = static_cast<index>(top.best_iteration);
    if (bins_ == 0 || top.rows == 0) return out;
    out.best = static_cast<double>(top.best);
    const auto distances = to_host(stream, best_distances_.span());
    out.distances.assign(static_cast<std::size_t>(bins_), {});
    for (index b = 0; b < bins_; ++b)
        for (int d = 0; d < states_; ++d)
            out.distances[static_cast<std::size_t>(b)].push_back(
                static_cast<double>(distances[static_cast<std::size_t>(d * bins_ + b)]));
    return out;
}

void HeldOut::save(Stream& stream, TensorMap& map) {
    if (best_.size() == 0) return;  // no data yet
    map["validation"] = Tensor::of(to_host(stream, rows_.span()));
    if (bins_ > 0) map["best_distances"] = Tensor::of(to_host(stream, best_distances_.span()));
    map["best"] = checkpoint_words(to_host(stream, best_.span())[0]);
}

void HeldOut::load(Stream& stream, const TensorMap& map) {
    if (best_.size() == 0) return;
    const auto top = checkpoint_struct<BestState>(map, "best");
    if (static_cast<index>(top.rows) * kValidationColumns > rows_.size() || !(top.best >= 0))
        throw InputError("the training checkpoint is past the end of this training");
    const auto rows = checkpoint_tensor(map, "validation", rows_.size() * 4).floats();
    if (bins_ > 0) {
        const auto distances =
            checkpoint_tensor(map, "best_distances", best_distances_.size() * 4).floats();
        copy_to_device(stream, best_distances_.span(), distances.data());
    }
    copy_to_device(stream, rows_.span(), rows.data());
    copy_to_device(stream, best_.span(), &top);
}

}  // namespace microlift
