#include "sampling/molecule/forces.h"

#include "kernels/molecule/forcefield.h"

namespace microlift {

HOST_PASS_BEGIN

template <class T>
void evaluate_forces(Stream& stream, RowMemory<T>& memory, const MoleculeForcesArgs<T>& args) {
    for_each_lane_in_rows(stream, args.states, memory, MoleculeForcesBody<Portable, T>{args});
}
template void evaluate_forces(Stream&, RowMemory<float>&, const MoleculeForcesArgs<float>&);
template void evaluate_forces(Stream&, RowMemory<double>&, const MoleculeForcesArgs<double>&);

HOST_PASS_END

#if !defined(__CUDACC__)

const std::vector<std::string>& force_term_names() {
    static const std::vector<std::string> names{"bond",    "angle",   "torsion",
                                                "cmap",    "lennard_jones", "coulomb",
                                                "solvent", "surface", "restraint"};
    return names;
}

template <class T>
MoleculeForces<T>::MoleculeForces(Stream& stream, const Molecule& molecule, index most_states)
    : tables_(stream, molecule),
      memory_(stream.device(), tables_.view().rows(), most_states) {}

template <class T>
void MoleculeForces<T>::evaluate(Stream& stream, Span<const T> x, index row, index states,
                                 Span<T> force, Span<T> energy) {
    evaluate_forces(stream, memory_,
                    {tables_.view(), states, row, x.data, force.data, energy.data});
}

template class MoleculeForces<float>;
template class MoleculeForces<double>;

#endif

}  // namespace microlift
