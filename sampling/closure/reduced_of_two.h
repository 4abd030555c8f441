// A reduced model dξ = b dt + sqrt(2 D) dW (Itô) of two collective variables, D a full symmetric matrix:
// smooth surfaces from estimates with errors, and what follows from the generator on finite volumes with
// reflecting walls, or all round where the estimates cover a period: the stationary density, mean first-passage times, the committor, relaxation rates.
#pragma once

#include "sampling/closure/cell_chain.h"
#include "sampling/numerics/smoothing.h"

namespace microlift {

using DriftAndDiffusion = std::array<double, 5>;  // b₁, b₂, D₁₁, D₁₂, D₂₂

// Estimates at values on a grid, of which some may be missing; one with an error that is not finite is
// left out of fits.
struct EstimateOfTwo {
    std::vector<CvValue> at;
    std::vector<DriftAndDiffusion> value, error;
    CvValue period{};  // of the variables; 0: none
    std::vector<DriftAndDiffusion> deviate{};  // replicates: by how many errors values are off; or empty

    std::size_t size() const { return at.size(); }
    // v(o), e(o) of the five quantities.
    template <class V, class E>
    void add(const CvValue& x, const V& v, const E& e) {
        at.push_back(x);
        value.push_back({v(0), v(1), v(2), v(3), v(4)});
        error.push_back({e(0), e(1), e(2), e(3), e(4)});
    }
};

// The ellipse Σ ((ξ_k − centre_k)/radius_k)² ≤ 1, with a period that about the nearest image.
struct EllipseSet {
    CvValue centre{}, radius{}, period{};
    double level(const CvValue& x) const;  // ≤ 0 inside
};

// With normal deviates; the same for the same seed and number.
EstimateOfTwo perturbed(const EstimateOfTwo& estimate, uint64 seed, uint64 number);

class ReducedModelOfTwo {
public:
    static constexpr index kSide = 80;   // cells along each variable
    static constexpr double kDepth = 25;

    ReducedModelOfTwo() = default;
    // Surfaces through b₁, b₂, ln D₁₁, ln D₂₂ and artanh of the correlation, so that D is positive. Where
    // the error of D is no small part of it, or an estimate that is not positive lies within its errors of
    // the surfaces, D itself is compared with theirs: a logarithm of noise is none of D.
    explicit ReducedModelOfTwo(const EstimateOfTwo& estimate);
    // The reversible model of a stationary density p and D: b = D ∇ln p + ∇·D. `log_density` at the
    // estimate's values, up to a constant; the estimate's drift is not used. Where p is below e^−kDepth of
    // its largest value nothing is known of it: walls.
    ReducedModelOfTwo(const EstimateOfTwo& estimate, const std::vector<double>& log_density);
    // The same with other numbers in place of the estimate's, smoothed alike: to first order in what they
    // are off, so that D stays positive whatever the noise.
    ReducedModelOfTwo with(const EstimateOfTwo& estimate,
                           const std::vector<double>& log_density = {}) const;

    // The same on half of the cells along each variable: a third of the difference is what cells
    // do, which are right to the second order.
    ReducedModelOfTwo coarser() const;
    // Of the mass that layers below `low` and above `high` along a variable hold, how much lies
    // beyond the walls behind them, where the drift at a wall goes on: 1 at most. A wall's bias is
    // to what cutting the layer does as what is cut.
    double beyond_share(std::size_t axis, double low, double high) const;

    // --- cells: (kSide, kSide), of a coarser model half as many; the first variable slow
    index cell_at(const CvValue& x) const;  // or the nearest
    const CvValue& from() const { return from_; }
    const CvValue& to() const { return to_; }
    // The period of a variable along which the cells go all round; else 0.
    double ring(std::size_t k) const { return ring_[k]; }
    CvValue centre(index cell) const;
    // Walls stand around the largest connected set of cells with estimates near them.
    bool inside(index cell) const { return number_[static_cast<std::size_t>(cell)] >= 0; }
    const DriftAndDiffusion& coefficients(index cell) const {
        return coefficients_[static_cast<std::size_t>(cell)];
    }
    // A field over the cells (NaN outside) between them, from those inside; NaN where there is none.
    double at(const std::vector<double>& field, const CvValue& x) const;
    // Of every cell the nearest one inside; and a field continued so.
    std::vector<index> nearest_inside() const;
    std::vector<double> beyond_walls(const std::vector<double>& field) const;

    std::vector<double> density() const;
    std::vector<double> mean_times(const EllipseSet& target) const;
    // Of reaching b before a.
    std::vector<double> committor(const EllipseSet& a, const EllipseSet& b) const;
    // Real parts of the slowest rates, without 0.
    std::vector<double> rates(int count) const;
    // The slowest function of ξ.
    std::vector<double> slowest_function() const;

private:
    // How an estimate is smoothed: as what, with what errors, and what changes of the estimate do to it.
    struct Response {
        DriftAndDiffusion value{}, y{}, error{}, slope{};
        double turn = 0;  // of artanh of the correlation with ln D₁₁ and ln D₂₂
    };
    static bool logarithms(const DriftAndDiffusion& v, const DriftAndDiffusion& e, Response& r);
    Response about_surfaces(const DriftAndDiffusion& v, const DriftAndDiffusion& e,
                            const CvValue& x) const;
    bool is_vague(const DriftAndDiffusion& v, const DriftAndDiffusion& e, const CvValue& x) const;
    void take(const EstimateOfTwo& estimate, std::size_t v, const Response& r,
              const std::vector<double>& log_density);
    void fit(double lambda);
    void fit_vague(const EstimateOfTwo& estimate, const std::vector<double>& log_density);
    CvValue width() const;
    // The cell that many further along each variable; −1: there is none.
    index step(index cell, index i, index j) const;
    index in_order(index n) const;  // the cell that comes n-th
    std::vector<CvValue> images(const CvValue& place) const;
    void find_rings(const EstimateOfTwo& estimate, const std::array<std::vector<double>, 2>& along);
    CvValue part(index cell) const;  // of the range, from −½ to ½
    void enclose(const std::vector<CvValue>& places, const std::array<std::vector<double>, 2>& along);
    void tabulate();
    void connect();
    DriftAndDiffusion surfaces_at(const CvValue& x) const;
    std::vector<double> spread(const std::vector<double>& by_number) const;
    // −L u = source outside the sets, u = values[s] on set s.
    std::vector<double> solve(const std::vector<EllipseSet>& sets, const std::vector<double>& values,
                              double source) const;

    CvValue from_{}, to_{}, ring_{}, spacing_{};
    SmoothingSurface::Mesh mesh_;
    std::array<SmoothingSurface, 5> surfaces_;  // of the transformed quantities
    SmoothingSurface log_density_;
    bool reversible_ = false;
    index side_ = kSide;
    std::vector<std::size_t> known_;  // of the estimate's values, of each place below
    std::vector<CvValue> places_;
    std::vector<Response> responses_;
    std::vector<double> log_at_places_;
    std::vector<index> number_;  // of each cell inside, else −1
    std::vector<index> cells_;   // by number
    std::vector<DriftAndDiffusion> coefficients_;
    std::vector<CvValue> force_;   // D⁻¹ (b − ∇·D)
    std::vector<double> log_p_;    // reversible models
    CellChain chain_;
};

}  // namespace microlift
