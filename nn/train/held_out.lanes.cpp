#include "nn/train/held_out.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "engine/launch/sort.h"
#include "nn/train/training.h"

namespace microlift {

HeldOut::HeldOut(Stream& stream, const HeldOutConfig& config, Span<const float> states,
                 Span<const float> conditions, index row, index columns, index trajectories,
                 int state_count, int condition_count)
    : states_(state_count), condition_count_(condition_count),
      rows_(stream.device(), (config.validations + 1) * kValidationColumns),
      best_(stream.device(), 1) {
    if (trajectories < 1 || columns < trajectories || row < columns ||
        states.size < row * (state_count - 1) + columns ||
        conditions.size < row * (condition_count - 1) + columns)
        throw InputError("training data: the arrays do not hold the columns that are named");
    if (columns >= (index{1} << 32))
        throw InputError("training data: at most 4294967295 columns");
    const index count = columns / trajectories;
    std::vector<int32> training, held;
    index training_samples = count;
    if (trajectories >= 20) {
        for (index t = 0; t < trajectories; ++t) {
            uint32 counter[4] = {static_cast<uint32>(t), kStreamSplit, 0, 0};
            philox4x32(counter, philox_key(config.seed));
            const bool out = uniform_open<float>(counter[0]) < static_cast<float>(config.share);
            (out ? held : training).push_back(static_cast<int32>(t));
        }
        if (training.empty()) std::swap(training, held);
        choose_bins(stream, config, held, states, conditions, row, trajectories, 0, count);
    } else {
        training.resize(static_cast<std::size_t>(trajectories));
        std::iota(training.begin(), training.end(), 0);
        training_samples = std::max<index>(
            1, count - static_cast<index>(static_cast<double>(count) * config.share));
        choose_bins(stream, config, training, states, conditions, row, trajectories,
                    training_samples, count);
    }
    kept_ = Buffer<int32>(stream.device(), static_cast<index>(training.size()));
    copy_to_device(stream, kept_.span(), training.data());
    columns_.kept = kept_.data();
    columns_.kept_count = static_cast<uint32>(training.size());
    columns_.trajectories = trajectories;
    columns_.samples = training_samples;
    const BestState none;
    copy_to_device(stream, best_.span(), &none);
}

// Held-out columns sorted into bins of the condition, by splitting at medians: a k-d tree.
void HeldOut::choose_bins(Stream& stream, const HeldOutConfig& config,
                          const std::vector<int32>& held, Span<const float> data_states,
                          Span<const float> data_conditions, index data_row, index trajectories,
                          index samples_from, index samples_to) {
    const int states = states_, conditions = condition_count_;
    index &bins = bins_, &samples = samples_;
    const index available = static_cast<index>(held.size()) * (samples_to - samples_from);
    bins = 1;
    while (bins * 2 <= config.bins && available / (bins * 2) >= 128) bins *= 2;
    samples = std::min(config.samples, available / bins);
    floor_ = 0;
    bin_conditions_.clear();
    if (samples < 16) {
        bins = samples = 0;
        return;
    }
    const index total = bins * samples;
    std::vector<int64> picks(static_cast<std::size_t>(total));
    for (index i = 0; i < total; ++i) {
        // Evenly spread over the held-out columns.
        const index k = static_cast<index>((static_cast<double>(i) + 0.5) *
                                           static_cast<double>(available) /
                                           static_cast<double>(total));
        const index h = static_cast<index>(held.size());
        picks[static_cast<std::size_t>(i)] =
            (samples_from + k / h) * trajectories + held[static_cast<std::size_t>(k % h)];
    }
    const auto fetch = [&](Span<const float> from, int variables) {
        Buffer<int64> where(stream.device(), total);
        Buffer<float> out(stream.device(), total * variables);
        copy_to_device(stream, where.span(), picks.data());
        for_each_index(stream, total,
                       PickBody{from.data, data_row, where.data(), variables, total, out.data()});
        return to_host(stream, out.span());
    };
    const auto s = fetch(data_conditions, conditions), x = fetch(data_states, states);
    std::vector<index> order(static_cast<std::size_t>(total));
    std::iota(order.begin(), order.end(), index{0});
    for (index parts = 1, depth = 0; parts < bins; parts *= 2, ++depth) {
        const index axis = depth % conditions, length = total / parts;
        for (index p = 0; p < parts; ++p)
            std::sort(order.begin() + p * length, order.begin() + (p + 1) * length,
                      [&](index a, index b) {
                          const float u = s[static_cast<std::size_t>(axis * total + a)];
                          const float v = s[static_cast<std::size_t>(axis * total + b)];
                          return u != v ? u < v : a < b;
                      });
    }
    // Back to the data's order within a bin, so that its halves are alike.
    for (index b = 0; b < bins; ++b)
        std::sort(order.begin() + b * samples, order.begin() + (b + 1) * samples);

    std::vector<float> s_sorted(s.size()), x_sorted(x.size());
    for (index i = 0; i < total; ++i) {
        const index from = order[static_cast<std::size_t>(i)];
        for (int k = 0; k < conditions; ++k)
            s_sorted[static_cast<std::size_t>(k * total + i)] =
                s[static_cast<std::size_t>(k * total + from)];
        for (int d = 0; d < states; ++d)
            x_sorted[static_cast<std::size_t>(d * total + i)] =
                x[static_cast<std::size_t>(d * total + from)];
    }
    bin_conditions_.assign(static_cast<std::size_t>(bins), {});
    for (index b = 0; b < bins; ++b)
        for (int k = 0; k < conditions; ++k) {
            double sum = 0;
            for (index i = 0; i < samples; ++i)
                sum += static_cast<double>(
                    s_sorted[static_cast<std::size_t>(k * total + b * samples + i)]);
            bin_conditions_[static_cast<std::size_t>(b)].push_back(sum /
                                                                  static_cast<double>(samples));
        }
    std::vector<float> inverse;
    for (index segment = 0; segment < bins * states; ++segment) {
        float* begin = x_sorted.data() + segment * samples;
        double mean = 0, square = 0;
        for (index i = 0; i < samples; ++i) mean += static_cast<double>(begin[i]);
        mean /= static_cast<double>(samples);
        for (index i = 0; i < samples; ++i) {
            const double u = static_cast<double>(begin[i]) - mean;
            square += u * u;
        }
        const double deviation = std::sqrt(square / static_cast<double>(samples));
        inverse.push_back(deviation > 0 ? static_cast<float>(1.0 / deviation) : 0.0f);
        // The distance of two halves, scaled to whole samples.
        const index half = samples / 2;
        std::vector<float> one, two;
        for (index i = 0; i < 2 * half; ++i) (i % 2 ? one : two).push_back(begin[i]);
        std::sort(one.begin(), one.end());
        std::sort(two.begin(), two.end());
        double distance = 0;
        for (std::size_t i = 0; i < one.size(); ++i)
            distance += std::fabs(static_cast<double>(one[i]) - static_cast<double>(two[i]));
        floor_ += distance / static_cast<double>(half) * static_cast<double>(inverse.back()) /
                 std::sqrt(2.0) / static_cast<double>(bins * states);
        std::sort(begin, begin + samples);
    }
    const Device& device = stream.device();
    conditions_ = Buffer<float>(device, total * conditions);
    held_states_ = Buffer<float>(device, total * states);
    generated_ = Buffer<float>(device, total * states);
    sort_space_ =
        Buffer<unsigned char>(device, sort_scratch_rows(device, bins * states, samples));
    inverse_deviation_ = Buffer<float>(device, bins * states);
    distances_ = Buffer<float>(device, bins * states);
    best_distances_ = Buffer<float>(device, bins * states);
    copy_to_device(stream, conditions_.span(), s_sorted.data());
    copy_to_device(stream, held_states_.span(), x_sorted.data());
    copy_to_device(stream, inverse_deviation_.span(), inverse.data());
}

void HeldOut::judge(Stream& stream, const TrainClock* clock, Span<const float> average,
                    Span<float> best) {
    if (bins_ == 0) {
        copy(stream, best, average);
        return;
    }
    const index segments = bins_ * states_;
    sort_rows(stream, generated_.data(), segments, samples_, samples_, sort_space_.span());
    for_each_index(stream, segments,
                   DistanceBody{held_states_.data(), generated_.data(), inverse_deviation_.data(),
                                samples_, distances_.data()});
    for_each_index(stream, 1,
                   JudgeBody{distances_.data(), segments, clock, best_.data(), rows_.data()});
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
    const auto get = [&](const char* name, index bytes) -> const Tensor& {
        return checkpoint_tensor(map, name, bytes);
    };
    BestState top;
    std::memcpy(&top, get("best", sizeof top).data.data(), sizeof top);
    if (static_cast<index>(top.rows) * kValidationColumns > rows_.size())
        throw InputError("the training checkpoint is past the end of this training");
    const auto rows = get("validation", rows_.size() * 4).floats();
    if (bins_ > 0) {
        const auto distances = get("best_distances", best_distances_.size() * 4).floats();
        copy_to_device(stream, best_distances_.span(), distances.data());
    }
    copy_to_device(stream, rows_.span(), rows.data());
    copy_to_device(stream, best_.span(), &top);
}

}  // namespace microlift
