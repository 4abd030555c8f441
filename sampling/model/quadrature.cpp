#include "sampling/model/quadrature.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/at.h"
#include "engine/text.h"

namespace microlift {

namespace {

constexpr double kNegligible = 36;      // e^−36 ≈ 2e−16 of the whole
constexpr double kPieceRange = 2;       // of u in a piece, where the density is large
constexpr double kAgreement = 1e-9;     // of the two rules, as a share of the whole
constexpr index kMostBoxes = 400000, kMostPieces = 100000;
constexpr int kDoublings = 100;         // that are looked at beyond every known scale
constexpr int kParts = 16;              // of a piece, for the rule of equal steps

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Gauss–Legendre on [−1, 1], eight points.
constexpr double kGaussPoint[4] = {0.1834346424956498, 0.5255324099163290, 0.7966664774136267,
                                   0.9602898564975363};
constexpr double kGaussWeight[4] = {0.3626837833783620, 0.3137066458778873, 0.2223810344533745,
                                    0.1012285362903763};

struct Piece {
    double low, high;
    double weight[kParts + 1];  // exp(least − u) at equal steps
    double moment[2][3];        // ∫ weight · (1, d, d²), d = (y − peak)/width, by either rule
};

struct Refusal {
    std::string why;
};

class Line {
public:
    Line(const LineFunction& u, double hint) : u_(u), hint_(hint) {}
    LineDensity solve();

private:
    double value(double y) const {
        double u = 0;
        u_.values(&y, 1, &u);
        return std::isnan(u) ? kInfinity : u;
    }
    void scan();
    void descend(double low, double high);
    void measure_width();
    bool cover();
    bool negligible(const Interval& y, double least) const;
    bool cover_side(double sign);
    bool divide(const Interval& whole);
    void integrate(std::vector<Piece>& pieces) const;
    void refine();
    LineDensity collect();

