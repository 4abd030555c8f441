#include "sampling/closure/reduced_of_two.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/error.h"
#include "kernels/lane/math.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

namespace {

constexpr index kMostIntervals = 24;  // of a surface's mesh, along each variable
constexpr double kSeam = 2.5;         // spacings that estimates of a whole period may leave free
constexpr double kOverSeam = 3.5;     // spacings beyond the seam that surfaces see
constexpr double kVague = 0.2;        // of D: errors beyond it make its logarithm another one
constexpr double kFar = 4;            // errors that a diffusion that is not positive may be off
constexpr int kRounds = 5;            // of scoring
constexpr double kLeastCut = 0.02;    // of an edge, before it meets a set's rim
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::size_t place(index i) { return static_cast<std::size_t>(i); }

// D = Σ ρ_e e eᵀ with three integer vectors e and ρ_e ≥ 0, whatever D: Selling's reduction of a
// superbase (Fehrenbach and Mirebeau, J. Math. Imaging Vis. 49 (2014) 123).
struct Direction {
    index e[2];
    double rho;
};
std::array<Direction, 3> selling(double d11, double d12, double d22) {
    long long v[3][2] = {{1, 0}, {0, 1}, {-1, -1}};
    const auto product = [&](int a, int b) {
        const double x = static_cast<double>(v[a][0]), y = static_cast<double>(v[a][1]);
        const double s = static_cast<double>(v[b][0]), t = static_cast<double>(v[b][1]);
        return d11 * x * s + d12 * (x * t + y * s) + d22 * y * t;
    };
    // Until no two of the three meet at an acute angle.
    for (int round = 0; round < 60; ++round) {
        int a = -1, b = -1;
        for (int i = 0; i < 3 && a < 0; ++i)
            for (int j = i + 1; j < 3 && a < 0; ++j)
                if (product(i, j) > 1e-12 * (product(i, i) + product(j, j))) {
                    a = i;
                    b = j;
                }
        if (a < 0) break;
        const int c = 3 - a - b;
        for (int k = 0; k < 2; ++k) {
            v[c][k] = v[a][k] - v[b][k];
            v[a][k] = -v[a][k];
        }
    }
    std::array<Direction, 3> out{};
    for (int c = 0; c < 3; ++c) {
        const int a = (c + 1) % 3, b = (c + 2) % 3;
        // Perpendicular to v[c] under no metric: e · v[c] = 0.
        out[static_cast<std::size_t>(c)] = {{static_cast<index>(-v[c][1]), static_cast<index>(v[c][0])},
                                            std::max(0.0, -product(a, b))};
    }
    return out;
}

// Sorted distinct values, those nearer than a millionth of the range taken together.
std::vector<double> distinct(std::vector<double> x) {
    std::sort(x.begin(), x.end());
    const double least = 1e-6 * (x.back() - x.front());
    std::vector<double> out;
    for (const double v : x)
        if (out.empty() || v > out.back() + least) out.push_back(v);
    return out;
}

}  // namespace

double EllipseSet::level(const CvValue& x) const {
    const double u = nearest_image(x[0] - centre[0], period[0]) / radius[0];
    const double v = nearest_image(x[1] - centre[1], period[1]) / radius[1];
    return std::hypot(u, v) - 1;
}

// --- surfaces ------------------------------------------------------------------------------------

EstimateOfTwo perturbed(const EstimateOfTwo& estimate, uint64 seed, uint64 number) {
    EstimateOfTwo e = estimate;
    e.deviate.assign(e.at.size(), {});
    for (std::size_t v = 0; v < e.at.size(); ++v) {
        const PhiloxStream<float> stream(seed, kStreamBootstrap, static_cast<index>(number));
        float z[2][4];
        for (std::size_t half = 0; half < 2; ++half)
            normal_block<Portable>(stream, 2 * v + half, z[half]);
        for (std::size_t o = 0; o < 5; ++o) e.deviate[v][o] = static_cast<double>(z[o / 4][o % 4]);
    }
    return e;
}

