#include "sampling/work/pulled_path.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "engine/at.h"
#include "engine/stop.h"
#include "sampling/numerics/statistics.h"
#include "sampling/work/work_values.h"

namespace microlift {

namespace {

constexpr index kPathBlocks = 32;
// Gauss and Legendre's, for means over a cell.
constexpr std::array<double, 5> kPathNodes{-0.9061798459386640, -0.5384693101056831, 0, 0.5384693101056831,
                                      0.9061798459386640};
constexpr std::array<double, 5> kNodeWeights{0.1184634425280945, 0.2393143352496832, 0.2844444444444444,
                                        0.2393143352496832, 0.1184634425280945};

class PathEstimator {
public:
    PathEstimator(const PulledPath& path, const PathCells& cells);
    PathProfile run();

private:
    index block(index column) const { return column % path_.walkers * blocks_ / path_.walkers; }
    // ln of e^{−W/kT} from the first frame to this one, on the way forward.
    double log_weight(index frame, index i) const {
        const double own = path_.work[at(frame * path_.columns() + i)];
        return -(i < path_.walkers ? own : own - path_.total[at(i)]) / path_.kt;
    }
    void weigh_ways();
    void sum_frame(index frame);
    void count_frame(index frame);
    void add_densities();
    void visit_cells(index frame, index i, auto&& visit) const;
    double density(index cell, index frame) const;  // mean over the cell of e^{−U/kT}

