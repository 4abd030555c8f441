// The coordinates in which a generator makes states of a molecule: bonds, angles and torsions of a Z-matrix,
// those that vary little decorrelated, with what follows from rigid bonds and conditions left out. States have
// chirality, rigid lengths, and where a condition is a torsion of the Z-matrix its exact value.
#pragma once

#include <optional>

#include "engine/files/safetensors.h"
#include "engine/launch/rows.h"
#include "kernels/lane/matrix.h"
#include "sampling/molecule/coordinates/coordinate_fit.h"
#include "sampling/molecule/coordinates/coordinate_map.h"
#include "sampling/molecule/coordinates/z_matrix.h"

namespace microlift {

// Bonds, angles and torsions of given states, on the device.
class InternalCoordinates {
public:
    InternalCoordinates() = default;
    InternalCoordinates(Stream& stream, ZMatrix matrix);

    const ZMatrix& matrix() const { return matrix_; }
    const InternalView& view() const { return view_; }
    index count() const { return 3 * matrix_.atoms() - 6; }
    // x (3 · atoms, n), q (count(), n), the logarithm of |∂x/∂q| (n) or null.
    void from_cartesian(Stream& stream, Matrix<const float> x, Matrix<float> q, float* log_jacobian) const;
    void to_cartesian(Stream& stream, Matrix<const float> q, Matrix<float> x, float* log_jacobian,
                      bool adds = false) const;

private:
    ZMatrix matrix_;
    Buffer<InternalEntry> entries_;
    InternalView view_;
};

struct ConditionOfMolecule {
    double period = 0;                              // 0: none
    std::optional<std::array<index, 4>> dihedral;  // if that is what it is
};

class MoleculeCoordinates {
public:
    // Measured on samples x (3 · atoms, n) and their conditions s (condition, n), on the device.
    MoleculeCoordinates(Stream& stream, const Molecule& molecule,
                        const std::vector<ConditionOfMolecule>& conditions, Matrix<const float> x,
                        Matrix<const float> s);
    // From what tensors() gave; InputError if that was of another molecule.
    MoleculeCoordinates(Stream& stream, const Molecule& molecule,
                        const std::vector<ConditionOfMolecule>& conditions, const TensorMap& tensors);
    TensorMap tensors() const;

    index states() const { return static_cast<index>(fit_.rows.size()); }
    std::vector<double> periods() const;  // of each state, 0 = none
    const InternalCoordinates& internal() const { return internal_; }
    // Whether states mean the same kinds of coordinates, in the same order.
    bool like(const MoleculeCoordinates& other) const {
        return fit_.rows == other.fit_.rows && fit_.lines == other.fit_.lines;
    }
    // Whether every condition is met exactly; those that are not need a projection.
    bool exact() const { return exact_; }

    // States y (states(), n) of x, and back. log_jacobian (n), where it is not null: ln |∂x/∂y|, beside places
    // and turns: the density of x is that of y over |∂x/∂y|.
    void to_states(Stream& stream, Matrix<const float> x, Matrix<const float> s, Matrix<float> y,
                   float* log_jacobian = nullptr);
    void from_states(Stream& stream, Matrix<const float> y, Matrix<const float> s, Matrix<float> x,
                     float* log_jacobian = nullptr);

private:
    void choose_fixed(Stream& stream, const Molecule& molecule);
    void upload(Stream& stream);
    Matrix<float> scratch(Stream& stream, index n);
    RowMemory<float>& memory(Stream& stream);

    InternalCoordinates internal_;
    std::vector<ConditionOfMolecule> conditions_;
    std::vector<FixedRow> fixed_;
    bool exact_ = true;
    CoordinateFit fit_;
    CoordinateMap map_;
    Buffer<int32> rows_on_device_;
    Buffer<float> numbers_, internal_values_;
    Buffer<FixedRow> fixed_on_device_;
    RowMemory<float> memory_;
};

}  // namespace microlift
