#include "sampling/rates/methods.h"

#include <cmath>

#include "sampling/rates/method.h"

namespace microlift {

const std::vector<RateMethodEntry>& rate_methods() {
    static const std::vector<RateMethodEntry> methods{
        {"splitting", "replicas that fall back first are replaced by copies of those that come further", 512,
         "discard loops", make_splitting},
        {"weighted_ensemble", "walkers with weights, as many in every bin, that begin anew at the end", 16,
         "interval steps relax", make_weighted_ensemble},
        {"milestoning", "trajectories from one milestone to the next, from where others crossed it", 64,
         "iterations relax", make_milestoning},
    };
    return methods;
}

std::unique_ptr<RateMethod> make_rate_method(Stream& stream, const RateSetup& setup) {
    for (const RateMethodEntry& entry : rate_methods())
        if (setup.rates.method == entry.name) return entry.make(stream, setup);
    throw InputError("rates: unknown method '" + setup.rates.method + "'");
}

RateFigure jackknife(index repeats, const std::function<double(index)>& of) {
    const auto n = static_cast<double>(repeats);
    double mean = 0, square = 0;
    std::vector<double> without;
    for (index r = 0; r < repeats; ++r) {
        without.push_back(of(r));
        mean += without.back() / n;
    }
    for (const double v : without) square += (v - mean) * (v - mean);
    return {"", of(-1), std::sqrt((n - 1) / n * square)};
}

void RateMethod::add_times(RateResult& result, const std::function<double(index)>& log_mfpt) const {
    const RateFigure log = jackknife(setup_.rates.repeats, log_mfpt);
    const double mfpt = std::exp(log.value) * lanes_.dt();
    result.figures.push_back({"mfpt", mfpt, mfpt * log.error});
    result.figures.push_back({"rate", 1 / mfpt, log.error / mfpt});
}

}  // namespace microlift
