#include "sampling/estimate/conditional.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/stop.h"
#include "sampling/estimate/conditional_kernels.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

constexpr double kFewestSamples = 8.0;  // in a bin, for a regression
constexpr double kScratchBytes = 128.0 * (1 << 20);

struct Fit {
    double mean = kNaN, variance = kNaN;
    double curvature[kMaxCvs] = {1.0 / 24.0, 1.0 / 24.0};  // what regression makes of z²/2 at z = 0
};

// 1/24 where samples lie evenly. Of their moments the third is taken from the first, as where density
// changes along a line.
double curvature_share(double m, double mm) {
    const double spread = mm - m * m;
    return spread > 1e-3 ? 0.5 * (mm - m * m * (0.15 - mm) / spread) : 1.0 / 24.0;
}

// Regression of y on z at z = 0, and the variance of the residuals. base = Σ1, Σz, Σzz; each = Σy,
// Σyz, Σyy (conditional_kernels.h).
Fit regress(const double* base, const double* each, int dims) {
    Fit fit;
    const double n = base[0];
    if (n < kFewestSamples) return fit;
    const double y = each[0] / n;
    const double yy = each[dims + 1] / n - y * y;
    for (int k = 0; k < dims; ++k)
        fit.curvature[k] =
            curvature_share(base[1 + k] / n, base[dims == 1 ? 2 : k == 0 ? 3 : 5] / n);
    // A direction along which the samples hardly spread has no slope.
    constexpr double narrow = 1e-8;
    if (dims == 1) {
        const double z = base[1] / n, zz = base[2] / n - z * z, yz = each[1] / n - y * z;
        const double slope = zz > narrow ? yz / zz : 0.0;
        fit.mean = y - slope * z;
        fit.variance = std::max(0.0, yy - slope * yz) * n / (n - 2.0);
        return fit;
    }
    const double z0 = base[1] / n, z1 = base[2] / n;
    const double c00 = base[3] / n - z0 * z0, c01 = base[4] / n - z0 * z1,
                 c11 = base[5] / n - z1 * z1;
    const double y0 = each[1] / n - y * z0, y1 = each[2] / n - y * z1;
    const double det = c00 * c11 - c01 * c01;
    double s0 = 0.0, s1 = 0.0;
    if (det > narrow * c00 && det > narrow * c11 && det > 0.0) {
        s0 = (c11 * y0 - c01 * y1) / det;
        s1 = (c00 * y1 - c01 * y0) / det;
    }
    fit.mean = y - s0 * z0 - s1 * z1;
    fit.variance = std::max(0.0, yy - s0 * y0 - s1 * y1) * n / (n - 3.0);
    return fit;
}

double interpolate(const Grid& grid, const double* values, double x0, double x1) {
    double sum = 0.0;
    for (const GridWeight& w : interpolation_weights(grid, {x0, x1}))
        sum += w.weight * values[w.bin];
    return sum;
}

double interpolated_error(const Grid& grid, const double* influence, index blocks, double x0,
                          double x1) {
    std::vector<double> g(at(blocks), 0.0);
    for (const GridWeight& w : interpolation_weights(grid, {x0, x1}))
        for (index b = 0; b < blocks; ++b)
            g[at(b)] += w.weight * influence[b * grid.size() + w.bin];
    return influence_error(g.data(), blocks);
}

// One margin bin around the grid, for the second differences.
struct PaddedGrid {
    explicit PaddedGrid(const Grid& g) : grid(g) {
        bins.dims = g.dims;
        for (int k = 0; k < g.dims; ++k) {
            bins.from[k] = g.from[k] - g.width(k);
            bins.inverse_width[k] = 1.0 / g.width(k);
            bins.bins[k] = g.bins[k] + 2;
            bins.round[k] = g.round[k];
        }
    }
    // The margins of variables that go all round, from the bins at the other end: (block, bin, width).
    void fill_margins(std::vector<double>& sums, index blocks, index width) const {
        for (int k = 0; k < grid.dims; ++k) {
            if (!grid.round[k]) continue;
            const index last = bins.bins[k] - 1;
            for (index p = 0; p < size(); ++p) {
                const index place = place_of(p, k);
                if (place != 0 && place != last) continue;
                const index from = p + (place == 0 ? last - 1 : 1 - last) * step(k);
                for (index g = 0; g < blocks; ++g)
                    std::copy_n(sums.begin() + (g * size() + from) * width, width,
                                sums.begin() + (g * size() + p) * width);
            }
        }
    }
    index size() const { return bins.bins[0] * bins.bins[1]; }
    index step(int k) const { return grid.dims == 2 && k == 0 ? bins.bins[1] : 1; }
    index padded(index b) const {
        return grid.dims == 1 ? b + 1 : (grid.bin(0, b) + 1) * bins.bins[1] + grid.bin(1, b) + 1;
    }
    // Whether bin c, on the line through p along variable k, is one of the grid.
    bool inside(index c, index p, int k) const {
        const index row = bins.bins[1];
        const index place = grid.dims == 1 ? c : k == 0 ? c / row : c - p / row * row;
        return place >= 1 && place <= grid.bins[k];
    }
    index place_of(index p, int k) const {
        return grid.dims == 1 ? p : k == 0 ? p / bins.bins[1] : p % bins.bins[1];
    }
    Grid grid;
    ConditionalBins bins;
};

