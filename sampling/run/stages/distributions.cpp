#include "sampling/run/stages/distributions.h"

#include <algorithm>
#include <cmath>

#include "sampling/numerics/statistics.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kPictures = 6;       // conditional densities shown in the report
constexpr index kShown = 20000;      // states of each
constexpr std::size_t kCurvePoints = 500;  // of an exact density
constexpr double kFar = 0.1;         // W1/σ that is worth a warning

std::string label(const std::string& name, index number) {
    char text[16];
    std::snprintf(text, sizeof text, "_%03d", static_cast<int>(number));
    return name + text;
}

double deviation_of(const std::vector<float>& x) {
    double mean = 0, squares = 0;
    for (const float v : x) mean += static_cast<double>(v) / static_cast<double>(x.size());
    for (const float v : x)
        squares += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
    return std::sqrt(squares / static_cast<double>(x.size()));
}

// Whether y is a function of ξ in a bin: a regression on z and z² (of two ξ: and on their product) leaves
// hardly anything of it. Then y becomes what it would be at z = 0.
bool determined_by(const std::vector<double>& z, int dims, std::vector<float>& y) {
    constexpr double kLeft = 0.01;  // of its variance
    const std::size_t n = y.size(), terms = dims == 1 ? 3 : 6;
    if (n < 4 * terms) return false;
    const double spread = deviation_of(y);
    if (!(spread > 0)) return false;
    double unit[2] = {0, 0}, mean = 0;
    for (std::size_t i = 0; i < n; ++i) {
        mean += static_cast<double>(y[i]) / static_cast<double>(n);
        for (int k = 0; k < dims; ++k)
            unit[k] = std::max(unit[k], std::fabs(z[static_cast<std::size_t>(k) * n + i]));
    }
    std::vector<double> normal(terms * terms, 0.0), right(terms, 0.0);
    const auto features = [&](std::size_t i, double* f) {
        const double u = unit[0] > 0 ? z[i] / unit[0] : 0;
        const double v = dims == 2 && unit[1] > 0 ? z[n + i] / unit[1] : 0;
        f[0] = 1, f[1] = u, f[2] = u * u;
        if (dims == 2) f[3] = v, f[4] = v * v, f[5] = u * v;
    };
    double f[6];
    for (std::size_t i = 0; i < n; ++i) {
        features(i, f);
        for (std::size_t a = 0; a < terms; ++a) {
            right[a] += f[a] * (static_cast<double>(y[i]) - mean) / spread;
            for (std::size_t b = 0; b < terms; ++b) normal[a * terms + b] += f[a] * f[b];
        }
    }
    for (std::size_t a = 0; a < terms; ++a) normal[a * (terms + 1)] *= 1 + 1e-9;
    if (!cholesky_factor(normal, static_cast<index>(terms))) return false;
    cholesky_solve(normal, static_cast<index>(terms), right.data(), 1);
    double left = 0;
    std::vector<float> at_value;
    for (std::size_t i = 0; i < n; ++i) {
        features(i, f);
        double rest = (static_cast<double>(y[i]) - mean) / spread;
        for (std::size_t a = 0; a < terms; ++a) rest -= right[a] * f[a];
        left += rest * rest;
        at_value.push_back(static_cast<float>(mean + spread * (right[0] + rest)));
    }
    if (left >= kLeft * static_cast<double>(n)) return false;
    y = std::move(at_value);
    return true;
}

class Judgement {
public:
    Judgement(Run& run, const LiftedSets& sets);
    void judge(std::size_t value);
    void draw(std::size_t value);
    void finish();

private:
    ReferenceLaw reference_of(std::size_t value, std::size_t variable) const;
    std::vector<float> sorted(const std::vector<float>& x, std::size_t value,
                              std::size_t variable) const;
    const float* states(const std::vector<float>& x, std::size_t value, std::size_t variable) const {
        return x.data() + rows_[variable] * sets_.count() + static_cast<index>(value) * sets_.each;
    }
    void judge_source(const std::string& source, const std::vector<float>& sorted,
                      const ReferenceLaw& reference, std::size_t value, std::size_t variable,
                      std::vector<double>& sink);
    template <class F>
    void put_states(const std::string& source, index count, const F& state);
    void record_compared();

