#include "sampling/estimate/reweight/reweighting.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/stop.h"
#include "kernels/lane/math.h"
#include "sampling/estimate/agreement.h"
#include "sampling/estimate/sample_kernels.h"
#include "sampling/estimate/stationarity.h"

namespace microlift {

namespace {

constexpr double kFewEffective = 100, kSmallShare = 0.01;  // of samples: then a warning

// The grid with a margin of one bin, for second differences.
struct WeightedCells {
    explicit WeightedCells(const Grid& g) : grid(g) {
        for (int k = 0; k < grid.dims; ++k) bins[k] = grid.bins[at(k)] + 2;
    }
    index size() const { return bins[0] * bins[1]; }
    index step(int k) const { return grid.dims == 2 && k == 0 ? bins[1] : 1; }
    index padded(index b) const {
        return grid.dims == 1 ? b + 1 : (grid.bin(0, b) + 1) * bins[1] + grid.bin(1, b) + 1;
    }
    // −1: beyond the margin.
    index of(const double* x) const {
        index cell = 0;
        for (int k = 0; k < grid.dims; ++k) {
            const double inner = static_cast<double>(grid.bins[at(k)]);
            double u = (x[k] - grid.from[at(k)]) / grid.width(k);
            if (grid.round[at(k)]) {
                u = 0.5 * inner + nearest_image(u - 0.5 * inner, inner);
                u = u < 0.0 || u >= inner ? 0.0 : u;  // rounding at the ends, which are one
            }
            if (!(u >= -1.0) || u >= inner + 1.0) return -1;
            cell = cell * bins[k] + static_cast<index>(std::floor(u)) + 1;
        }
        return cell;
    }
    // Of variables that go all round, from the bins at the other end.
    void fill_margins(double* sums) const {
        for (int k = 0; k < grid.dims; ++k) {
            if (!grid.round[at(k)]) continue;
            const index last = bins[k] - 1;
            for (index p = 0; p < size(); ++p) {
                const index place = grid.dims == 1 ? p : k == 0 ? p / bins[1] : p % bins[1];
                if (place == 0 || place == last) sums[p] = sums[p + (place == 0 ? last - 1 : 1 - last) * step(k)];
            }
        }
    }
    Grid grid;
    index bins[kMaxCvs] = {1, 1};
};

std::vector<index> cell_of_each(Stream& stream, const BiasedSamples& samples, const WeightedCells& cells) {
    std::vector<std::vector<float>> xi;
    for (int k = 0; k < samples.n_cvs; ++k)
        xi.push_back(to_host(stream, samples.xi.subspan(k * samples.row, samples.n)));
    std::vector<index> out;
    for (index j = 0; j < samples.n; ++j) {
        const double x[2] = {static_cast<double>(xi[0][at(j)]),
                             samples.n_cvs == 2 ? static_cast<double>(xi[1][at(j)]) : 0.0};
        out.push_back(cells.of(x));
    }
    return out;
}

// Relative to the largest.
std::vector<double> weights_of(const std::vector<double>& log_weight) {
    const double top = *std::ranges::max_element(log_weight);
    std::vector<double> weight;
    for (const double w : log_weight) weight.push_back(exp<Portable>(w - top));
    return weight;
}

// Kish: so many samples of equal weight.
double effective(double sum, double squares) { return squares > 0 ? sum * sum / squares : 0; }

void find_inefficiency(Stream& stream, const BiasedSamples& near, const std::vector<double>& weight,
                       FreeEnergyResult& r) {
    r.inefficiency.assign(1, 1.0);
    window_inefficiencies(stream, near, r);
    const std::vector<float> single(weight.begin(), weight.end());
    Buffer<float> on_device(stream.device(), near.n);
    copy_to_device(stream, on_device.span(), single.data());
    Buffer<double> out(stream.device(), 1);
    for (const SampleBlock& run : near.blocks) {
        window_inefficiency(stream, std::as_const(on_device).span(), run, out.span());
        r.inefficiency[0] = std::max(r.inefficiency[0], to_host(stream, std::as_const(out).span())[0]);
    }
    double sum = 0, squares = 0;
    for (const double w : weight) sum += w, squares += w * w;
    const double n = effective(sum, squares);
    r.effective_samples.assign(1, n / r.inefficiency[0]);
    if (n > kFewEffective && n > kSmallShare * static_cast<double>(near.n)) return;
    std::ostringstream text;
    text.precision(3);
    text << "weights are uneven: the " << near.n << " samples tell as much as " << n
         << " of equal weight; the bias may have been made while they were sampled (leave that part out by "
            "samples.discard), or its energies are in another unit (samples.energy_unit)";
    r.warnings.push_back(text.str());
}

// F and the influence of every block on it, from sums (block, cell) of weights and their squares.
void fill_profile(const WeightedCells& cells, index blocks, const std::vector<double>& sums,
                  const std::vector<double>& squares, double kt, FreeEnergyProfile& profile) {
    const Grid& grid = profile.grid;
    const index all = cells.size();
    std::vector<double> total(at(all), 0.0);
    for (index g = 0; g < blocks; ++g)
        for (index c = 0; c < all; ++c) total[at(c)] += sums[at(g * all + c)];
    // A sum is the mean over the bin; at its centre less h²/24 times the second derivative.
    const auto at_centre = [&](const double* sum, index c) {
        double value = sum[c];
        for (int k = 0; k < grid.dims; ++k)
            value -= (sum[c + cells.step(k)] - 2.0 * sum[c] + sum[c - cells.step(k)]) / 24.0;
        return value;
    };
    profile.blocks = blocks;
    profile.free_energy.assign(at(grid.size()), kNaN);
    profile.influence.assign(at(blocks * grid.size()), kNaN);
    profile.samples.assign(at(grid.size()), 0.0);
    for (index b = 0; b < grid.size(); ++b) {
        check_stop();
        const index c = cells.padded(b);
        if (!(total[at(c)] > 0)) continue;
        profile.samples[at(b)] = effective(total[at(c)], squares[at(c)]);
        double rho = at_centre(total.data(), c);
        const bool smooth = rho > 0.5 * total[at(c)] && rho < 2.0 * total[at(c)];
        if (!smooth) rho = total[at(c)];
        profile.free_energy[at(b)] = -kt * std::log(rho);
        double mean = 0;
        for (index g = 0; g < blocks; ++g) {
            const double* sum = &sums[at(g * all)];
            const double change = -kt * (smooth ? at_centre(sum, c) : sum[c]) / rho;
            profile.influence[at(g * grid.size() + b)] = change;
            mean += change / static_cast<double>(blocks);
        }
        for (index g = 0; g < blocks; ++g) profile.influence[at(g * grid.size() + b)] -= mean;
    }
    profile.finish();
    // Blocks that hold little of a bin's weight tell little of its error.
    for (index b = 0; b < grid.size(); ++b) {
        if (!std::isfinite(profile.free_energy[at(b)]) || b == profile.minimum_bin) continue;
        double sum = 0, square = 0;
        index present = 0;
        for (index g = 0; g < blocks; ++g) {
            const double w = sums[at(g * all + cells.padded(b))];
            sum += w, square += w * w, present += w > 0;
        }
        const auto telling = static_cast<index>(std::ceil(effective(sum, square)));
        if (present >= kLeastBlocks) present = std::clamp(telling, kLeastBlocks, present);
        profile.std_error[at(b)] *= student_factor(present) / student_factor(blocks);
    }
}

}  // namespace

FreeEnergyResult reweight(Stream& stream, const BiasedSamples& samples, const BiasWindows& windows,
                          const std::vector<double>& log_weight, const Grid& grid, const EstimateOptions& options) {
    check_estimate_input(samples, &windows, grid);
    if (std::ssize(log_weight) != samples.n || windows.size() != 1)
        throw InputError("estimate: reweighting needs a weight for each sample, and no windows");
    double range[2 * kMaxCvs];
    check_range(stream, samples, range);
    FreeEnergyResult r;
    r.profile.grid = grid;
    const NearWindows near(stream, samples, windows);
    check_moving(stream, near.samples(), windows, r);
    const std::vector<double> weight = weights_of(log_weight);
    find_inefficiency(stream, near.samples(), weight, r);
    r.error_blocks = choose_error_blocks(samples, r.inefficiency[0], options.error_blocks);
    warn_of_few_blocks(r);

    const WeightedCells cells(grid);
    const index blocks = r.error_blocks.count(), all = cells.size();
    std::vector<double> sums(at(blocks * all), 0.0), squares(at(all), 0.0);
    const std::vector<index> cell = cell_of_each(stream, samples, cells);
    for (const SampleBlock& run : samples.blocks) {
        const BlockDivision division = block_division(run, r.error_blocks);
        for (index j = 0; j < run.size(); ++j) {
            const index c = cell[at(run.first + j)];
            if (c < 0) continue;
            const double w = weight[at(run.first + j)];
            sums[at(division.block(j) * all + c)] += w;
            squares[at(c)] += w * w;
        }
        check_stop();
    }
    for (index g = 0; g < blocks; ++g) cells.fill_margins(&sums[at(g * all)]);
    fill_profile(cells, blocks, sums, squares, options.kt, r.profile);
    r.window_f.assign(1, 0.0);
    r.window_f_error.assign(1, 0.0);
    r.converged = true;
    r.iterations = 1;
    const double top = *std::ranges::max_element(log_weight);
    std::vector<float> relative;
    for (const double w : log_weight) relative.push_back(static_cast<float>(w - top));
    r.log_weight = Buffer<float>(stream.device(), samples.n);
    copy_to_device(stream, r.log_weight.span(), relative.data());
    compare_time_halves(r, options.kt);
    return r;
}

std::vector<float> weights_within_bins(Stream& stream, const BiasedSamples& samples,
                                       const std::vector<double>& log_weight, const Grid& grid) {
    const WeightedCells cells(grid);
    const std::vector<index> cell = cell_of_each(stream, samples, cells);
    std::vector<double> top(at(cells.size()), -1e300), sum(at(cells.size()), 0.0), square = sum;
    for (index j = 0; j < samples.n; ++j)
        if (const index c = cell[at(j)]; c >= 0) top[at(c)] = std::max(top[at(c)], log_weight[at(j)]);
    std::vector<double> weight(at(samples.n), 1.0);
    for (index j = 0; j < samples.n; ++j)
        if (const index c = cell[at(j)]; c >= 0) {
            const double w = weight[at(j)] = exp<Portable>(log_weight[at(j)] - top[at(c)]);
            sum[at(c)] += w;
            square[at(c)] += w * w;
        }
    std::vector<float> out;
    for (index j = 0; j < samples.n; ++j) {
        const index c = cell[at(j)];
        out.push_back(static_cast<float>(c < 0 ? 1.0 : weight[at(j)] * sum[at(c)] / square[at(c)]));
    }
    return out;
}

}  // namespace microlift