// The sums of some variables over every bin and block, and the local fits they give.
class BinFits {
public:
    // sums: (block, bin, width).
    BinFits(const PaddedGrid& padded, index blocks, index width, std::vector<double> sums)
        : padded_(padded), dims_(padded.grid.dims), base_(base_moments(dims_)),
          each_(variable_moments(dims_)), all_(padded.size()), width_(width), sums_(std::move(sums)),
          total_(at(all_ * width), 0.0), fits_(at(all_)), rest_(at(width)) {
        for (index g = 0; g < blocks; ++g)
            for (index i = 0; i < all_ * width; ++i) total_[at(i)] += sums_[at(g * all_ * width + i)];
    }
    // Of variable v: from all samples, or from all but those of a block.
    void fit(index v, index without) {
        for (index b = 0; b < all_; ++b) {
            const double* sum = &total_[at(b * width_)];
            if (without >= 0) {
                const double* gone = &sums_[at((without * all_ + b) * width_)];
                if (gone[0] > 0.0) {
                    for (index i = 0; i < base_; ++i) rest_[at(i)] = sum[i] - gone[i];
                    for (index i = 0; i < each_; ++i)
                        rest_[at(base_ + i)] =
                            sum[base_ + each_ * v + i] - gone[base_ + each_ * v + i];
                    fits_[at(b)] = regress(rest_.data(), rest_.data() + base_, dims_);
                    continue;
                }
            }
            fits_[at(b)] = regress(sum, sum + base_ + each_ * v, dims_);
        }
    }
    // At the centre of a bin of the grid. Neighbours with very few samples would bring more noise than
    // they take off bias; the choice is made once, from all samples.
    double at_centre(index b, double Fit::*part) const {
        const index p = padded_.padded(b);
        double value = fits_[at(p)].*part;
        const double least = std::max(2.0 * kFewestSamples, 0.1 * total_[at(p * width_)]);
        for (int k = 0; k < dims_; ++k) {
            // Where the samples end, the curvature beside.
            const index step = padded_.step(k);
            for (const index c : {p, p - step, p + step}) {
                if (!padded_.inside(c, p, k)) continue;
                const index lo = c - step, hi = c + step;
                if (total_[at(lo * width_)] < least || total_[at(c * width_)] < least ||
                    total_[at(hi * width_)] < least)
                    continue;
                value -= fits_[at(p)].curvature[k] *
                         (fits_[at(lo)].*part - 2.0 * fits_[at(c)].*part + fits_[at(hi)].*part);
                break;
            }
        }
        return value;
    }
    double count(index b) const { return total_[at(padded_.padded(b) * width_)]; }
    bool present(index block, index b) const {
        return sums_[at((block * all_ + padded_.padded(b)) * width_)] > 0.0;
    }

private:
    const PaddedGrid& padded_;
    int dims_;
    index base_, each_, all_, width_;
    std::vector<double> sums_, total_;
    std::vector<Fit> fits_;
    std::vector<double> rest_;
};

// Means and variances of `variable`, the v-th of `fits`.
void fill_moments(ConditionalMoments& r, index variable, index v, BinFits& fits) {
    fits.fit(v, -1);
    for (index b = 0; b < r.grid.size(); ++b) {
        check_stop();
        double& mean = r.mean[r.place(variable, b)];
        double& variance = r.variance[r.place(variable, b)];
        r.count[at(b)] = fits.count(b);
        mean = fits.at_centre(b, &Fit::mean);
        variance = std::max(0.0, fits.at_centre(b, &Fit::variance));
        if (r.count[at(b)] >= kFewestSamples && !std::isfinite(mean))
            throw NumericError("conditional averages: variable " + std::to_string(variable + 1) +
                               " has values that are not finite near collective variable " +
                               std::to_string(r.grid.centre(0, b)));
        if (std::isnan(mean)) variance = kNaN;
    }
}

