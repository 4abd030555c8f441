#include "sampling/molecule/coordinates/molecule_coordinates.h"

#include "engine/at.h"
#include "engine/error.h"
#include "engine/launch/lanes.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>
#include <numbers>

#include "sampling/molecule/coordinates/coordinate_fit.h"
#endif

namespace microlift {

HOST_PASS_BEGIN

void launch_internal(Stream& stream, index n, const ToInternalBody& body) {
    for_each_lane(stream, n, body);
}
void launch_internal(Stream& stream, index n, const FromInternalBody& body) {
    for_each_lane(stream, n, body);
}
void launch_internal(Stream& stream, index n, const FixedRowsBody& body) {
    for_each_lane(stream, n, body);
}
void launch_in_rows(Stream& stream, index n, RowMemory<float>& memory, const ToStatesBody& body) {
    for_each_lane_in_rows(stream, n, memory, body);
}
void launch_in_rows(Stream& stream, index n, RowMemory<float>& memory, const FromStatesBody& body) {
    for_each_lane_in_rows(stream, n, memory, body);
}

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

constexpr index kPiece = 16384;    // states in work at once
constexpr index kFitted = 40000;   // samples that a fit looks at

int32 atom_row(index atom) { return static_cast<int32>(3 * std::max<index>(atom, 0)); }

template <class T>
Buffer<T> uploaded(Stream& stream, const std::vector<T>& values) {
    Buffer<T> buffer(stream.device(), std::max<index>(1, static_cast<index>(values.size())));
    if (!values.empty())
        copy_to_device(stream, buffer.span().subspan(0, static_cast<index>(values.size())), values.data());
    return buffer;
}

Matrix<const float> part(Matrix<const float> all, index from, index n) {
    return {all.data + from, all.rows, n, all.stride};
}
Matrix<float> part(Matrix<float> all, index from, index n) {
    return {all.data + from, all.rows, n, all.stride};
}

}  // namespace

InternalCoordinates::InternalCoordinates(Stream& stream, ZMatrix matrix) : matrix_(std::move(matrix)) {
    std::vector<InternalEntry> entries;
    for (const ZMatrixEntry& e : matrix_.entries)
        entries.push_back({atom_row(e.atom), atom_row(e.bond), atom_row(e.angle), atom_row(e.torsion)});
    entries_ = uploaded(stream, entries);
    view_ = {static_cast<int32>(matrix_.atoms()), entries_.data()};
}

void InternalCoordinates::from_cartesian(Stream& stream, Matrix<const float> x, Matrix<float> q,
                                         float* log_jacobian) const {
    launch_internal(stream, x.columns,
                    ToInternalBody{view_, x.data, x.stride, q.data, q.stride, log_jacobian});
}

void InternalCoordinates::to_cartesian(Stream& stream, Matrix<const float> q, Matrix<float> x,
                                       float* log_jacobian, bool adds) const {
    launch_internal(stream, x.columns,
                    FromInternalBody{view_, q.data, q.stride, x.data, x.stride, log_jacobian, adds});
}

// --- what a generator makes -----------------------------------------------------------------------------

MoleculeCoordinates::MoleculeCoordinates(Stream& stream, const Molecule& molecule,
                                         const std::vector<ConditionOfMolecule>& conditions,
                                         Matrix<const float> x, Matrix<const float> s)
    : conditions_(conditions) {
    choose_fixed(stream, molecule);
    const index n = std::min(x.columns, kFitted);
    if (n < 2) throw InputError("coordinates of a molecule need at least two samples");
    // Evenly spread samples, piece by piece.
    std::vector<float> q(at(internal_.count() * n)), own_s(at(s.rows * n));
    index taken = 0;
    for (index from = 0; from < x.columns; from += kPiece) {
        const index here = std::min(kPiece, x.columns - from);
        const Matrix<float> values = scratch(stream, here);
        internal_.from_cartesian(stream, part(x, from, here), values, nullptr);
        const auto host = to_host(stream, Span<const float>(values.data, values.stride * values.rows));
        std::vector<std::vector<float>> conditions_here;
        for (index k = 0; k < s.rows; ++k)
            conditions_here.push_back(
                to_host(stream, Span<const float>(s.data + k * s.stride + from, here)));
        for (; taken < n && taken * x.columns / n < from + here; ++taken) {
            const index column = taken * x.columns / n - from;
            for (index d = 0; d < internal_.count(); ++d)
                q[at(d * n + taken)] = host[at(d * values.stride + column)];
            for (index k = 0; k < s.rows; ++k)
                own_s[at(k * n + taken)] = conditions_here[at(k)][at(column)];
        }
    }
    std::vector<bool> fixed(at(internal_.count()), false);
    for (const FixedRow& f : fixed_) fixed[at(f.row)] = true;
    std::vector<int32> free;
    for (int32 d = 0; d < internal_.count(); ++d)
        if (!fixed[at(d)]) free.push_back(d);
    std::vector<double> periods;
    for (const ConditionOfMolecule& c : conditions_) periods.push_back(c.period);
    const index torsions = 2 * internal_.matrix().atoms() - 3;  // the first row of torsions
    fit_ = fit_coordinates({q, own_s, n, s.rows, free, torsions, periods});
    upload(stream);
}