// Smoothed is b₁, b₂, ln D₁₁, artanh of the correlation, ln D₂₂. False where D is not positive.
bool ReducedModelOfTwo::logarithms(const DriftAndDiffusion& v, const DriftAndDiffusion& e,
                                   Response& response) {
    const double root = std::sqrt(v[2] * v[4]), r = v[3] / root;
    if (!(v[2] > 0) || !(v[4] > 0) || !(std::fabs(r) < 1)) return false;
    const double twist = 1 - r * r;
    response = {v,
                {v[0], v[1], std::log(v[2]), std::atanh(r), std::log(v[4])},
                {e[0], e[1], e[2] / v[2], e[3] / root / twist, e[4] / v[4]},
                {1, 1, 1 / v[2], 1 / root / twist, 1 / v[4]},
                -0.5 * r / twist};
    for (std::size_t o = 0; o < 5; ++o)
        if (!std::isfinite(response.y[o]) || !std::isfinite(response.error[o])) return false;
    return true;
}

// One step of scoring: as if D were linear in what is smoothed, about the surfaces.
ReducedModelOfTwo::Response ReducedModelOfTwo::about_surfaces(const DriftAndDiffusion& v,
                                                              const DriftAndDiffusion& e,
                                                              const CvValue& x) const {
    DriftAndDiffusion g{};
    for (std::size_t o = 2; o < 5; ++o) g[o] = surfaces_[o](x);
    const double d11 = std::exp(g[2]), d22 = std::exp(g[4]), root = std::sqrt(d11 * d22);
    const double r = std::tanh(g[3]), twist = 1 / (std::cosh(g[3]) * std::cosh(g[3]));
    Response response{v, {v[0], v[1]}, {}, {1, 1, 1 / d11, 1 / root / twist, 1 / d22}, -0.5 * r / twist};
    const DriftAndDiffusion smooth{0, 0, d11, r * root, d22};
    for (std::size_t o = 0; o < 5; ++o) {
        if (o > 1) response.y[o] = g[o] + response.slope[o] * (v[o] - smooth[o]);
        response.error[o] = response.slope[o] * e[o];
    }
    return response;
}

// Whether errors are no small part of D or, where this is larger, of the surfaces'.
bool ReducedModelOfTwo::is_vague(const DriftAndDiffusion& v, const DriftAndDiffusion& e,
                                 const CvValue& x) const {
    Response own;
    if (!logarithms(v, e, own)) return true;
    const Response smooth = about_surfaces(v, e, x);
    for (std::size_t o = 2; o < 5; ++o)
        if (std::min(own.error[o], smooth.error[o]) > kVague) return true;
    return false;
}

void ReducedModelOfTwo::take(const EstimateOfTwo& estimate, std::size_t v, const Response& r,
                             const std::vector<double>& log_density) {
    for (const CvValue& image : images(estimate.at[v])) {
        places_.push_back(image);
        known_.push_back(v);
        responses_.push_back(r);
        if (reversible_) log_at_places_.push_back(log_density[v]);
    }
}

// λ < 0: chosen for each surface; 0: as they have it.
void ReducedModelOfTwo::fit(double lambda) {
    std::vector<double> y(places_.size()), se(places_.size());
    for (std::size_t o = reversible_ ? 2 : 0; o < 5; ++o) {
        for (std::size_t i = 0; i < places_.size(); ++i) {
            y[i] = responses_[i].y[o];
            se[i] = responses_[i].error[o];
        }
        surfaces_[o] = SmoothingSurface(mesh_, places_, y, se, lambda < 0 ? lambda : surfaces_[o].lambda());
    }
}

