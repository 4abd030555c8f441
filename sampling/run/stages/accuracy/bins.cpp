#include "sampling/run/stages/accuracy/accuracy.h"

#include <cmath>
#include <limits>

#include "sampling/run/checks.h"
#include "sampling/run/places.h"

namespace microlift {

namespace {

constexpr double kErrorsApart = 4;  // standard errors
constexpr double kApart = 0.5;    // kT
constexpr double kVisited = 10;     // kT above the least: higher up a wall is steep, and matters to nobody

// How far the free energy of a bin, −kT ln of its mean density, lies below the value at its centre where it
// changes by `step` kT across the bin.
double curvature_of(double step) {
    const double half = 0.5 * std::fabs(step);
    if (half < 1e-3) return half * half / 6;
    return half + std::log1p(-std::exp(-2 * half)) - std::log(2 * half);  // ln(sinh(half) / half)
}

// Between the neighbours along a variable, as far as they have samples.
double step_across(const Grid& grid, const std::vector<double>& profile, index bin, int k) {
    const index apart = grid.dims == 2 && k == 0 ? grid.bins[1] : 1, place = grid.bin(k, bin);
    const auto at = [&](index b) { return profile[static_cast<std::size_t>(b)]; };
    const index bins = grid.bins[static_cast<std::size_t>(k)];
    const bool round = grid.round[static_cast<std::size_t>(k)];
    const index lower = bin + (place > 0 ? -apart : (bins - 1) * apart);
    const index upper = bin + (place + 1 < bins ? apart : (1 - bins) * apart);
    const bool before = (place > 0 || round) && std::isfinite(at(lower));
    const bool after = (place + 1 < bins || round) && std::isfinite(at(upper));
    if (before && after) return 0.5 * (at(upper) - at(lower));
    return after ? at(upper) - at(bin) : before ? at(bin) - at(lower) : 0.0;
}

}  // namespace

void check_bins(Run& run) {
    // Without a potential, windows may hold what has no law of its own.
    if (!run.model.gradient()) return;
    const Checking check(run, "bins");
    const std::vector<double>&profile = run.free_energy.profile, &error = run.free_energy.error;
    if (profile.size() == 1)
        run.warn("there is one bin, whose free energy is 0 by definition: nothing is estimated; raise "
                 "estimate.bins");
    const double kt = run.model.kt();
    double least = std::numeric_limits<double>::infinity();
    for (const double f : profile) least = std::fmin(least, f);
    double worst = 0, step = 0, off = 0;
    index where = -1;
    for (std::size_t b = 0; b < profile.size(); ++b) {
        if (!(profile[b] < least + kVisited * kt) || !std::isfinite(error[b])) continue;
        for (int k = 0; k < run.grid.dims; ++k) {
            const double across = step_across(run.grid, profile, static_cast<index>(b), k) / kt;
            const double lower = curvature_of(across), errors = lower * kt / error[b];
            if (!(lower > kApart && errors > kErrorsApart && errors > worst)) continue;
            worst = errors, step = across, off = lower, where = static_cast<index>(b);
        }
    }
    if (where < 0) return;
    std::string place;
    for (int k = 0; k < run.grid.dims; ++k) place += (k ? ", " : "") + number(run.grid.centre(k, where));
    run.warn("the bins are wide: at " + place + " the free energy changes by " + number(std::fabs(step)) +
             " kT within one, and a bin holds the mean density, there " + number(off) +
             " kT or more from the value at its centre, which is beyond the errors; raise estimate.bins");
}

}  // namespace microlift
