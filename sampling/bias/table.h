// A fixed bias on a grid, the same for all trajectories: for instance the negative of a free energy that
// is roughly known, under which the collective variables diffuse freely.
#pragma once

#include "sampling/bias/methods.h"

namespace microlift {

// A grid on the device: from, to and how many points along each CV. With a period the points are apart by
// (to − from)/points, as `to` is `from` again; without one the last lies at `to`.
struct GridAxes {
    int cvs = 1;
    std::array<double, kMaxCvs> from{}, to{};
    std::array<index, kMaxCvs> points{1, 1};
    std::array<bool, kMaxCvs> periodic{};
    bool cubic = true;  // between the points; false: linear

    // Points in all, and how far they are apart along CV k.
    index size() const { return points[0] * (cvs == 2 ? points[1] : 1); }
    double spacing(int k) const;
    // InputError where an axis is empty or has too few points, or both together too many; without polynomials.
    GridView shape() const;
    // The same with the polynomials of cell_polynomial(), (cells, 4) or (cells, 4, 4) on the device, as many as
    // polynomials() says.
    GridView view(Span<const float> polynomials) const;
    // How many numbers the polynomials between the points are.
    index polynomials() const;
};

// A table in the host's memory.
class HostGrid {
public:
    // From energies (points₀[, points₁]) in the host's memory.
    HostGrid(const GridAxes& axes, Span<const double> energy);
    HostGrid(const HostGrid&) = delete;
    HostGrid& operator=(const HostGrid&) = delete;
    // U(ξ), as kernels compute it; the polynomials that they read, and the view of these.
    float energy(const float (&xi)[kMaxCvs]) const { return grid_energy(view_, cvs_, xi, 0.0f); }
    const std::vector<float>& polynomials() const { return polynomials_; }
    const GridView& view() const { return view_; }

private:
    int cvs_;
    std::vector<float> polynomials_;
    GridView view_;
};

// Options of the method "table"; energies in the unit of the potential.
struct TableOptions {
    GridAxes axes;
    std::vector<double> energy;  // (points₀[, points₁])
};

// The method "table".
class TableBias final : public BiasMethod {
public:
    TableBias(Stream& stream, const BiasSetup& setup);
    BiasKind kind() const override { return BiasKind::grid; }
    void begin(Ensemble& ensemble) override { ensemble.set_grid(view_); }
    void energy(Stream& stream, Span<const float> xi, index row, index n,
                Span<float> out) const override;

private:
    int cvs_;
    Buffer<float> polynomials_;
    GridView view_;
};

// It, from a setup whose options are TableOptions.
std::unique_ptr<BiasMethod> make_table_bias(Stream& stream, const BiasSetup& setup);

}  // namespace microlift