// Values whose logarithms say little, and those that have none, by their distance from the surfaces.
void ReducedModelOfTwo::fit_vague(const EstimateOfTwo& estimate, const std::vector<double>& log_density) {
    std::vector<bool> taken(estimate.size(), false);
    for (const std::size_t v : known_) taken[v] = true;
    for (std::size_t v = 0; v < estimate.size(); ++v) {
        const CvValue& x = estimate.at[v];
        const DriftAndDiffusion& e = estimate.error[v];
        bool fits = !taken[v] && (!reversible_ || std::isfinite(log_density[v]));
        for (std::size_t k = 0; k < 2; ++k) fits = fits && x[k] >= mesh_.from[k] && x[k] <= mesh_.to[k];
        if (!fits) continue;
        const Response r = about_surfaces(estimate.value[v], e, x);
        for (std::size_t o = 0; o < 5; ++o) {
            fits = fits && std::isfinite(r.y[o]) && std::isfinite(r.error[o]);
            // Exactly no diffusion is no noise.
            if (o > 1) fits = fits && std::fabs(r.y[o] - surfaces_[o](x)) < kFar * r.error[o];
        }
        if (fits) take(estimate, v, r, log_density);
    }
    std::vector<std::size_t> vague;
    for (std::size_t i = 0; i < places_.size(); ++i)
        if (is_vague(estimate.value[known_[i]], estimate.error[known_[i]], places_[i])) vague.push_back(i);
    for (int round = 0; round < kRounds && !vague.empty(); ++round) {
        for (const std::size_t i : vague)
            responses_[i] = about_surfaces(estimate.value[known_[i]], estimate.error[known_[i]], places_[i]);
        fit(round == 0 ? -1 : 0);
    }
}

ReducedModelOfTwo::ReducedModelOfTwo(const EstimateOfTwo& estimate)
    : ReducedModelOfTwo(estimate, {}) {}

ReducedModelOfTwo::ReducedModelOfTwo(const EstimateOfTwo& estimate,
                                     const std::vector<double>& log_density)
    : reversible_(!log_density.empty()) {
    double most = -std::numeric_limits<double>::infinity();
    for (const double p : log_density)
        if (p > most) most = p;
    std::vector<std::pair<std::size_t, Response>> usable;
    EstimateOfTwo deep = estimate;  // what lies beyond walls is not known
    for (std::size_t v = 0; v < estimate.at.size(); ++v) {
        Response r;
        if (reversible_ && !(log_density[v] > most - kDepth)) {
            deep.error[v].fill(kNone);
            continue;
        }
        if (logarithms(estimate.value[v], estimate.error[v], r)) usable.emplace_back(v, r);
    }
    std::vector<CvValue> places;
    const auto lines = [&] {
        std::array<std::vector<double>, 2> along;
        for (std::size_t k = 0; k < 2 && !places.empty(); ++k) {
            std::vector<double> x;
            for (const CvValue& p : places) x.push_back(p[k]);
            along[k] = distinct(x);
        }
        return along;
    };
    for (const auto& [v, r] : usable) places.push_back(estimate.at[v]);
    find_rings(estimate, lines());
    for (const auto& [v, r] : usable) take(estimate, v, r, log_density);
    places = places_;
    const std::array<std::vector<double>, 2> along = lines();
    if (places.size() < 8 || along[0].size() < 3 || along[1].size() < 3)
        throw NumericError("closure: drift and a positive diffusion are known at fewer than eight "
                           "values of the two collective variables, or along fewer than three lines; "
                           "give more closure.values or closure.replicas, or shorter closure.burst_lags");
    for (std::size_t k = 0; k < 2; ++k) {
        mesh_.from[k] = along[k].front();
        mesh_.to[k] = along[k].back();
        if (ring_[k] > 0) continue;
        from_[k] = mesh_.from[k];
        to_[k] = mesh_.to[k];
    }
    for (std::size_t k = 0; k < 2; ++k) {
        mesh_.intervals[k] = std::clamp<index>(static_cast<index>(along[k].size()) - 1, 3,
                                               kMostIntervals);
    }
    fit(-1);
    fit_vague(deep, log_density);
    if (reversible_)
        log_density_ = SmoothingSurface(mesh_, places_, log_at_places_,
                                        std::vector<double>(places_.size(), 1.0), 0);
    enclose(places_, along);
    tabulate();
    connect();
}