    Run& run_;
    const LiftedSets& sets_;
    const std::vector<std::string> names_;
    const std::vector<int> rows_;
    std::optional<ExactModel> exact_;  // where it gives the law of the one generated variable
    std::vector<std::vector<float>> physics_;  // (variable, sample)
    std::vector<double> spread_;               // of each variable, over all samples
    std::vector<float> xi_;
    std::vector<index> near_;  // samples near the value at hand
    std::vector<ReferenceLaw> references_;  // of the value at hand, by variable
    Json list_ = Json::array();
    double worst_ = 0;  // of the generator
    std::vector<double> physics_w1_, generated_w1_, healed_w1_;
    std::vector<std::vector<double>> other_w1_;
    Store pictures_;
    std::vector<double> picture_cv_;
    index picture_ = 0;
};

Judgement::Judgement(Run& run, const LiftedSets& sets)
    : run_(run), sets_(sets), names_(target_names(run)), rows_(generated_rows(run)),
      xi_(stored_cvs(run)), other_w1_(sets.others.size()) {
    if (!run.model.observed() && run.model.dim() == 2 && rows_.size() == 1)
        exact_ = run.model.exact();
    const Targets y = targets(run);
    for (index v = 0; v < y.count; ++v) {
        physics_.push_back(host_column(run, y, v));
        spread_.push_back(deviation_of(physics_.back()));
    }
}

ReferenceLaw Judgement::reference_of(std::size_t value, std::size_t variable) const {
    std::vector<float> nearby;
    for (index j : near_) nearby.push_back(physics_[variable][static_cast<std::size_t>(j)]);
    std::optional<ExactConditional> law;
    if (exact_) law = exact_->law(sets_.values[value][0]);
    if (law) return ReferenceLaw(std::move(nearby), std::move(law));
    std::vector<double> z;  // ξ of the samples less the value, (k, sample)
    for (int k = 0; k < run_.grid.dims; ++k)
        for (index j : near_)
            z.push_back(static_cast<double>(xi_[static_cast<std::size_t>(k * run_.samples.n + j)]) -
                        sets_.values[value][static_cast<std::size_t>(k)]);
    const bool determined = determined_by(z, run_.grid.dims, nearby);
    return ReferenceLaw(std::move(nearby), std::nullopt, determined ? spread_[variable] : 0);
}

std::vector<float> Judgement::sorted(const std::vector<float>& x, std::size_t value,
                                     std::size_t variable) const {
    const float* first = states(x, value, variable);
    std::vector<float> copy(first, first + sets_.each);
    std::sort(copy.begin(), copy.end());
    return copy;
}

void Judgement::judge_source(const std::string& source, const std::vector<float>& sorted,
                             const ReferenceLaw& reference, std::size_t value,
                             std::size_t variable, std::vector<double>& sink) {
    sink.push_back(reference.distance(sorted));
    // As far as the samples can tell.
    if (source == "generator" && sink.back() > 2 * reference.floor(sorted.size()))
        worst_ = std::max(worst_, sink.back());
    Json j;
    j["cv"] = cv_json(run_.grid.dims, sets_.values[value]);
    j["variable"] = names_[variable];
    j["source"] = source;
    j["against"] = reference.name();
    j["w1_over_sigma"] = sink.back();
    j["floor"] = reference.floor(sorted.size());
    list_.push_back(j);
}

void Judgement::judge(std::size_t value) {
    near_ = samples_near(run_, xi_, sets_.values[value], 0.5, sets_.each);
    references_.clear();
    for (std::size_t v = 0; v < names_.size(); ++v) {
        const ReferenceLaw& reference = references_.emplace_back(reference_of(value, v));
        if (!reference.known()) continue;
        if (reference.exact() && reference.samples().size() >= ReferenceLaw::kLeastSamples)
            judge_source("physics", reference.samples(), reference, value, v, physics_w1_);
        judge_source("generator", sorted(sets_.generated, value, v), reference, value, v,
                     generated_w1_);
        if (!sets_.healed.empty())
            judge_source("healed", sorted(sets_.healed, value, v), reference, value, v, healed_w1_);
        for (std::size_t o = 0; o < sets_.others.size(); ++o)
            other_w1_[o].push_back(reference.distance(sorted(sets_.others[o], value, v)));
    }
}

