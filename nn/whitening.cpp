#include "nn/whitening.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/launch.h"
#include "nn/whitening_bodies.h"

namespace microlift {
namespace {

struct Moments {
    std::vector<double> mean, deviation, least, most;
};

Moments measure(Stream& stream, Span<const float> values, index row, index columns, int variables) {
    const index measured = std::min(columns, kMostMeasured);
    Buffer<double> sums(stream.device(), kMeasureChunks * variables * 4);
    for_each_index(stream, kMeasureChunks,
                   MomentsBody{values.data, row, columns, measured, variables, sums.data()});
    const auto host = to_host(stream, sums.span());
    Moments m;
    for (int d = 0; d < variables; ++d) {
        float shift;
        copy_to_host(stream, &shift, values.subspan(d * row, 1));
        double sum = 0, squares = 0, least = host[static_cast<std::size_t>(d) * 4 + 2],
               most = host[static_cast<std::size_t>(d) * 4 + 3];
        for (index c = 0; c < kMeasureChunks; ++c) {
            const double* at = host.data() + (c * variables + d) * 4;
            sum += at[0], squares += at[1];
            least = std::min(least, at[2]), most = std::max(most, at[3]);
        }
        const double n = static_cast<double>(measured), mean = sum / n;
        if (!std::isfinite(mean) || !std::isfinite(squares))
            throw NumericError("the training data hold values that are not finite");
        m.mean.push_back(static_cast<double>(shift) + mean);
        const double deviation = std::sqrt(std::max(squares / n - mean * mean, 0.0));
        // A constant variable is left at its scale.
        m.deviation.push_back(deviation > 1e-12 * (1 + std::fabs(m.mean.back())) ? deviation : 1.0);
        m.least.push_back(least);
        m.most.push_back(most);
    }
    return m;
}

// [1 2 1]/4 along one axis of `cells` records.
void smooth(std::vector<double>& table, index knots0, index knots1, index entry, bool wrap0,
            bool wrap1) {
    for (int axis = 0; axis < 2; ++axis) {
        const index n = axis == 0 ? knots0 : knots1;
        const bool wraps = axis == 0 ? wrap0 : wrap1;
        if (n == 1) continue;
        const std::vector<double> old = table;
        for (index a = 0; a < knots0; ++a)
            for (index b = 0; b < knots1; ++b) {
                const index at = axis == 0 ? a : b;
                const auto neighbour = [&](index step) {
                    index k = at + step;
                    k = wraps ? (k + n) % n : std::clamp<index>(k, 0, n - 1);
                    return ((axis == 0 ? k : a) * knots1 + (axis == 0 ? b : k)) * entry;
                };
                const index here = (a * knots1 + b) * entry;
                for (index e = 0; e < entry; ++e)
                    table[static_cast<std::size_t>(here + e)] =
                        0.25 * old[static_cast<std::size_t>(neighbour(-1) + e)] +
                        0.5 * old[static_cast<std::size_t>(here + e)] +
                        0.25 * old[static_cast<std::size_t>(neighbour(1) + e)];
            }
    }
}

}  // namespace

Whitening::Whitening(Stream& stream, Kind kind, Span<const float> states,
                     Span<const float> conditions, index row, index columns, int state_count,
                     int condition_count, const std::vector<float>& periods) {
    if (condition_count < 1 || condition_count > kMostConditions)
        throw InputError("there are " + std::to_string(condition_count) +
                         " conditions; give 1 to " + std::to_string(kMostConditions));
    if (columns < 2) throw InputError("training needs at least two samples");
    const Moments x = measure(stream, states, row, columns, state_count);
    const Moments s = measure(stream, conditions, row, columns, condition_count);
    view_.states = state_count;
    view_.conditions = condition_count;
    view_.features = 0;
    for (int k = 0; k < condition_count; ++k) {
        const auto at = static_cast<std::size_t>(k);
        const float period = at < periods.size() ? periods[at] : 0.0f;
        view_.periodic[k] = period > 0;
        view_.center[k] = view_.periodic[k] ? 0.0f : static_cast<float>(s.mean[at]);
        view_.inverse_scale[k] = view_.periodic[k] ? 6.28318531f / period
                                                   : static_cast<float>(1.0 / s.deviation[at]);
        view_.features += view_.periodic[k] ? 2 * kHarmonics : 1;
    }
    mean_.assign(x.mean.begin(), x.mean.end());
    deviation_.assign(x.deviation.begin(), x.deviation.end());
    upload(stream);
    if (kind == Kind::global || condition_count > 2) return;

    view_.axes = condition_count;
    for (int k = 0; k < condition_count; ++k) {
        const auto at = static_cast<std::size_t>(k);
        view_.knots[k] = condition_count == 1 ? kKnots1 : kKnots2;
        view_.wraps[k] = view_.periodic[k];
        const double range = view_.periodic[k] ? static_cast<double>(periods[at])
                                               : s.most[at] - s.least[at];
        if (!(range > 1e-12 * (1 + std::fabs(s.most[at])))) {
            view_.knots[k] = 1;
            view_.low[k] = static_cast<float>(s.least[at]);
            continue;
        }
        const index intervals = view_.wraps[k] ? view_.knots[k] : view_.knots[k] - 1;
        view_.low[k] = static_cast<float>(view_.periodic[k] ? 0.0 : s.least[at]);
        view_.inverse_step[k] = static_cast<float>(static_cast<double>(intervals) / range);
    }
    const index cells = view_.knots[0] * view_.knots[1], entry = 1 + 2 * state_count;
    Buffer<double> sums(stream.device(), kMeasureChunks * cells * entry);
    for_each_index(stream, kMeasureChunks,
                   ConditionalMomentsBody{view_, states.data, conditions.data, row, columns,
                                          std::min(columns, kMostMeasured), sums.data()});
    const auto host = to_host(stream, sums.span());
    std::vector<double> table(static_cast<std::size_t>(cells * entry), 0.0);
    for (index c = 0; c < kMeasureChunks; ++c)
        for (std::size_t i = 0; i < table.size(); ++i)
            table[i] += host[static_cast<std::size_t>(c) * table.size() + i];
    smooth(table, view_.knots[0], view_.knots[1], entry, view_.wraps[0], view_.wraps[1]);
    // Knots with few samples take what their neighbours have, again and again, until all have some.
    for (int round = 0; round < 256; ++round) {
        std::vector<double> wide = table;
        smooth(wide, view_.knots[0], view_.knots[1], entry, view_.wraps[0], view_.wraps[1]);
        bool all = true;
        for (index k = 0; k < cells; ++k) {
            const auto at = static_cast<std::size_t>(k * entry);
            if (table[at] >= 30) continue;
            all = false;
            std::copy_n(wide.begin() + k * entry, entry, table.begin() + k * entry);
        }
        if (all) break;
    }
    std::vector<float> mean(static_cast<std::size_t>(cells * state_count)), deviation(mean.size());
    for (index k = 0; k < cells; ++k)
        for (int d = 0; d < state_count; ++d) {
            const double* at = table.data() + k * entry;
            // A knot that stayed almost empty is pulled to the global moments.
            const double n = at[0] + 1e-3, m = at[1 + d] / n;
            const double variance = (at[1 + state_count + d] + 1e-3) / n - m * m;
            const auto global = static_cast<std::size_t>(d);
            const auto out = static_cast<std::size_t>(k * state_count + d);
            mean[out] = static_cast<float>(x.mean[global] + m * x.deviation[global]);
            deviation[out] = static_cast<float>(
                std::sqrt(std::max(variance, 1e-8)) * x.deviation[global]);
        }
    mean_ = std::move(mean);
    deviation_ = std::move(deviation);
    upload(stream);
}

void Whitening::upload(Stream& stream) {
    const index n = static_cast<index>(mean_.size());
    tables_ = Buffer<float>(stream.device(), 2 * n);
    copy_to_device(stream, tables_.span().subspan(0, n), mean_.data());
    copy_to_device(stream, tables_.span().subspan(n, n), deviation_.data());
    view_.mean = tables_.data();
    view_.deviation = tables_.data() + n;
}

TensorMap Whitening::tensors() const {
    TensorMap map;
    const index k0 = view_.knots[0], k1 = view_.knots[1];
    map["whitening.mean"] = Tensor::of(mean_, {k0, k1, view_.states});
    map["whitening.deviation"] = Tensor::of(deviation_, {k0, k1, view_.states});
    // (axis, [low, 1/step, wraps]), (condition, [center, 1/scale, periodic])
    std::vector<float> grid, conditions;
    for (int k = 0; k < view_.axes; ++k) {
        grid.push_back(view_.low[k]);
        grid.push_back(view_.inverse_step[k]);
        grid.push_back(view_.wraps[k] ? 1.0f : 0.0f);
    }
    for (int k = 0; k < view_.conditions; ++k) {
        conditions.push_back(view_.center[k]);
        conditions.push_back(view_.inverse_scale[k]);
        conditions.push_back(view_.periodic[k] ? 1.0f : 0.0f);
    }
    map["whitening.grid"] = Tensor::of(grid, {view_.axes, 3});
    map["whitening.conditions"] = Tensor::of(conditions, {view_.conditions, 3});
    return map;
}

Whitening::Whitening(Stream& stream, const TensorMap& tensors) {
    const auto get = [&](const char* name, std::size_t rank) -> const Tensor& {
        const auto found = tensors.find(name);
        if (found == tensors.end() || found->second.shape.size() != rank ||
            found->second.type != "F32")
            throw InputError(std::string("the weights hold no tensor '") + name +
                             "' of the right kind; give a file that microlift wrote");
        return found->second;
    };
    const auto wrong = [](const char* what) {
        throw InputError(std::string("the whitening constants are wrong: ") + what +
                         "; give a file that microlift wrote");
    };
    const Tensor &mean = get("whitening.mean", 3), &deviation = get("whitening.deviation", 3);
    const Tensor &grid = get("whitening.grid", 2), &conditions = get("whitening.conditions", 2);
    mean_ = mean.floats();
    deviation_ = deviation.floats();
    const auto g = grid.floats(), c = conditions.floats();
    if (mean.shape != deviation.shape || mean_.empty()) wrong("the tables differ in shape");
    if (grid.shape[0] > 2 || grid.shape[1] != 3) wrong("the grid has more than two axes");
    if (conditions.shape[0] < 1 || conditions.shape[0] > kMostConditions ||
        conditions.shape[1] != 3 || conditions.shape[0] < grid.shape[0])
        wrong("the number of conditions");
    for (const auto* list : {&mean_, &deviation_, &g, &c})
        for (const float value : *list)
            if (!std::isfinite(value)) wrong("a value is not finite");
    view_.knots[0] = mean.shape[0];
    view_.knots[1] = mean.shape[1];
    view_.states = static_cast<int>(mean.shape[2]);
    view_.axes = static_cast<int>(grid.shape[0]);
    for (int k = 0; k < 2; ++k)
        if (k >= view_.axes && view_.knots[k] != 1) wrong("a table has an axis too many");
    for (int k = 0; k < view_.axes; ++k) {
        view_.low[k] = g[static_cast<std::size_t>(3 * k)];
        view_.inverse_step[k] = g[static_cast<std::size_t>(3 * k + 1)];
        view_.wraps[k] = g[static_cast<std::size_t>(3 * k + 2)] != 0;
    }
    view_.conditions = static_cast<int>(conditions.shape[0]);
    for (int k = 0; k < view_.conditions; ++k) {
        view_.center[k] = c[static_cast<std::size_t>(3 * k)];
        view_.inverse_scale[k] = c[static_cast<std::size_t>(3 * k + 1)];
        view_.periodic[k] = c[static_cast<std::size_t>(3 * k + 2)] != 0;
        view_.features += view_.periodic[k] ? 2 * kHarmonics : 1;
    }
    upload(stream);
}

}  // namespace microlift
