#include "sampling/dynamics/molecule_minimize.h"

#include "engine/launch/rows.h"
#include "kernels/molecule/molecule_minimizer.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>

#include "sampling/molecule/force_tables.h"
#endif

namespace microlift {

HOST_PASS_BEGIN

template <class T>
void launch_minimize(Stream& stream, RowMemory<T>& memory, const MinimizeArgs<T>& args) {
    for_each_lane_in_rows(stream, args.states, memory, MinimizeBody<Portable, T>{args});
}
template void launch_minimize(Stream&, RowMemory<float>&, const MinimizeArgs<float>&);
template void launch_minimize(Stream&, RowMemory<double>&, const MinimizeArgs<double>&);

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

// 1/ps of the stiffest spring between atoms of 1 u: a bond, or the bottom of a Lennard-Jones well.
double fastest_rate(const Molecule& molecule) {
    double stiffest = 1;
    for (const Bond& bond : molecule.bonds) stiffest = std::max(stiffest, bond.stiffness);
    for (const Atom& atom : molecule.atoms)
        if (atom.sigma > 0)
            stiffest = std::max(stiffest, 72 * std::pow(2.0, -1.0 / 3) * atom.epsilon / (atom.sigma * atom.sigma));
    for (const Angle& angle : molecule.angles)
        stiffest = std::max(stiffest, angle.stiffness / 0.01);  // arms of 0.1 nm
    return std::sqrt(4 * stiffest);
}

}  // namespace

template <class T>
void minimize(Stream& stream, const Molecule& molecule, Span<T> x, index row, index n, Span<T> energy,
              Span<T> largest, const MinimizeSettings& settings) {
    Molecule equal = molecule;
    for (Atom& atom : equal.atoms) atom.mass = 1;
    const std::vector<StarEntry> stars = molecule_stars(equal, {});
    Buffer<StarEntry> groups(stream.device(), static_cast<index>(stars.size()));
    copy_to_device(stream, groups.span(), stars.data());
    const ForceTables<T> tables(stream, molecule);
    RowMemory<T> memory(stream.device(), MinimizeBody<Portable, T>::rows_of(tables.view()), n);
    const double rate = fastest_rate(molecule);
    launch_minimize(stream, memory,
                    {tables.view(), groups.data(), static_cast<int32>(stars.size()), n, row, x.data,
                     energy.data, largest.data, static_cast<int32>(settings.iterations),
                     static_cast<T>(settings.tolerance), static_cast<T>(0.1 / rate), static_cast<T>(1 / rate),
                     static_cast<T>(0.01)});
    stream.synchronize();
}

template void minimize(Stream&, const Molecule&, Span<float>, index, index, Span<float>, Span<float>,
                       const MinimizeSettings&);
template void minimize(Stream&, const Molecule&, Span<double>, index, index, Span<double>, Span<double>,
                       const MinimizeSettings&);

#endif

}  // namespace microlift