ReducedModelOfTwo ReducedModelOfTwo::with(const EstimateOfTwo& estimate,
                                          const std::vector<double>& log_density) const {
    ReducedModelOfTwo other(*this);
    std::array<std::vector<double>, 5> y;
    for (std::size_t i = 0; i < places_.size(); ++i) {
        const Response& r = responses_[i];
        const std::size_t v = known_[i];
        DriftAndDiffusion shift{};
        for (std::size_t o = 0; o < 5; ++o)
            shift[o] = r.slope[o] * (estimate.value[v][o] - r.value[o]);
        shift[3] += r.turn * (shift[2] + shift[4]);
        for (std::size_t o = 0; o < 5 && !estimate.deviate.empty(); ++o)
            shift[o] += r.error[o] * estimate.deviate[v][o];
        for (std::size_t o = 0; o < 5; ++o) y[o].push_back(r.y[o] + shift[o]);
        if (reversible_) other.log_at_places_[i] = log_density[v];
    }
    for (std::size_t o = reversible_ ? 2 : 0; o < 5; ++o)
        other.surfaces_[o] = surfaces_[o].with(y[o]);
    if (reversible_) other.log_density_ = log_density_.with(other.log_at_places_);
    other.tabulate();
    other.connect();
    return other;
}

// Along which variables the estimates go all round: values up to one spacing short of a period, the last
// perhaps the first again.
void ReducedModelOfTwo::find_rings(const EstimateOfTwo& estimate,
                                   const std::array<std::vector<double>, 2>& along) {
    for (std::size_t k = 0; k < 2; ++k) {
        const double period = estimate.period[k];
        if (!(period > 0) || along[k].size() < 4) continue;
        const double range = along[k].back() - along[k].front();
        spacing_[k] = range / static_cast<double>(along[k].size() - 1);
        if (!(period - range < kSeam * spacing_[k])) continue;
        ring_[k] = period;
        from_[k] = along[k].front();
        to_[k] = from_[k] + period;
    }
}

// A place, and where it lies beyond the seams; none of one that is the first again.
std::vector<CvValue> ReducedModelOfTwo::images(const CvValue& place) const {
    std::vector<CvValue> all{place};
    for (std::size_t k = 0; k < 2; ++k) {
        if (!(ring_[k] > 0)) continue;
        if (place[k] > to_[k] - 0.25 * spacing_[k]) return {};
        const std::vector<CvValue> before = all;
        for (CvValue image : before) {
            const double x = image[k], over = kOverSeam * spacing_[k];
            if (x < from_[k] + over) image[k] = x + ring_[k], all.push_back(image);
            if (x > to_[k] - over) image[k] = x - ring_[k], all.push_back(image);
        }
    }
    return all;
}

// --- cells ---------------------------------------------------------------------------------------

index ReducedModelOfTwo::step(index cell, index i, index j) const {
    index along[2] = {cell / side_ + i, cell % side_ + j};
    for (std::size_t k = 0; k < 2; ++k) {
        if (ring_[k] > 0) along[k] = (along[k] % side_ + side_) % side_;
        if (along[k] < 0 || along[k] >= side_) return -1;
    }
    return along[0] * side_ + along[1];
}

// All round, rows from both ends in turn, so that neighbours across the seam have near numbers.
index ReducedModelOfTwo::in_order(index n) const {
    const index row = n / side_, half = row % 2 ? side_ - (row + 1) / 2 : row / 2;
    return (ring_[0] > 0 ? half : row) * side_ + n % side_;
}

