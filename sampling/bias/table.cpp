#include "sampling/bias/table.h"

#include "sampling/bias/energy.h"

namespace microlift {

double GridAxes::spacing(int k) const {
    const auto i = static_cast<std::size_t>(k);
    return (to[i] - from[i]) / static_cast<double>(periodic[i] ? points[i] : points[i] - 1);
}

GridView GridAxes::view(Span<const float> energy) const {
    GridView view;
    view.energy = energy.data;
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
    }
    return view;
}

TableBias::TableBias(Stream& stream, const BiasSetup& setup) : cvs_(setup.cvs) {
    const TableOptions& options = options_of<TableOptions>(setup);
    if (options.axes.cvs != setup.cvs ||
        static_cast<index>(options.energy.size()) != options.axes.size())
        throw InputError("bias.table: give one energy for each point of a grid of the collective "
                         "variables");
    const std::vector<float> energy(options.energy.begin(), options.energy.end());
    energy_ = Buffer<float>(stream.device(), options.axes.size());
    copy_to_device(stream, energy_.span(), energy.data());
    view_ = options.axes.view(energy_.span());
}

void TableBias::energy(Stream& stream, Span<const float> xi, index row, index n,
                       Span<float> out) const {
    bias_energy(stream, view_, cvs_, xi, row, n, out);
}

std::unique_ptr<BiasMethod> make_table_bias(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<TableBias>(stream, setup);
}

}  // namespace microlift
