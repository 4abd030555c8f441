// Minima of a molecule's energy from given states.
#pragma once

#include "sampling/dynamics/molecule_path.h"

namespace microlift {

struct MinimizeSettings {
    index iterations = 5000;
    double tolerance = 1;  // kJ/mol/nm: of the largest component of a force, those along rigid bonds left out
};

// Each of `n` states x, (3 · atoms, row) on the device, becomes the nearest minimum; rigid bonds keep the
// lengths that the molecule gives them. `energy` (n) in kJ/mol; `largest` (n): the component that is left,
// above the tolerance where the iterations did not suffice, NaN where a force was none. T float or double.
template <class T>
void minimize(Stream& stream, const Molecule& molecule, Span<T> x, index row, index n, Span<T> energy,
              Span<T> largest, const MinimizeSettings& settings = {});

extern template void minimize(Stream&, const Molecule&, Span<float>, index, index, Span<float>, Span<float>,
                              const MinimizeSettings&);
extern template void minimize(Stream&, const Molecule&, Span<double>, index, index, Span<double>,
                              Span<double>, const MinimizeSettings&);

}  // namespace microlift