CvValue ReducedModelOfTwo::centre(index cell) const {
    const CvValue h = width();
    return {from_[0] + h[0] * (static_cast<double>(cell / side_) + 0.5),
            from_[1] + h[1] * (static_cast<double>(cell % side_) + 0.5)};
}

CvValue ReducedModelOfTwo::width() const {
    return {(to_[0] - from_[0]) / static_cast<double>(side_),
            (to_[1] - from_[1]) / static_cast<double>(side_)};
}

// Cells whose nearest value is known, or missing among five of its eight neighbours, which is no hole; of
// these the largest connected set.
void ReducedModelOfTwo::enclose(const std::vector<CvValue>& places,
                                const std::array<std::vector<double>, 2>& along) {
    const auto nearest = [&](std::size_t k, double x) {
        const auto& list = along[k];
        const auto it = std::lower_bound(list.begin(), list.end(), x);
        if (it == list.begin()) return std::size_t{0};
        const auto i = static_cast<std::size_t>(it - list.begin());
        if (i == list.size() || x - list[i - 1] < list[i] - x) return i - 1;
        return i;
    };
    const std::size_t rows = along[0].size(), columns = along[1].size();
    std::vector<bool> known(rows * columns, false);
    for (const CvValue& p : places) known[nearest(0, p[0]) * columns + nearest(1, p[1])] = true;
    std::vector<bool> filled = known;
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < columns; ++j) {
            int around = 0;
            for (std::size_t a = i > 0 ? i - 1 : 0; a <= std::min(i + 1, rows - 1); ++a)
                for (std::size_t b = j > 0 ? j - 1 : 0; b <= std::min(j + 1, columns - 1); ++b)
                    around += known[a * columns + b];
            if (around >= 5) filled[i * columns + j] = true;
        }
    known = filled;
    std::vector<index> group(place(side_ * side_), -1), stack;
    std::vector<index> sizes;
    const auto open = [&](index c) {
        const CvValue x = centre(c);
        return group[place(c)] < 0 && known[nearest(0, x[0]) * columns + nearest(1, x[1])];
    };
    for (index c = 0; c < side_ * side_; ++c) {
        if (!open(c)) continue;
        const index g = static_cast<index>(sizes.size());
        sizes.push_back(0);
        const auto visit = [&](index to) {
            if (to < 0 || !open(to)) return;
            group[place(to)] = g;
            stack.push_back(to);
        };
        visit(c);
        while (!stack.empty()) {
            const index here = stack.back();
            stack.pop_back();
            ++sizes.back();
            visit(step(here, -1, 0));
            visit(step(here, 1, 0));
            visit(step(here, 0, -1));
            visit(step(here, 0, 1));
        }
    }
    const index best = std::max_element(sizes.begin(), sizes.end()) - sizes.begin();
    number_.assign(place(side_ * side_), -1);
    for (index n = 0; n < side_ * side_; ++n) {
        const index c = in_order(n);
        if (group[place(c)] == best) {
            number_[place(c)] = static_cast<index>(cells_.size());
            cells_.push_back(c);
        }
    }
}

DriftAndDiffusion ReducedModelOfTwo::surfaces_at(const CvValue& x) const {
    const double d11 = std::exp(surfaces_[2](x)), d22 = std::exp(surfaces_[4](x));
    const double d12 = std::sqrt(d11 * d22) * std::tanh(surfaces_[3](x));
    if (reversible_) return {0, 0, d11, d12, d22};
    return {surfaces_[0](x), surfaces_[1](x), d11, d12, d22};
}