// Their errors, by leaving out every block in turn.
void fill_errors(ConditionalMoments& r, index variable, index v, BinFits& fits) {
    const index bins = r.grid.size(), count = r.blocks;
    double* mean_influence = &r.mean_influence[at(variable * count * bins)];
    double* variance_influence = &r.variance_influence[at(variable * count * bins)];
    for (index g = 0; g < count; ++g) {
        fits.fit(v, g);
        for (index b = 0; b < bins; ++b) {
            check_stop();
            mean_influence[g * bins + b] = fits.at_centre(b, &Fit::mean);
            variance_influence[g * bins + b] = fits.at_centre(b, &Fit::variance);
        }
    }
    for (index b = 0; b < bins; ++b) {
        jackknife_influence(mean_influence + b, count, bins);
        jackknife_influence(variance_influence + b, count, bins);
        // Blocks without samples here tell nothing.
        index present = 0;
        for (index g = 0; g < count; ++g) present += fits.present(g, b);
        const double factor = student_factor(present) / student_factor(count);
        r.mean_error[r.place(variable, b)] =
            factor * influence_error(mean_influence + b, count, bins);
        r.variance_error[r.place(variable, b)] =
            factor * influence_error(variance_influence + b, count, bins);
    }
}

}  // namespace

double ConditionalMoments::mean_at(index variable, double x0, double x1) const {
    return interpolate(grid, &mean[place(variable, 0)], x0, x1);
}
double ConditionalMoments::variance_at(index variable, double x0, double x1) const {
    return interpolate(grid, &variance[place(variable, 0)], x0, x1);
}
double ConditionalMoments::mean_error_at(index variable, double x0, double x1) const {
    return interpolated_error(grid, &mean_influence[at(variable * blocks * grid.size())], blocks,
                              x0, x1);
}
double ConditionalMoments::variance_error_at(index variable, double x0, double x1) const {
    return interpolated_error(grid, &variance_influence[at(variable * blocks * grid.size())],
                              blocks, x0, x1);
}

namespace {

struct SumsPlan {
    index merge, count, batch;  // blocks in one, such blocks, variables at a time
};

// Many bins: fewer, larger blocks, so that the sums fit.
SumsPlan plan_sums(const PaddedGrid& padded, const ErrorBlocks& blocks, index variables) {
    const int base = base_moments(padded.grid.dims), each = variable_moments(padded.grid.dims);
    const auto all = static_cast<double>(padded.size());
    index merge = 1;
    while (blocks.count() / (merge + 1) >= 8 &&
           all * static_cast<double>(blocks.count() / merge) * static_cast<double>(base + each) * 8.0 > kScratchBytes)
        ++merge;
    const index count = (blocks.count() + merge - 1) / merge;
    const double bytes = 8.0 * all * static_cast<double>(count);
    return {merge, count,
            std::clamp<index>(static_cast<index>((kScratchBytes / bytes - base) / each), 1, variables)};
}

}  // namespace

double conditional_bytes(index samples, const Grid& grid, const ErrorBlocks& blocks, index variables) {
    const PaddedGrid padded(grid);
    const SumsPlan plan = plan_sums(padded, blocks, variables);
    const index width = base_moments(grid.dims) + variable_moments(grid.dims) * plan.batch;
    const index table = padded.size() * width,
                chunks = conditional_chunks(samples, plan.count, padded.size(), width);
    // Tables of the chunks; their sums here and there; and what the result has of every block.
    const double doubles = static_cast<double>(plan.count * table) * (static_cast<double>(chunks) + 2) +
                           2 * static_cast<double>(variables * plan.count * grid.size());
    return 8 * doubles;
}

ConditionalMoments conditional_moments(Stream& stream, const BiasedSamples& samples,
                                       Span<const float> y, index y_row, index variables,
                                       const Grid& grid, const ErrorBlocks& blocks) {
    check_estimate_input(samples, nullptr, grid);
    if (variables < 1 || y_row < samples.n || y.size < (variables - 1) * y_row + samples.n)
        throw InputError(
            "conditional averages: the observable array is shorter than its sizes say");
    const PaddedGrid padded(grid);
    const int dims = grid.dims, base = base_moments(dims), each = variable_moments(dims);
    const index all = padded.size(), bins = grid.size();
    const auto [merge, count, batch] = plan_sums(padded, blocks, variables);

    ConditionalMoments r;
    r.grid = grid;
    r.variables = variables;
    r.blocks = count;
    r.count.assign(at(bins), 0.0);
    for (auto* v : {&r.mean, &r.mean_error, &r.variance, &r.variance_error})
        v->assign(at(variables * bins), kNaN);
    for (auto* v : {&r.mean_influence, &r.variance_influence})
        v->assign(at(variables * count * bins), kNaN);
    for (index first = 0; first < variables; first += batch) {
        const index here = std::min(batch, variables - first), width = base + each * here;
        Buffer<double> sums(stream.device(), count * all * width);
        for (const SampleBlock& run : samples.blocks)
            conditional_sums(stream, samples, run, blocks, merge,
                             y.subspan(first * y_row, y.size - first * y_row), y_row, here,
                             padded.bins, sums.span());
        std::vector<double> of_bins = to_host(stream, sums.span());
        padded.fill_margins(of_bins, count, width);
        BinFits fits(padded, count, width, std::move(of_bins));
        for (index v = 0; v < here; ++v) {
            fill_moments(r, first + v, v, fits);
            fill_errors(r, first + v, v, fits);
        }
    }
    return r;
}

}  // namespace microlift
