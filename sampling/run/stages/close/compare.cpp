// What follows from every closure, beside the full model; and what is not to be trusted.
#include <cmath>

#include "sampling/run/stages/close/close.h"

namespace microlift {

namespace {

constexpr index kCurve = 201;  // points of reduced.csv
constexpr double kVague = 10;  // an error that leaves nothing known, in units of the value
constexpr double kPoor = 0.2;  // ln of a ratio of rates or times that is worth a warning

Json json_of_figure(const Figure& f) { return {{"value", f.value}, {"error", f.error}}; }

bool apart(const Figure& a, const Figure& b) {
    if (!(a.value > 0) || !(b.value > 0)) return false;
    const double log_ratio = std::fabs(std::log(a.value / b.value));
    return log_ratio > kPoor && log_ratio > 3 * std::hypot(a.error / a.value, b.error / b.value);
}

std::string with_error(const Figure& f) { return number(f.value) + " +- " + number(f.error); }

}  // namespace

void ClosureStage::write_curves() {
    CsvWriter csv(run_.dir / "reduced.csv",
                  {"cv_1", "drift", "drift_se", "diffusion", "diffusion_se", "density",
                   "density_se", "source"});
    for (const ClosureSource& s : sources_)
        for (index i = 0; i < kCurve; ++i) {
            const double x = s.model.from() + (s.model.to() - s.model.from()) *
                                                  static_cast<double>(i) /
                                                  static_cast<double>(kCurve - 1);
            std::vector<CsvWriter::Cell> cells{x};
            for (const Figure& f : s.figures([&](const ReducedModel& m) {
                     return std::array{m.drift(x), m.diffusion(x), m.density(x)};
                 }))
                cells.insert(cells.end(), {f.value, f.error});
            cells.emplace_back(s.name);
            csv.row(cells);
        }
    csv.finish();
}

void ClosureStage::follow(ClosureSource& s) {
    s.rates = s.figures([](const ReducedModel& m) { return m.rates(2); });
    s.times = s.figures([&](const ReducedModel& m) {
        std::vector<double> times;
        for (const double to : c_.passage_to)
            times.push_back(covers(s.model, to)
                                ? m.mean_time(c_.passage_from[0], to)
                                : kUnknown);
        return times;
    });
}

const ClosureFigures* ClosureStage::find(const std::string& name) const {
    for (const ClosureSource& s : sources_)
        if (s.name == name) return &s;
    for (const ClosureSourceOfTwo& s : sources_of_two_)
        if (s.name == name) return &s;
    return nullptr;
}

Json ClosureStage::describe(const ClosureFigures& s) const {
    Json j{{"source", s.name}};
    if (s.lag > 0) j["lag"] = s.lag;
    for (const Figure& f : s.rates) j["rates"].push_back(json_of_figure(f));
    for (std::size_t i = 0; i < s.times.size(); ++i) {
        Json p = json_of_figure(s.times[i]);
        p["from"] = json_of(passage_from());
        p["to"] = json_of(passage_to(i));
        if (i < s.simulated.size()) {
            const MeanTime& steps = s.simulated[i];
            p["simulated"] = steps.mean;
            // What steps do to the answer, which is the quadrature of the same model, adds to what the
            // model leaves out: neither is noise.
            const double by_steps =
                std::sqrt(square_beyond(steps.mean - s.times[i].value, steps.error * steps.error));
            p["simulated_error"] = std::hypot(steps.error, by_steps + s.times[i].error);
        }
        j["passages"].push_back(p);
    }
    return j;
}

Json ClosureStage::describe_full_model() const {
    Json full{{"source", "full"}};
    for (const Figure& f : full_rates_) full["rates"].push_back(json_of_figure(f));
    for (std::size_t i = 0; i < direct_.size(); ++i)
        full["passages"].push_back({{"value", direct_[i].mean},
                                    {"error", direct_[i].error},
                                    {"from", json_of(passage_from())},
                                    {"to", json_of(passage_to(i))},
                                    {"unfinished", direct_[i].unfinished}});
    return full;
}

// Rates and times are positive: one whose error is ten times its size is not known even to a power of ten.
void ClosureStage::leave_out_vague() {
    std::string what;
    const auto leave_out = [&](Figure& f, const std::string& name) {
        if (!(f.error >= kVague * f.value)) return;
        what += (what.empty() ? "" : ", ") + name + " (" + with_error(f) + ")";
        f = {kUnknown, kUnknown};
    };
    each_source([&](ClosureFigures& s) {
        for (std::size_t i = 0; i < s.rates.size(); ++i)
            leave_out(s.rates[i], "rate " + std::to_string(i + 1) + " by " + s.name);
        for (std::size_t i = 0; i < s.times.size(); ++i)
            leave_out(s.times[i], "the passage to " + text_of(passage_to(i)) + " by " + s.name);
    });
    if (!what.empty())
        add_warning("closure: what follows from it is not known to a power of ten and left out: " +
                    what +
                    "; sample more where the free energy or the diffusion has large errors");
}

void ClosureStage::compare() {
    warn_beyond();
    leave_out_vague();
    Json sources = Json::array();
    each_source([&](const ClosureFigures& s) { sources.push_back(describe(s)); });
    sources.push_back(describe_full_model());
    metrics_["sources"] = sources;

    const ClosureFigures* averages = find("conditional");
    const ClosureFigures* bursts = find("burst");
    if (const ClosureFigures* reversible = find("free_energy")) {
        if (averages && apart(averages->rates[0], reversible->rates[0]))
            add_warning("closure: drift over diffusion does not integrate to the free energy (slowest "
                        "rate " +
                        with_error(averages->rates[0]) + ", by the free energy " +
                        with_error(reversible->rates[0]) +
                        "): the diffusion jumps or nearly vanishes between bins; trust the closure "
                        "from free energy and diffusion, or take more bins");
        averages = reversible;
    }
    warn_poor(averages, bursts);
}

// A collective variable that leaves out a slow motion.
void ClosureStage::warn_poor(const ClosureFigures* averages, const ClosureFigures* bursts) {
    if (averages && bursts && apart(averages->rates[0], bursts->rates[0]))
        add_warning("the collective variable is poor: the two sources of the closure disagree; its "
                    "slowest rate is " +
                    with_error(averages->rates[0]) + " by averages and " +
                    with_error(bursts->rates[0]) + " by bursts (lag " + number(bursts->lag) +
                    "), so it leaves out a slow motion; do not trust rates and times of the "
                    "closure from averages");
    const auto origin = [&](const ClosureFigures* s) {
        return s != averages ? "bursts " : model_.molecule() ? "free energy and bursts " : "averages ";
    };
    if (!full_rates_.empty())
        for (const ClosureFigures* s : {averages, bursts})
            if (s && apart(s->rates[0], full_rates_[0]))
                add_warning("the collective variable is poor: the slowest rate of the full model is " +
                            with_error(full_rates_[0]) + ", of the closure by " + origin(s) +
                            with_error(s->rates[0]));
    for (std::size_t i = 0; i < direct_.size(); ++i)
        for (const ClosureFigures* s : {averages, bursts}) {
            if (!s) continue;
            const Figure closed = s->times[i], full_time{direct_[i].mean, direct_[i].error};
            if (apart(closed, full_time))
                add_warning("the collective variable is poor: from " + text_of(passage_from()) +
                            " to " + text_of(passage_to(i)) + " the full model takes " +
                            with_error(full_time) + ", the closure by " + origin(s) +
                            with_error(closed));
        }
}

}  // namespace microlift