void ReducedModelOfTwo::tabulate() {
    const CvValue h = width();
    coefficients_.resize(place(side_ * side_));
    force_.resize(place(side_ * side_));
    log_p_.assign(place(reversible_ ? side_ * side_ : 0), 0.0);
    for (index c = 0; c < side_ * side_; ++c) {
        const CvValue x = centre(c);
        DriftAndDiffusion v = surfaces_at(x);
        // Half a cell to all sides, for ∇·D and ∇ ln p.
        CvValue divergence{}, slope{};
        for (std::size_t k = 0; k < 2; ++k) {
            CvValue low = x, high = x;
            low[k] -= 0.5 * h[k];
            high[k] += 0.5 * h[k];
            const DriftAndDiffusion a = surfaces_at(low), b = surfaces_at(high);
            divergence[0] += (b[2 + k] - a[2 + k]) / h[k];
            divergence[1] += (b[3 + k] - a[3 + k]) / h[k];
            if (reversible_) slope[k] = (log_density_(high) - log_density_(low)) / h[k];
        }
        if (reversible_) {
            v[0] = v[2] * slope[0] + v[3] * slope[1] + divergence[0];
            v[1] = v[3] * slope[0] + v[4] * slope[1] + divergence[1];
            log_p_[place(c)] = log_density_(x);
        }
        coefficients_[place(c)] = v;
        const double det = v[2] * v[4] - v[3] * v[3];
        const double f0 = v[0] - divergence[0], f1 = v[1] - divergence[1];
        force_[place(c)] = {(v[4] * f0 - v[3] * f1) / det, (v[2] * f1 - v[3] * f0) / det};
    }
}

void ReducedModelOfTwo::connect() {
    const CvValue h = width();
    std::vector<CellChain::Edge> edges;
    double slow = std::numeric_limits<double>::infinity();
    for (index c = 0; c < side_ * side_; ++c) {
        if (!inside(c)) continue;
        const DriftAndDiffusion& v = coefficients(c);
        for (std::size_t k = 0; k < 2; ++k) {
            const double range = to_[k] - from_[k];
            slow = std::min(slow, v[2 + 2 * k] / (range * range));
        }
        for (const Direction& d :
             selling(v[2] / (h[0] * h[0]), v[3] / (h[0] * h[1]), v[4] / (h[1] * h[1]))) {
            if (!(d.rho > 0)) continue;
            // Half the weight to each side: the cell over there gives the other half.
            for (const index sign : {index{-1}, index{1}}) {
                const index to = step(c, sign * d.e[0], sign * d.e[1]);
                if (to < 0 || !inside(to)) continue;
                double force = 0;
                if (reversible_)
                    force = log_p_[place(to)] - log_p_[place(c)];
                else
                    for (std::size_t k = 0; k < 2; ++k)
                        force += 0.5 * (force_[place(c)][k] + force_[place(to)][k]) * h[k] *
                                 static_cast<double>(sign * d.e[k]);
                edges.push_back({number_[place(c)], number_[place(to)], 0.5 * d.rho, force});
            }
        }
    }
    chain_ = CellChain(static_cast<index>(cells_.size()), std::move(edges), slow);
}

std::vector<double> ReducedModelOfTwo::spread(const std::vector<double>& by_number) const {
    std::vector<double> field(place(side_ * side_), kNone);
    for (std::size_t i = 0; i < cells_.size(); ++i) field[place(cells_[i])] = by_number[i];
    return field;
}

double ReducedModelOfTwo::at(const std::vector<double>& field, const CvValue& x) const {
    const CvValue h = width();
    index first[2], second[2];
    double share[2];
    for (std::size_t k = 0; k < 2; ++k) {
        double t = (x[k] - from_[k]) / h[k] - 0.5;
        if (ring_[k] > 0) {
            t -= static_cast<double>(side_) * std::floor(t / static_cast<double>(side_));
            first[k] = std::min(static_cast<index>(t), side_ - 1);
            second[k] = (first[k] + 1) % side_;
        } else {
            t = std::clamp(t, 0.0, static_cast<double>(side_ - 1));
            first[k] = std::min(static_cast<index>(t), side_ - 2);
            second[k] = first[k] + 1;
        }
        share[k] = t - static_cast<double>(first[k]);
    }
    double sum = 0, weight = 0;
    for (index i = 0; i < 2; ++i)
        for (index j = 0; j < 2; ++j) {
            const double value =
                field[place((i ? second[0] : first[0]) * side_ + (j ? second[1] : first[1]))];
            const double w = (i ? share[0] : 1 - share[0]) * (j ? share[1] : 1 - share[1]);
            if (!std::isfinite(value)) continue;
            sum += w * value;
            weight += w;
        }
    return weight > 1e-6 ? sum / weight : kNone;
}