    const LineFunction& u_;
    const double hint_;
    double peak_ = 0, least_ = kInfinity, width_ = 1;
    index boxes_ = 0;
    std::vector<Piece> pieces_;
};

// All scales about 0 and about the hint.
void Line::scan() {
    std::vector<double> y{0.0, hint_};
    for (const double centre : {0.0, hint_})
        for (int k = -4 * kDoublings; k <= 4 * kDoublings; ++k)
            for (const double sign : {-1.0, 1.0}) y.push_back(centre + sign * std::exp2(0.25 * k));
    std::sort(y.begin(), y.end());
    y.erase(std::unique(y.begin(), y.end()), y.end());
    std::vector<double> u(y.size());
    u_.values(y.data(), static_cast<index>(y.size()), u.data());
    std::size_t best = 0;
    for (std::size_t i = 0; i < y.size(); ++i)
        if (u[i] < least_) best = i, least_ = u[i], peak_ = y[i];
    if (!std::isfinite(least_)) throw Refusal{"it has no finite value, or no least one"};
    descend(y[best > 0 ? best - 1 : 0], y[std::min(best + 1, y.size() - 1)]);
}

// Golden section.
void Line::descend(double low, double high) {
    const double ratio = 0.5 * (std::sqrt(5.0) - 1);
    double a = high - ratio * (high - low), b = low + ratio * (high - low);
    double ua = value(a), ub = value(b);
    for (int i = 0; i < 80 && a < b; ++i) {
        if (ua <= ub) {
            high = b, b = a, ub = ua;
            ua = value(a = high - ratio * (high - low));
        } else {
            low = a, a = b, ua = ub;
            ub = value(b = low + ratio * (high - low));
        }
    }
    for (const auto& [y, u] : {std::pair{a, ua}, {b, ub}})
        if (u < least_) least_ = u, peak_ = y;
}

// Where u has risen by 1: the density's own scale.
void Line::measure_width() {
    width_ = std::max(std::fabs(peak_) * 1e-15, std::exp2(-1.2 * kDoublings));
    for (; width_ < std::exp2(1.2 * kDoublings); width_ *= 2)
        if (value(peak_ - width_) > least_ + 1 && value(peak_ + width_) > least_ + 1) return;
    throw Refusal{"its density does not decay"};
}

// Is what lies there, and what it adds to the variance, below the rounding of the whole?
bool Line::negligible(const Interval& y, double least) const {
    const double far = std::max(std::fabs(y.low - peak_), std::fabs(y.high - peak_)) / width_;
    return least - least_ > kNegligible + std::log((y.high - y.low) / width_) + 2 * std::log1p(far);
}

// Divides a box until all of it is negligible or a piece; false: a lower u was found, begin anew.
bool Line::divide(const Interval& whole) {
    std::vector<Interval> open{whole};
    while (!open.empty()) {
        const Interval y = open.back();
        open.pop_back();
        if (++boxes_ > kMostBoxes)
            throw Refusal{"bounds of its density near " + number(y.low, 6) + " do not close"};
        const Interval u = u_.bounds(y);
        if (u.empty() || negligible(y, u.low)) continue;
        if (u.high < least_ - kPieceRange) {
            descend(y.low, y.high);
            if (!(least_ < u.high + kPieceRange)) least_ = u.high, peak_ = 0.5 * (y.low + y.high);
            return false;
        }
        if (u.high - u.low <= kPieceRange + 0.25 * std::max(u.low - least_, 0.0)) {
            pieces_.push_back({y.low, y.high, {}, {}});
            continue;
        }
        const double middle = 0.5 * (y.low + y.high);
        if (!(middle - y.low > 1e-14 * std::fabs(middle)) || !(y.low < middle && middle < y.high))
            throw Refusal{"it changes faster than numbers are spaced near " + number(middle, 6)};
        open.push_back({middle, y.high});
        open.push_back({y.low, middle});
    }
    return true;
}

// Boxes that double, from 0 outwards, on one side.
bool Line::cover_side(double sign) {
    const double known = std::max({std::fabs(peak_), std::fabs(hint_), width_});
    double inner = 0;
    bool last = false;  // is the outermost one negligible?
    for (double outer = 0.25 * width_; outer < known * std::exp2(kDoublings); outer *= 2) {
        const Interval y = sign > 0 ? Interval{inner, outer} : Interval{-outer, -inner};
        inner = outer;
        const Interval u = u_.bounds(y);
        const bool here = u.empty() || negligible(y, u.low);
        // Numbers too large for the formula.
        if (!here && last && outer > known * std::exp2(20.0) && !std::isfinite(value(sign * outer)))
            return true;
        if (!here && !divide(y)) return false;
        last = here;
    }
    if (!last) throw Refusal{"its density does not decay"};
    return true;
}

bool Line::cover() {
    pieces_.clear();
    measure_width();
    return cover_side(-1) && cover_side(1);
}

void Line::integrate(std::vector<Piece>& pieces) const {
    constexpr int each = kParts + 1 + 8;
    std::vector<double> y, u(pieces.size() * each);
    y.reserve(u.size());
    for (const Piece& p : pieces) {
        const double half = 0.5 * (p.high - p.low), middle = 0.5 * (p.high + p.low);
        for (int i = 0; i <= kParts; ++i) y.push_back(p.low + 2 * half * i / kParts);
        for (const double x : kGaussPoint) {
            y.push_back(middle - half * x);
            y.push_back(middle + half * x);
        }
    }
    u_.values(y.data(), static_cast<index>(y.size()), u.data());
    for (std::size_t k = 0; k < pieces.size(); ++k) {
        Piece& p = pieces[k];
        const double length = p.high - p.low;
        double terms[each][3];
        for (int i = 0; i < each; ++i) {
            const std::size_t j = k * each + static_cast<std::size_t>(i);
            const double w = std::isnan(u[j]) ? 0.0 : std::exp(least_ - u[j]);
            const double d = (y[j] - peak_) / width_;
            terms[i][0] = w, terms[i][1] = w * d, terms[i][2] = w * d * d;
            if (i <= kParts) p.weight[i] = w;
        }
        for (int m = 0; m < 3; ++m) {
            double trapezoid[3];  // of 4, 8 and 16 steps: Romberg
            for (int level = 0; level < 3; ++level) {
                const int step = 4 >> level;
                double sum = 0.5 * (terms[0][m] + terms[kParts][m]);
                for (int i = step; i < kParts; i += step) sum += terms[i][m];
                trapezoid[level] = sum * length * step / kParts;
            }
            const double one = (4 * trapezoid[1] - trapezoid[0]) / 3;
            const double two = (4 * trapezoid[2] - trapezoid[1]) / 3;
            p.moment[0][m] = (16 * two - one) / 15;
            double gauss = 0;
            for (int i = 0; i < 8; ++i)
                gauss += kGaussWeight[i / 2] * terms[kParts + 1 + i][m];
            p.moment[1][m] = 0.5 * length * gauss;
        }
    }
}

// Halves pieces until the rules agree.
void Line::refine() {
    integrate(pieces_);
    double whole[3] = {0, 0, 0};
    for (const Piece& p : pieces_)
        for (int m = 0; m < 3; ++m) whole[m] += std::fabs(p.moment[1][m]);
    if (!(whole[0] > 0)) throw Refusal{"its density is nowhere finite"};
    std::vector<Piece> done, open = std::move(pieces_);
    while (!open.empty()) {
        std::vector<Piece> next;
        for (const Piece& p : open) {
            bool agree = true;
            for (int m = 0; m < 3; ++m)
                agree &= std::fabs(p.moment[0][m] - p.moment[1][m]) <= kAgreement * whole[m];
            if (agree) {
                done.push_back(p);
                continue;
            }
            const double middle = 0.5 * (p.low + p.high);
            if (!(p.low < middle && middle < p.high) ||
                done.size() + next.size() > static_cast<std::size_t>(kMostPieces))
                throw Refusal{"two rules of integration do not agree near " + number(middle, 6)};
            next.push_back({p.low, middle, {}, {}});
            next.push_back({middle, p.high, {}, {}});
        }
        integrate(next);
        open = std::move(next);
    }
    std::sort(done.begin(), done.end(),
              [](const Piece& a, const Piece& b) { return a.low < b.low; });
    pieces_ = std::move(done);
}

LineDensity Line::collect() {
    LineDensity out;
    double z = 0, first = 0, second = 0;
    for (const Piece& p : pieces_) z += p.moment[1][0];
    for (const Piece& p : pieces_) first += p.moment[1][1] / z;
    for (const Piece& p : pieces_)  // about the mean, without cancellation
        second += (p.moment[1][2] - 2 * first * p.moment[1][1] + first * first * p.moment[1][0]) / z;
    out.log_z = std::log(z) - least_;
    out.mean = peak_ + width_ * first;
    out.variance = width_ * width_ * second;
    double before = 0;
    for (const Piece& p : pieces_) {
        const double step = (p.high - p.low) / kParts;
        double trapezoid = 0;
        for (int i = 0; i < kParts; ++i) trapezoid += 0.5 * step * (p.weight[i] + p.weight[i + 1]);
        const double scale = trapezoid > 0 ? p.moment[1][0] / trapezoid / z : 0;
        double inside = 0;
        // Pieces that touch share a point.
        for (int i = !out.y.empty() && out.y.back() == p.low ? 1 : 0; i <= kParts; ++i) {
            if (i > 0) inside += 0.5 * step * (p.weight[i - 1] + p.weight[i]) * scale;
            out.y.push_back(p.low + step * i);
            out.density.push_back(p.weight[i] / z);
            out.cdf.push_back(before + inside);
        }
        before += p.moment[1][0] / z;
    }
    return out;
}

LineDensity Line::solve() {
    scan();
    while (!cover()) {
    }
    refine();
    return collect();
}

}  // namespace

LineDensity integrate_line(const LineFunction& u, double hint) {
    try {
        return Line(u, hint).solve();
    } catch (const Refusal& refusal) {
        LineDensity none;
        none.refusal = refusal.why;
        return none;
    }
}

}  // namespace microlift