    const PulledPath& path_;
    const PathCells& cells_;
    const index blocks_, count_;
    double ahead_;  // share of the mixture that came forward
    std::vector<double> way_, way_slope_;  // by column: 1/(density of the mixture), and its logarithm's slope by F
    double difference_ = 0;                // kT, of all walkers
    std::vector<double> moved_;            // and what it is without each block, less that
    // By frame: −ln of the sum of weights, of all and without each block.
    std::vector<double> level_, level_without_;
    std::vector<double> weight_, slope_;   // of a frame, by column
    // (cell), (block, cell): what was counted, over the sum of weights of its frame.
    std::vector<double> count_all_, count_without_, hits_;
    std::vector<double> log_density_, log_density_without_;
};

PathEstimator::PathEstimator(const PulledPath& path, const PathCells& cells)
    : path_(path), cells_(cells), blocks_(std::min(kPathBlocks, path.walkers)), count_(std::ssize(cells.centre)),
      ahead_(0.5), level_(at(path.frames)), level_without_(at(path.frames * blocks_)),
      weight_(at(path.columns())), slope_(at(path.columns())), count_all_(at(count_)),
      count_without_(at(blocks_ * count_)), hits_(at(count_)), log_density_(at(count_)),
      log_density_without_(at(blocks_ * count_)) {}

void PathEstimator::weigh_ways() {
    const auto n = at(path_.walkers);
    const std::span<const double> forward(path_.total.data(), n), reverse(path_.total.data() + n, n);
    difference_ = bar_difference(forward, reverse, path_.kt) / path_.kt;
    for (index g = 0; g < blocks_; ++g) {
        std::vector<double> f, r;
        for (index i = 0; i < path_.walkers; ++i)
            if (block(i) != g) f.push_back(forward[at(i)]), r.push_back(reverse[at(i)]);
        moved_.push_back(f.empty() ? 0 : bar_difference(f, r, path_.kt) / path_.kt - difference_);
        check_stop();
    }
    for (index i = 0; i < path_.columns(); ++i) {
        const double w = (i < path_.walkers ? 1 : -1) * path_.total[at(i)] / path_.kt;
        // ρ_F + ρ_R e^{−(W − F)}, both shares one half; ln of it, and the part of the second.
        const double off = difference_ - w;
        const double log_sum = std::max(off, 0.0) + std::log1p(std::exp(-std::fabs(off))) + std::log(ahead_);
        way_.push_back(-log_sum);
        way_slope_.push_back(-1 / (1 + std::exp(-off)));
    }
}

// Weights of the frame's states, and their sums by block.
void PathEstimator::sum_frame(index frame) {
    double most = -1e300;
    for (index i = 0; i < path_.columns(); ++i)
        most = std::max(most, weight_[at(i)] = log_weight(frame, i) + way_[at(i)]);
    std::vector<double> sum(at(blocks_)), slope(at(blocks_));
    double all = 0, all_slope = 0;
    for (index i = 0; i < path_.columns(); ++i) {
        const double u = std::exp(weight_[at(i)] - most), v = u * way_slope_[at(i)];
        weight_[at(i)] = u, slope_[at(i)] = v;
        sum[at(block(i))] += u, slope[at(block(i))] += v;
        all += u, all_slope += v;
    }
    const auto mean = [&](double of, double n) { return -std::log(of / n) - most; };
    std::vector<double> members(at(blocks_));
    for (index i = 0; i < path_.columns(); ++i) members[at(block(i))] += 1;
    level_[at(frame)] = mean(all, static_cast<double>(path_.columns()));
    for (index g = 0; g < blocks_; ++g) {
        const double left = all - sum[at(g)] + moved_[at(g)] * (all_slope - slope[at(g)]);
        level_without_[at(frame * blocks_ + g)] =
            mean(std::max(left, 1e-300), static_cast<double>(path_.columns()) - members[at(g)]);
    }
    // From here on relative to the sums of weights.
    for (index i = 0; i < path_.columns(); ++i) weight_[at(i)] /= all, slope_[at(i)] /= all;
}

void PathEstimator::visit_cells(index frame, index i, auto&& visit) const {
    CvValue xi{};
    for (int k = 0; k < path_.cvs; ++k)
        xi[at(k)] = static_cast<double>(path_.xi[at((frame * path_.cvs + k) * path_.columns() + i)]);
    if (cells_.line) {
        const double off = nearest_image(xi[0] - cells_.centre[at(count_ / 2)][0], path_.period[0]) / cells_.half[0];
        const double place = std::floor(0.5 * (off + 1)) + static_cast<double>(count_ / 2);
        if (place >= 0 && place < static_cast<double>(count_)) visit(static_cast<index>(place));
        return;
    }
    for (index c = 0; c < count_; ++c) {
        bool inside = true;
        for (std::size_t k = 0; k < at(path_.cvs); ++k)
            inside = inside && std::fabs(nearest_image(xi[k] - cells_.centre[at(c)][k], path_.period[k])) < cells_.half[k];
        if (inside) visit(c);
    }
}

void PathEstimator::count_frame(index frame) {
    std::vector<double> sum(at(blocks_ * count_)), slope(at(blocks_ * count_));
    for (index i = 0; i < path_.columns(); ++i)
        visit_cells(frame, i, [&](index c) {
            const auto to = at(block(i) * count_ + c);
            sum[to] += weight_[at(i)], slope[to] += slope_[at(i)];
            hits_[at(c)] += 1;
        });
    for (index c = 0; c < count_; ++c) {
        double all = 0, all_slope = 0;
        for (index g = 0; g < blocks_; ++g) all += sum[at(g * count_ + c)], all_slope += slope[at(g * count_ + c)];
        count_all_[at(c)] += all;
        for (index g = 0; g < blocks_; ++g) {
            const double left = all - sum[at(g * count_ + c)] +
                                moved_[at(g)] * (all_slope - slope[at(g * count_ + c)]);
            // The sum of weights without the block, in that of all.
            const double scale = std::exp(level_without_[at(frame * blocks_ + g)] - level_[at(frame)]);
            count_without_[at(g * count_ + c)] += left * scale;
        }
    }
}

double PathEstimator::density(index cell, index frame) const {
    double all = 1;
    for (std::size_t k = 0; k < at(path_.cvs); ++k) {
        double mean = 0;
        for (std::size_t q = 0; q < kPathNodes.size(); ++q) {
            const double off = nearest_image(cells_.centre[at(cell)][k] + kPathNodes[q] * cells_.half[k] -
                                                 path_.center[at(frame)][k], path_.period[k]);
            mean += kNodeWeights[q] * std::exp(-0.5 * path_.stiffness[k] * off * off / path_.kt);
        }
        all *= mean;
    }
    return all;
}

// ln Σ_t e^{−U_t/kT}/Z_t at every cell.
void PathEstimator::add_densities() {
    double most = -1e300;
    for (const double level : level_) most = std::max(most, level);
    for (index c = 0; c < count_; ++c) {
        check_stop();
        double all = 0;
        std::vector<double> without(at(blocks_));
        for (index t = 0; t < path_.frames; ++t) {
            const double of = density(c, t) * std::exp(level_[at(t)] - most);
            all += of;
            if (of > 0)
                for (index g = 0; g < blocks_; ++g)
                    without[at(g)] += of * std::exp(level_without_[at(t * blocks_ + g)] - level_[at(t)]);
        }
        log_density_[at(c)] = std::log(all) + most;
        for (index g = 0; g < blocks_; ++g) log_density_without_[at(g * count_ + c)] = std::log(without[at(g)]) + most;
    }
}

PathProfile PathEstimator::run() {
    weigh_ways();
    for (index t = 0; t < path_.frames; ++t) {
        check_stop();
        sum_frame(t);
        count_frame(t);
    }
    add_densities();
    PathProfile p;
    p.blocks = blocks_;
    for (index t = 0; t < path_.frames; ++t) {
        p.restrained.push_back(path_.kt * (level_[at(t)] - level_[0]));
        std::vector<double> without;
        for (index g = 0; g < blocks_; ++g)
            without.push_back(path_.kt * (level_without_[at(t * blocks_ + g)] - level_without_[at(g)]));
        p.restrained_error.push_back(jackknife_error(std::move(without)));
    }
    p.samples = hits_;
    p.influence.assign(at(blocks_ * count_), 0.0);
    for (index c = 0; c < count_; ++c) {
        const bool seen = hits_[at(c)] > 0 && count_all_[at(c)] > 0;
        p.free_energy.push_back(seen ? path_.kt * (log_density_[at(c)] - std::log(count_all_[at(c)])) : kNaN);
        for (index g = 0; g < blocks_ && seen; ++g) {
            const double left = count_without_[at(g * count_ + c)];
            // A cell that one block alone was in tells no error.
            p.influence[at(g * count_ + c)] =
                left > 0 ? path_.kt * (log_density_without_[at(g * count_ + c)] - std::log(left)) : kNaN;
        }
        if (seen) jackknife_influence(&p.influence[at(c)], blocks_, count_);
    }
    return p;
}

}  // namespace

PathProfile path_profile(const PulledPath& path, const PathCells& cells) { return PathEstimator(path, cells).run(); }

}  // namespace microlift
