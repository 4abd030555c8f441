#include "nn/layers/whitening.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "engine/launch/reduce.h"
#include "nn/layers/whitening_bodies.h"
#include "nn/layers/whitening_fit.h"

namespace microlift {
namespace {

// Of a variable that the condition determines, as a share of its overall deviation.
constexpr double kLeastDeviation = 1e-3;

// The chunks' tables, added up in order.
template <class Sums>
std::vector<double> measured_table(Stream& stream, const Sums& sums) {
    const index chunks = sums.data.chunks, cells = sums.data.cells(), size = cells * sums.entry();
    constexpr int kThreads = MeasureKernel<Sums>::kThreads;
    const index tiles = stream.device().is_cpu() ? 1 : (cells + kThreads - 1) / kThreads;
    Buffer<double> parts(stream.device(), chunks * size), table(stream.device(), size);
    const Tables tables{parts.data(), 1, chunks, size, size};
    Buffer<double> scratch(stream.device(), table_scratch(tables));
    for_each_block(stream, chunks * tiles, MeasureKernel<Sums>{sums, tiles, parts.data()},
                   MeasureOnCpu{});
    sum_tables(stream, tables, table.span(), scratch.span());
    return to_host(stream, table.span());
}

}  // namespace

Whitening::Moments Whitening::moments(Stream& stream, Matrix<const float> values) {
    const index variables = values.rows, measured = std::min(values.columns, kMostMeasured);
    Buffer<float> gathered;
    Rows<float> rows(values.data, variables, measured, values.stride);
    if (measured < values.columns) {
        gathered = Buffer<float>(stream.device(), variables * measured);
        for_each_index(stream, gathered.size(),
                       GatherMeasuredBody{values.data, values.stride, values.columns, measured,
                                          gathered.data()});
        rows = {gathered.data(), variables, measured, measured};
    }
    Buffer<double> found(stream.device(), 4 * variables);
    Buffer<double> scratch(stream.device(), reduce_scratch(variables, measured));
    const auto part = [&](index which) { return found.span().subspan(which * variables, variables); };
    row_mean_variance(stream, rows, part(0), part(1), scratch.span());
    row_min(stream, rows, part(2), scratch.span());
    row_max(stream, rows, part(3), scratch.span());
    const auto host = to_host(stream, found.span());
    Moments m;
    for (index d = 0; d < variables; ++d) {
        const double* at = host.data() + d;
        const double mean = at[0], variance = at[variables];
        const double least = at[2 * variables], most = at[3 * variables];
        if (!std::isfinite(mean) || !std::isfinite(variance))
            throw NumericError("the training data hold values that are not finite");
        m.mean.push_back(mean);
        // A constant variable keeps its value, to rounding.
        m.deviation.push_back(most > least ? std::sqrt(variance)
                                           : std::max(1e-6 * std::fabs(mean), 1e-30));
        m.least.push_back(least);
        m.most.push_back(most);
    }
    return m;
}

Whitening::Whitening(Stream& stream, Kind kind, Matrix<const float> states,
                     Matrix<const float> conditions, const std::vector<double>& periods,
                     int waves, const std::vector<double>& state_periods) {
    if (conditions.rows < 1 || conditions.rows > kMostConditions)
        throw InputError("there are " + std::to_string(conditions.rows) +
                         " conditions; give 1 to " + std::to_string(kMostConditions));
    if (states.columns < 2) throw InputError("training needs at least two samples");
    const Data data{states, conditions};
    const Moments x = moments(stream, states), s = moments(stream, conditions);
    view_.states = static_cast<int>(states.rows);
    view_.conditions = static_cast<int>(conditions.rows);
    check_angles(x, state_periods);
    scale_conditions(s, periods, waves);
    mean_.assign(x.mean.begin(), x.mean.end());
    deviation_.assign(x.deviation.begin(), x.deviation.end());
    range_.assign(static_cast<std::size_t>(2 * states.rows), 0.0f);
    upload(stream);
    if (kind == Kind::conditional && conditions.rows <= 2) {
        lay_grid(s, periods);
        const Buffer<float> global = std::move(tables_);
        fit_means(stream, data, x, global.data());
        fit_deviations(stream, data, x, global.data());
    }
    measure_range(stream, data);
    set_angles();
    upload(stream);
}

void Whitening::check_angles(const Moments& x, const std::vector<double>& periods) {
    for (std::size_t d = 0; d < periods.size(); ++d) {
        if (!(periods[d] > 0)) continue;
        const double half = 0.500001 * periods[d];
        if (d >= x.mean.size() || x.least[d] < -half || x.most[d] > half)
            throw InputError("training data: states that go round must lie within half their period "
                             "about 0");
        if (period_.empty()) period_.assign(x.mean.size(), 0.0f);
        period_[d] = static_cast<float>(periods[d]);
    }
}

// Angles have neither a mean nor a greatest value.
void Whitening::set_angles() {
    const std::size_t n = period_.size();
    for (std::size_t d = 0; d < n; ++d) {
        if (!(period_[d] > 0)) continue;
        for (std::size_t knot = 0; knot < mean_.size() / n; ++knot) {
            mean_[knot * n + d] = 0;
            deviation_[knot * n + d] = period_[d] / 6.28318531f;
        }
        range_[2 * d] = -3.14159265f;
        range_[2 * d + 1] = 3.14159265f;
    }
}

void Whitening::scale_conditions(const Moments& s, const std::vector<double>& periods, int waves) {
    view_.waves = waves;
    for (int k = 0; k < view_.conditions; ++k) {
        const auto at = static_cast<std::size_t>(k);
        const double spread = s.most[at] - s.least[at];
        view_.wave_low[k] = static_cast<float>(s.least[at]);
        view_.wave_scale[k] = spread > 0 ? static_cast<float>(1.0 / spread) : 0.0f;
        const float period = at < periods.size() ? static_cast<float>(periods[at]) : 0.0f;
        view_.periodic[k] = period > 0;
        view_.center[k] = view_.periodic[k] ? 0.0f : static_cast<float>(s.mean[at]);
        view_.inverse_scale[k] = view_.periodic[k] ? 6.28318531f / period
                                                   : spread > 0 ? static_cast<float>(1.0 / s.deviation[at]) : 0.0f;
        view_.features += view_.periodic[k] ? 2 * kHarmonics : 1 + 2 * view_.waves;
    }
}

void Whitening::lay_grid(const Moments& s, const std::vector<double>& periods) {
    view_.axes = view_.conditions;
    for (int k = 0; k < view_.conditions; ++k) {
        const auto at = static_cast<std::size_t>(k);
        view_.knots[k] = view_.conditions == 1 ? kKnots1 : kKnots2;
        view_.wraps[k] = view_.periodic[k];
        const double range = view_.periodic[k]
                                 ? static_cast<double>(static_cast<float>(periods[at]))
                                 : s.most[at] - s.least[at];
        if (!(range > 0)) {
            view_.knots[k] = 1;
            view_.low[k] = static_cast<float>(s.least[at]);
            continue;
        }
        const index intervals = view_.wraps[k] ? view_.knots[k] : view_.knots[k] - 1;
        view_.low[k] = static_cast<float>(view_.periodic[k] ? 0.0 : s.least[at]);
        view_.inverse_step[k] = static_cast<float>(static_cast<double>(intervals) / range);
    }
}

// A piecewise linear least-squares fit, so that a variable that is a linear function of the condition
// (above all, the condition itself) is met exactly, up to the ends. `global`: means, then deviations, of
// each state.
void Whitening::fit_means(Stream& stream, const Data& data, const Moments& x, const float* global) {
    const int states = view_.states;
    const index columns = data.states.columns, measured = std::min(columns, kMostMeasured);
    const index cells = view_.knots[0] * view_.knots[1], entry = kStencil + states;
    const auto table = measured_table(
        stream, FitSums{{view_, data.states.data, data.conditions.data, data.states.stride, columns,
                         measured, measure_chunks(measured, cells)},
                        global, global + states});
    const double per_knot = static_cast<double>(measured) / static_cast<double>(cells);
    const TableSmoothness smoothness{std::min(50.0, 0.05 * per_knot), 1e-6 * per_knot};
    mean_.assign(static_cast<std::size_t>(cells * states), 0.0f);
    for (int d = 0; d < states; ++d) {
        const auto at = static_cast<std::size_t>(d);
        std::vector<double> right;
        for (index k = 0; k < cells; ++k)
            right.push_back(table[static_cast<std::size_t>(k * entry + kStencil + d)]);
        const auto fitted = fitted_table(view_, table, entry, smoothness, right);
        for (index k = 0; k < cells; ++k)
            mean_[static_cast<std::size_t>(k * states + d)] = static_cast<float>(
                x.mean[at] + fitted[static_cast<std::size_t>(k)] * x.deviation[at]);
    }
    deviation_.assign(mean_.size(), 1.0f);
    upload(stream);
}

// Smoothed mean squares of the residuals about the fitted means.
void Whitening::fit_deviations(Stream& stream, const Data& data, const Moments& x,
                               const float* global) {
    const int states = view_.states;
    const index columns = data.states.columns, measured = std::min(columns, kMostMeasured);
    const index cells = view_.knots[0] * view_.knots[1], entry = 1 + states;
    const auto squares = measured_table(
        stream, ResidualSums{{view_, data.states.data, data.conditions.data, data.states.stride,
                              columns, measured, measure_chunks(measured, cells)},
                             global + states});
    auto residuals = neighbour_sums(view_, squares, entry);
    // A knot with few samples takes ever wider sums.
    for (int round = 0; round < 256; ++round) {
        const auto wide = neighbour_sums(view_, residuals, entry);
        bool all = true;
        for (index k = 0; k < cells; ++k) {
            const auto at = static_cast<std::size_t>(k * entry);
            if (residuals[at] >= 10) continue;
            all = false;
            std::copy_n(wide.begin() + k * entry, entry, residuals.begin() + k * entry);
        }
        if (all) break;
    }
    for (index k = 0; k < cells; ++k)
        for (int d = 0; d < states; ++d) {
            const double* at = residuals.data() + k * entry;
            const double variance = (at[1 + d] + 1e-6) / (at[0] + 1e-6);
            deviation_[static_cast<std::size_t>(k * states + d)] =
                static_cast<float>(std::max(std::sqrt(variance), kLeastDeviation) *
                                   x.deviation[static_cast<std::size_t>(d)]);
        }
    upload(stream);
}

void Whitening::measure_range(Stream& stream, const Data& data) {
    const index measured = std::min(data.states.columns, kMostMeasured), states = view_.states;
    const index pieces = (measured + kRangeColumns - 1) / kRangeColumns;
    Buffer<float> ranges(stream.device(), 2 * states * pieces);
    Buffer<double> found(stream.device(), 2 * states);
    Buffer<double> scratch(stream.device(), reduce_scratch(states, pieces));
    for_each_index(stream, pieces,
                   RangeBody{{view_, data.states.data, data.conditions.data, data.states.stride,
                              data.states.columns, measured, pieces},
                             ranges.data()});
    const auto every_other = [&](index first) {
        return Rows<float>(ranges.data() + first * pieces, states, pieces, 2 * pieces);
    };
    row_min(stream, every_other(0), found.span().subspan(0, states), scratch.span());
    row_max(stream, every_other(1), found.span().subspan(states, states), scratch.span());
    const auto host = to_host(stream, found.span());
    for (std::size_t d = 0; d < static_cast<std::size_t>(states); ++d) {
        range_[2 * d] = static_cast<float>(host[d]);
        range_[2 * d + 1] = static_cast<float>(host[static_cast<std::size_t>(states) + d]);
    }
    upload(stream);
}

void Whitening::share_over_states(Stream& stream) {
    const auto n = static_cast<std::size_t>(view_.states);
    for (std::size_t knot = 0; knot < mean_.size() / n; ++knot) {
        double mean = 0, square = 0;
        for (std::size_t d = 0; d < n; ++d) {
            mean += static_cast<double>(mean_[knot * n + d]) / static_cast<double>(n);
            const double deviation = static_cast<double>(deviation_[knot * n + d]);
            square += deviation * deviation / static_cast<double>(n);
        }
        for (std::size_t d = 0; d < n; ++d) {
            mean_[knot * n + d] = static_cast<float>(mean);
            deviation_[knot * n + d] = static_cast<float>(std::sqrt(square));
        }
    }
    for (std::size_t d = 1; d < n; ++d) {
        range_[0] = std::min(range_[0], range_[2 * d]);
        range_[1] = std::max(range_[1], range_[2 * d + 1]);
    }
    for (std::size_t d = 1; d < n; ++d) {
        range_[2 * d] = range_[0];
        range_[2 * d + 1] = range_[1];
    }
    upload(stream);
}

void Whitening::upload(Stream& stream) {
    const index n = static_cast<index>(mean_.size());
    const index ranges = static_cast<index>(range_.size());
    const index periods = static_cast<index>(period_.size());
    tables_ = Buffer<float>(stream.device(), 2 * n + ranges + periods);
    copy_to_device(stream, tables_.span().subspan(0, n), mean_.data());
    copy_to_device(stream, tables_.span().subspan(n, n), deviation_.data());
    view_.mean = tables_.data();
    copy_to_device(stream, tables_.span().subspan(2 * n, ranges), range_.data());
    view_.deviation = tables_.data() + n;
    view_.range = tables_.data() + 2 * n;
    view_.angles = static_cast<int>(
        std::count_if(period_.begin(), period_.end(), [](float p) { return p > 0; }));
    if (periods == 0) return;
    copy_to_device(stream, tables_.span().subspan(2 * n + ranges, periods), period_.data());
    view_.period = tables_.data() + 2 * n + ranges;
}

TensorMap Whitening::tensors() const {
    TensorMap map;
    const index k0 = view_.knots[0], k1 = view_.knots[1];
    map["whitening.mean"] = Tensor::of(mean_, {k0, k1, view_.states});
    map["whitening.deviation"] = Tensor::of(deviation_, {k0, k1, view_.states});
    map["whitening.range"] = Tensor::of(range_, {view_.states, 2});
    if (!period_.empty()) map["whitening.period"] = Tensor::of(period_, {view_.states});
    // (axis, [low, 1/step, wraps]),
    // (condition, [center, 1/scale, periodic, wave_low, wave_scale, waves])
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
        conditions.push_back(view_.wave_low[k]);
        conditions.push_back(view_.wave_scale[k]);
        conditions.push_back(static_cast<float>(view_.waves));
    }
    map["whitening.grid"] = Tensor::of(grid, {view_.axes, 3});
    map["whitening.conditions"] = Tensor::of(conditions, {view_.conditions, 6});
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
    const Tensor& range = get("whitening.range", 2);
    range_ = range.floats();
    if (range.shape[0] != mean.shape[2] || range.shape[1] != 2) wrong("the range of the states");
    if (tensors.contains("whitening.period")) period_ = get("whitening.period", 1).floats();
    if (!period_.empty() && static_cast<index>(period_.size()) != mean.shape[2])
        wrong("the periods of the states");
    const auto g = grid.floats(), c = conditions.floats();
    if (mean.shape != deviation.shape || mean_.empty()) wrong("the tables differ in shape");
    if (grid.shape[0] > 2 || grid.shape[1] != 3) wrong("the grid has more than two axes");
    if (conditions.shape[0] < 1 || conditions.shape[0] > kMostConditions ||
        conditions.shape[1] != 6 || conditions.shape[0] < grid.shape[0])
        wrong("the number of conditions");
    for (const auto& list : {mean_, deviation_, range_, period_, g, c})
        for (const float value : list)
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
    if (c[5] < 0 || c[5] > static_cast<float>(kMostWaves)) wrong("the number of waves");
    view_.waves = static_cast<int>(c[5]);
    for (int k = 0; k < view_.conditions; ++k) {
        view_.center[k] = c[static_cast<std::size_t>(6 * k)];
        view_.inverse_scale[k] = c[static_cast<std::size_t>(6 * k + 1)];
        view_.periodic[k] = c[static_cast<std::size_t>(6 * k + 2)] != 0;
        view_.wave_low[k] = c[static_cast<std::size_t>(6 * k + 3)];
        view_.wave_scale[k] = c[static_cast<std::size_t>(6 * k + 4)];
        view_.features += view_.periodic[k] ? 2 * kHarmonics : 1 + 2 * view_.waves;
    }
    upload(stream);
}

}  // namespace microlift