void MoleculeCoordinates::choose_fixed(Stream& stream, const Molecule& molecule) {
    std::vector<std::array<index, 4>> dihedrals;
    for (const ConditionOfMolecule& c : conditions_)
        if (c.dihedral) dihedrals.push_back(*c.dihedral);
    internal_ = InternalCoordinates(stream, make_z_matrix(molecule, dihedrals));
    const auto& entries = internal_.matrix().entries;
    for (int32 k = 1; k < static_cast<int32>(entries.size()); ++k)
        if (entries[at(k)].rigid_length > 0)
            fixed_.push_back({internal_.view().bond_row(k), -1,
                              static_cast<float>(entries[at(k)].rigid_length)});
    for (std::size_t c = 0; c < conditions_.size(); ++c) {
        const index k = conditions_[c].dihedral ? internal_.matrix().entry_of(*conditions_[c].dihedral) : -1;
        exact_ = exact_ && k >= 0;
        if (k >= 0)
            fixed_.push_back({internal_.view().torsion_row(static_cast<int32>(k)), static_cast<int32>(c), 0});
    }
}

MoleculeCoordinates::MoleculeCoordinates(Stream& stream, const Molecule& molecule,
                                         const std::vector<ConditionOfMolecule>& conditions,
                                         const TensorMap& tensors)
    : conditions_(conditions) {
    choose_fixed(stream, molecule);
    fit_ = CoordinateFit(tensors, internal_.count());
    upload(stream);
}

TensorMap MoleculeCoordinates::tensors() const { return fit_.tensors(); }

std::vector<double> MoleculeCoordinates::periods() const {
    std::vector<double> periods(at(states()), 0.0);
    for (index k = fit_.lines; k < states(); ++k) periods[at(k)] = 2 * std::numbers::pi;
    return periods;
}

void MoleculeCoordinates::upload(Stream& stream) {
    rows_on_device_ = uploaded(stream, fit_.rows);
    fixed_on_device_ = uploaded(stream, fixed_);
    std::vector<float> numbers = fit_.centre;
    for (const auto* list : {&fit_.period, &fit_.factor, &fit_.regression})
        numbers.insert(numbers.end(), list->begin(), list->end());
    numbers_ = uploaded(stream, numbers);
    map_.lines = fit_.lines;
    map_.angles = static_cast<int32>(states()) - fit_.lines;
    map_.conditions = static_cast<int32>(std::min<std::size_t>(conditions_.size(), kMostWaveConditions));
    map_.condition_waves = fit_.condition_waves;
    for (int32 k = 0; k < map_.conditions; ++k)
        map_.condition_period[k] = static_cast<float>(conditions_[at(k)].period);
    map_.knots = fit_.knots;
    map_.low = fit_.low;
    map_.inverse_step = fit_.inverse_step;
    map_.wraps = fit_.wraps;
    map_.row = rows_on_device_.data();
    map_.centre = numbers_.data();
    map_.period = map_.centre + fit_.centre.size();
    map_.factor = map_.period + fit_.period.size();
    map_.regression = map_.factor + fit_.factor.size();
    if (static_cast<std::size_t>(map_.lines * map_.waves()) != fit_.regression.size())
        throw InputError("the molecule's coordinates do not fit its conditions; give a file of this run");
}

Matrix<float> MoleculeCoordinates::scratch(Stream& stream, index n) {
    if (internal_values_.size() == 0)
        internal_values_ = Buffer<float>(stream.device(), internal_.count() * kPiece);
    return {internal_values_.data(), internal_.count(), n, kPiece};
}

RowMemory<float>& MoleculeCoordinates::memory(Stream& stream) {
    if (!memory_.serves(stream.device(), kPiece))
        memory_ = RowMemory<float>(stream.device(), map_.scratch_rows(), kPiece);
    return memory_;
}

void MoleculeCoordinates::to_states(Stream& stream, Matrix<const float> x, Matrix<const float> s,
                                    Matrix<float> y, float* log_jacobian) {
    for (index from = 0; from < x.columns; from += kPiece) {
        const index n = std::min(kPiece, x.columns - from);
        const Matrix<float> q = scratch(stream, n);
        float* const volume = log_jacobian ? log_jacobian + from : nullptr;
        internal_.from_cartesian(stream, part(x, from, n), q, volume);
        launch_in_rows(stream, n, memory(stream),
                       ToStatesBody{map_, q.data, s.data + from, q.stride, s.stride, y.data + from,
                                    y.stride, volume});
    }
}

void MoleculeCoordinates::from_states(Stream& stream, Matrix<const float> y, Matrix<const float> s,
                                      Matrix<float> x, float* log_jacobian) {
    for (index from = 0; from < x.columns; from += kPiece) {
        const index n = std::min(kPiece, x.columns - from);
        const Matrix<float> q = scratch(stream, n);
        float* const volume = log_jacobian ? log_jacobian + from : nullptr;
        launch_in_rows(stream, n, memory(stream),
                       FromStatesBody{map_, y.data + from, s.data + from, y.stride, s.stride, q.data,
                                      q.stride, volume});
        launch_internal(stream, n,
                        FixedRowsBody{fixed_on_device_.data(), static_cast<int32>(fixed_.size()),
                                      s.data + from, s.stride, q.data, q.stride});
        internal_.to_cartesian(stream, q, part(x, from, n), volume, true);
    }
}

#endif

}  // namespace microlift