std::vector<index> ReducedModelOfTwo::nearest_inside() const {
    std::vector<index> nearest(place(side_ * side_), -1), ring = cells_;
    for (const index c : cells_) nearest[place(c)] = c;
    // Ring after ring of neighbours.
    while (!ring.empty()) {
        std::vector<index> next;
        for (const index c : ring) {
            const auto visit = [&](index to) {
                if (to < 0 || nearest[place(to)] >= 0) return;
                nearest[place(to)] = nearest[place(c)];
                next.push_back(to);
            };
            visit(step(c, -1, 0));
            visit(step(c, 1, 0));
            visit(step(c, 0, -1));
            visit(step(c, 0, 1));
        }
        ring = std::move(next);
    }
    return nearest;
}

std::vector<double> ReducedModelOfTwo::beyond_walls(const std::vector<double>& field) const {
    std::vector<double> all;
    for (const index c : nearest_inside()) all.push_back(field[place(c)]);
    return all;
}

index ReducedModelOfTwo::cell_at(const CvValue& x) const {
    const CvValue h = width();
    index place[2];
    for (std::size_t k = 0; k < 2; ++k) {
        double past = x[k] - from_[k];
        if (ring_[k] > 0) past -= ring_[k] * std::floor(past / ring_[k]);
        place[k] = static_cast<index>(std::clamp(past / h[k], 0.0, static_cast<double>(side_ - 1)));
    }
    return place[0] * side_ + place[1];
}

// --- how far walls and cells can be trusted ------------------------------------------------------

ReducedModelOfTwo ReducedModelOfTwo::coarser() const {
    ReducedModelOfTwo m = *this;
    m.side_ = side_ / 2;
    m.number_.assign(place(m.side_ * m.side_), -1);
    m.cells_.clear();
    for (index n = 0; n < m.side_ * m.side_; ++n) {
        const index c = m.in_order(n);
        const index first = 2 * (c / m.side_) * side_ + 2 * (c % m.side_);
        const int within = inside(first) + inside(first + 1) + inside(first + side_) +
                           inside(first + side_ + 1);
        if (within < 2) continue;
        m.number_[place(c)] = static_cast<index>(m.cells_.size());
        m.cells_.push_back(c);
    }
    m.tabulate();
    m.connect();
    return m;
}

double ReducedModelOfTwo::beyond_share(std::size_t axis, double low, double high) const {
    const CvValue h = width();
    const std::vector<double> p = density();
    double layer = 0, beyond = 0;
    for (const index c : cells_) {
        const double x = centre(c)[axis], density = p[place(c)];
        layer += density * std::clamp(std::max(low - x, x - high) + 0.5 * h[axis], 0.0, h[axis]);
        const index i = axis == 0 ? c / side_ : c % side_;
        if (i > 0 && i + 1 < side_) continue;
        const DriftAndDiffusion& v = coefficients(c);
        const double inward = (i == 0 ? v[axis] : -v[axis]) / v[2 + 2 * axis];
        const double range = to_[axis] - from_[axis];
        beyond += inward * range > 1 ? density * std::exp(-0.5 * h[axis] * inward) / inward
                                     : density * range;
    }
    return layer > 0 ? std::min(1.0, beyond / layer) : 1.0;
}

// --- the generator -------------------------------------------------------------------------------

