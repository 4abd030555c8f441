#include "sampling/dynamics/molecule_states.h"

#include "engine/launch/lanes.h"
#include "kernels/molecule/molecule_columns.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>

#include "sampling/molecule/bond_graph.h"
#endif

namespace microlift {

HOST_PASS_BEGIN

void launch_turn(Stream& stream, index n, const TurnDihedralBody& body) {
    for_each_index(stream, n, body);
}
void launch_velocities(Stream& stream, index n, const DrawVelocitiesBody& body) {
    for_each_index(stream, n, body);
}
void launch_restore(Stream& stream, index n, const RestoreBondsBody& body) {
    for_each_index(stream, n, body);
}
void launch_sum(Stream& stream, index n, const SumTermsBody& body) { for_each_index(stream, n, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

template <class T>
Buffer<T> on_device(Stream& stream, const std::vector<T>& values) {
    Buffer<T> buffer(stream.device(), static_cast<index>(values.size()));
    if (!values.empty()) copy_to_device(stream, buffer.span(), values.data());
    return buffer;
}

}  // namespace

MoleculeStates::MoleculeStates(Stream& stream, std::shared_ptr<const Molecule> molecule,
                               const MoleculeSetup& setup)
    : molecule_(std::move(molecule)),
      groups_(on_device(stream, molecule_stars(*molecule_, setup))),
      forces_(stream, *molecule_, 1 << 16) {
    std::vector<float> deviation;
    for (const Atom& atom : molecule_->atoms)
        for (int axis = 0; axis < 3; ++axis)
            deviation.push_back(
                static_cast<float>(std::sqrt(kGasConstant * setup.temperature / atom.mass)));
    deviation_ = on_device(stream, deviation);
    const BondGraph bonds(*molecule_);
    for (const MoleculeVariable& variable : setup.cvs) {
        std::vector<int32> moved;
        Turn turn;
        if (variable.kind == MoleculeCvKind::dihedral) {
            for (const index atom : bonds.side(variable.atoms[1], variable.atoms[2]))
                if (atom != variable.atoms[2]) moved.push_back(static_cast<int32>(3 * atom));
            for (std::size_t k = 0; k < 4; ++k)
                turn.cv.atom[k] = static_cast<int32>(3 * variable.atoms[k]);
            turn.cv.kind = MoleculeCvKind::dihedral;
        }
        sets_ = sets_ && !moved.empty();
        turn.moved = on_device(stream, moved);
        turns_.push_back(std::move(turn));
    }
}

void MoleculeStates::evaluate(Stream& stream, Span<const float> x, index row, index n,
                              Span<float> force, Span<float> energy) {
    if (terms_.size() < kForceTerms * row) terms_ = Buffer<float>(stream.device(), kForceTerms * row);
    forces_.evaluate(stream, x, row, n, force, terms_.span());
    launch_sum(stream, n, {terms_.data(), row, energy.data});
}

void MoleculeStates::set_cvs(Stream& stream, Span<const float> target, index target_row, index n,
                             Span<float> x, index row) {
    for (std::size_t k = 0; k < turns_.size(); ++k)
        launch_turn(stream, n,
                    {turns_[k].cv, turns_[k].moved.data(), static_cast<int32>(turns_[k].moved.size()),
                     target.data + static_cast<index>(k) * target_row, x.data, row});
}

void MoleculeStates::restore_bonds(Stream& stream, index n, Span<float> x, index row) {
    launch_restore(stream, n, {groups_.data(), static_cast<int32>(groups_.size()), x.data, row});
}

void MoleculeStates::draw_velocities(Stream& stream, uint64 seed, uint32 rng_stream, index first,
                                     index n, Span<float> v) {
    launch_velocities(stream, n,
                      {deviation_.data(), static_cast<int32>(deviation_.size()), seed, rng_stream, first,
                       v.data, n});
}

#endif

}  // namespace microlift
