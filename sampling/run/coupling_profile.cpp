#include "sampling/run/coupling_profile.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/run/places.h"

namespace microlift {

namespace {

Json finite_ones(const std::vector<double>& values) {
    Json list = Json::array();
    for (double v : values) list.push_back(std::isfinite(v) ? Json(v) : Json());
    return list;
}

}  // namespace

double force_evaluations_spent(const Run& run) {
    return run.record.cost("sample").force_evaluations + run.record.cost("couple").force_evaluations;
}

CouplingProfile coupling_profile(const Run& run, double force_evaluations,
                                 const ConditionalMoments* moments,
                                 const std::vector<double>& free_energy) {
    CouplingProfile profile{force_evaluations, {}, {}, {}};
    const std::vector<CouplingPlace> places = coupling_places(run);
    for (const CouplingPlace& place : places) {
        const std::size_t bin = bin_of(run.grid, place.at);
        profile.free_energy.push_back(bin < free_energy.size()
                                          ? free_energy[bin]
                                          : std::numeric_limits<double>::quiet_NaN());
    }
    for (index v = 0; moments && v < moments->variables; ++v)
        for (const CouplingPlace& place : places) {
            const std::size_t i =
                moments->place(v, static_cast<index>(bin_of(run.grid, place.at)));
            profile.mean.push_back(moments->mean[i]);
            profile.variance.push_back(moments->variance[i]);
        }
    return profile;
}

Json profile_json(const CouplingProfile& profile) {
    Json j;
    j["force_evaluations"] = profile.force_evaluations;
    j["mean"] = finite_ones(profile.mean);
    j["variance"] = finite_ones(profile.variance);
    j["free_energy"] = finite_ones(profile.free_energy);
    return j;
}

Json profile_json(const Run& run, const CouplingProfile& profile,
                  const CouplingProfile& reference) {
    Json j = profile_json(profile);
    double sum = 0, count = 0;
    for (std::size_t i = 0; i < profile.mean.size() && i < reference.mean.size(); ++i) {
        const double d =
            (profile.mean[i] - reference.mean[i]) / std::sqrt(reference.variance[i]);
        if (!std::isfinite(d)) continue;
        sum += d * d;
        count += 1;
    }
    if (count > 0) j["conditional_error"] = std::sqrt(sum / count);
    const std::vector<double>&f = profile.free_energy, &g = reference.free_energy;
    double first = 0, second = 0;
    count = 0;
    for (std::size_t i = 0; i < f.size() && i < g.size(); ++i) {
        const double d = (f[i] - g[i]) / run.model.kt();
        if (!std::isfinite(d)) continue;
        first += d;
        second += d * d;
        count += 1;
    }
    if (count > 1)
        j["free_energy_error"] =
            std::sqrt(std::max(0.0, second / count - first * first / count / count));
    return j;
}

}  // namespace microlift
