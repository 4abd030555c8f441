#include "sampling/bias/table.h"

#include "sampling/bias/energy.h"

namespace microlift {
namespace {

constexpr index kMostCells = index{1} << 28;  // rows of four are found by 32 bits

}  // namespace

double GridAxes::spacing(int k) const {
    const auto i = static_cast<std::size_t>(k);
    return (to[i] - from[i]) / static_cast<double>(periodic[i] ? points[i] : points[i] - 1);
}

index GridAxes::polynomials() const {
    const GridView grid = shape();
    return index{grid.stored_cells(0)} * (cvs == 2 ? grid.stored_cells(1) : 1) * polynomial_size(cvs);
}

GridView GridAxes::shape() const {
    GridView view;
    view.cubic = cubic;
    for (int k = 0; k < cvs; ++k) {
        const auto i = static_cast<std::size_t>(k);
        if (points[i] < 4 || points[i] > 1000000 || !(to[i] > from[i]))
            throw InputError("a bias on a grid needs 4 to 1000000 points along each collective "
                             "variable, and `to` above `from`");
        view.points[k] = static_cast<int>(points[i]);
        view.periodic[k] = periodic[i];
        view.from[k] = static_cast<float>(from[i]);
        view.inverse_width[k] = static_cast<float>(1 / spacing(k));
        view.length[k] = static_cast<float>(view.cells(k));
        view.inverse_length[k] = 1.0f / view.length[k];
    }
    if (cvs == 2 && index{view.stored_cells(0)} * view.stored_cells(1) > kMostCells)
        throw InputError("a bias on a grid of two collective variables has at most 2^28 cells");
    return view;
}

GridView GridAxes::view(Span<const float> polynomials) const {
    if (polynomials.size != this->polynomials())
        throw InputError("a bias on a grid is read from the polynomials of its cells, " +
                         std::to_string(this->polynomials()) + " numbers, not " + std::to_string(polynomials.size));
    GridView view = shape();
    view.polynomials = polynomials.data;
    return view;
}

HostGrid::HostGrid(const GridAxes& axes, Span<const double> energy)
    : cvs_(axes.cvs), polynomials_(static_cast<std::size_t>(axes.polynomials())),
      view_(axes.view({polynomials_.data(), std::ssize(polynomials_)})) {
    const int size = polynomial_size(cvs_);
    for (index j = 0; j < std::ssize(polynomials_) / size; ++j)
        cell_polynomial(view_, cvs_, j, [&](index point) { return energy.data[point]; }, polynomials_.data() + j * size);
}

TableBias::TableBias(Stream& stream, const BiasSetup& setup) : cvs_(setup.cvs) {
    const TableOptions& options = options_of<TableOptions>(setup);
    if (options.axes.cvs != setup.cvs ||
        static_cast<index>(options.energy.size()) != options.axes.size())
        throw InputError("bias.table: give one energy for each point of a grid of the collective "
                         "variables");
    const HostGrid table(options.axes, {options.energy.data(), std::ssize(options.energy)});
    polynomials_ = Buffer<float>(stream.device(), options.axes.polynomials());
    copy_to_device(stream, polynomials_.span(), table.polynomials().data());
    view_ = options.axes.view(polynomials_.span());
}

void TableBias::energy(Stream& stream, Span<const float> xi, index row, index n,
                       Span<float> out) const {
    bias_energy(stream, view_, cvs_, xi, row, n, out);
}

std::unique_ptr<BiasMethod> make_table_bias(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<TableBias>(stream, setup);
}

}  // namespace microlift