std::vector<double> ReducedModelOfTwo::solve(const std::vector<EllipseSet>& sets,
                                             const std::vector<double>& values,
                                             double source) const {
    const index n = static_cast<index>(cells_.size());
    // The set of each cell, and how far outside the sets it lies.
    std::vector<index> in(cells_.size(), -1);
    std::vector<std::vector<double>> level;
    for (std::size_t s = 0; s < sets.size(); ++s) {
        level.emplace_back();
        index nearest = 0, found = 0;
        for (index i = 0; i < n; ++i) {
            const double l = sets[s].level(centre(cells_[place(i)]));
            level[s].push_back(l);
            if (l < level[s][place(nearest)]) nearest = i;
            if (l <= 0) {
                in[place(i)] = static_cast<index>(s);
                ++found;
            }
        }
        // A set smaller than a cell is the cell nearest to it.
        if (found == 0) {
            in[place(nearest)] = static_cast<index>(s);
            level[s][place(nearest)] = 0;
        }
    }
    BandMatrix matrix(n, chain_.half_width());
    std::vector<double> u(cells_.size(), source), leaving(cells_.size(), 0.0);
    for (index i = 0; i < n; ++i)
        if (const index s = in[place(i)]; s >= 0) {
            leaving[place(i)] = 1;
            u[place(i)] = values[place(s)];
        }
    const auto jump = [&](index from, index to, double weight, double force) {
        if (in[place(from)] >= 0) return;
        const index s = in[place(to)];
        double rate = weight * bernoulli(-force);
        if (s >= 0) {
            // The set's rim is nearer than its cell.
            const auto& l = level[place(s)];
            const double a = l[place(from)], b = l[place(to)];
            const double part = std::clamp(a / (a - b), kLeastCut, 1.0);
            rate = weight / part * bernoulli(-force * part);
            u[place(from)] += rate * values[place(s)];
            leaving[place(from)] += rate;
        } else {
            matrix(from, to) -= rate;
        }
    };
    for (const CellChain::Edge& e : chain_.edges()) {
        jump(e.from, e.to, e.weight, e.force);
        jump(e.to, e.from, e.weight, -e.force);
    }
    if (!matrix.factor_generator(std::move(leaving)))
        throw NumericError("closure: the generator has no inverse");
    matrix.solve(u.data());
    return spread(u);
}

std::vector<double> ReducedModelOfTwo::mean_times(const EllipseSet& target) const {
    return solve({target}, {0.0}, 1.0);
}

std::vector<double> ReducedModelOfTwo::committor(const EllipseSet& a, const EllipseSet& b) const {
    return solve({a, b}, {0.0, 1.0}, 0.0);
}

std::vector<double> ReducedModelOfTwo::density() const {
    const CvValue h = width();
    std::vector<double> p = chain_.stationary();
    for (double& v : p) v /= h[0] * h[1];
    return spread(p);
}

std::vector<double> ReducedModelOfTwo::rates(int count) const {
    std::vector<std::vector<double>> start(4);
    for (const index c : cells_) {
        const CvValue x = part(c);
        start[0].push_back(x[0]);
        start[1].push_back(x[1]);
        start[2].push_back(x[0] * x[0] - x[1] * x[1] + x[0]);
        start[3].push_back(x[0] * x[1] + x[1] * x[1]);
    }
    return chain_.rates(count, std::move(start));
}

std::vector<double> ReducedModelOfTwo::slowest_function() const {
    std::vector<double> start;
    for (const index c : cells_) start.push_back(part(c)[0] + 0.7 * part(c)[1]);
    return spread(chain_.slowest(std::move(start)));
}

CvValue ReducedModelOfTwo::part(index cell) const {
    const CvValue x = centre(cell);
    return {(x[0] - from_[0]) / (to_[0] - from_[0]) - 0.5, (x[1] - from_[1]) / (to_[1] - from_[1]) - 0.5};
}

}  // namespace microlift