template <class F>
void Judgement::put_states(const std::string& source, index count, const F& state) {
    if (count == 0) return;
    const auto dims = static_cast<index>(names_.size());
    std::vector<float> table(static_cast<std::size_t>(count * dims));
    for (index i = 0; i < count; ++i)
        for (index v = 0; v < dims; ++v)
            table[static_cast<std::size_t>(i * dims + v)] = state(i, static_cast<std::size_t>(v));
    pictures_.put(label(source, picture_), std::move(table), {count, dims});
}

// Some of the values, evenly apart; after judge() of the same value.
void Judgement::draw(std::size_t value) {
    const std::size_t every = std::max<std::size_t>(
        1, (sets_.values.size() - 1) / std::max<std::size_t>(1, kPictures - 1));
    if (value % every != 0 || picture_ >= kPictures) return;
    for (std::size_t v = 0; v < names_.size(); ++v) {
        const auto& law = references_[v].exact();
        if (!law) continue;
        std::vector<double> curve;
        const std::size_t step = std::max<std::size_t>(1, law->y.size() / kCurvePoints);
        for (std::size_t i = 0; i < law->y.size(); i += step)
            curve.insert(curve.end(), {law->y[i], law->density[i]});
        const auto points = static_cast<index>(curve.size() / 2);
        pictures_.put(label("exact_" + names_[v], picture_), curve, {points, 2});
    }
    put_states("physics", static_cast<index>(near_.size()), [&](index i, std::size_t v) {
        return physics_[v][static_cast<std::size_t>(near_[static_cast<std::size_t>(i)])];
    });
    const index shown = std::min(sets_.each, kShown);
    put_states("generator", shown,
               [&](index i, std::size_t v) { return states(sets_.generated, value, v)[i]; });
    if (!sets_.healed.empty())
        put_states("healed", shown,
                   [&](index i, std::size_t v) { return states(sets_.healed, value, v)[i]; });
    const CvValue& at = sets_.values[value];
    picture_cv_.insert(picture_cv_.end(), at.begin(), at.begin() + run_.grid.dims);
    ++picture_;
}

void Judgement::finish() {
    pictures_.put("cv", picture_cv_, {picture_, run_.grid.dims});
    std::string joined;
    for (const std::string& name : names_) joined += (joined.empty() ? "" : ",") + name;
    pictures_.attributes["variables"] = joined;
    pictures_.save(run_.dir / "lifted.h5", "lifted");

    Json& lifting = run_.record["lifting"];
    lifting["w1"] = list_;
    if (!physics_w1_.empty()) lifting["physics_w1"] = median_and_worst(physics_w1_);
    if (!generated_w1_.empty()) lifting["generator_w1"] = median_and_worst(generated_w1_);
    if (!healed_w1_.empty()) lifting["healed_w1"] = median_and_worst(healed_w1_);
    record_compared();
    lifting["against"] = exact_ ? "exact" : "physics";
    if (worst_ > kFar)
        run_.warn("the generator is far from physics somewhere: worst W1/sigma " + number(worst_) +
                  "; see the conditional densities before using it there, or heal");
}

void Judgement::record_compared() {
    for (std::size_t k = 0; k < run_.compared.size(); ++k) {
        const std::vector<double>& w1 = k == 0 ? generated_w1_ : other_w1_[k - 1];
        if (!w1.empty()) run_.record["compare"][k].update(median_and_worst(w1));
    }
}

}  // namespace

Json median_and_worst(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return {{"median", values[values.size() / 2]}, {"worst", values.back()}};
}

void judge_distributions(Run& run, const LiftedSets& sets) {
    Judgement judgement(run, sets);
    for (std::size_t value = 0; value < sets.values.size(); ++value) {
        judgement.judge(value);
        judgement.draw(value);
    }
    judgement.finish();
}

}  // namespace microlift
