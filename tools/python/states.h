// tools/python/: the Python module. May include everything but tests.
//
// Energies, forces and collective variables of arrays of states.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/device/buffer.h"
#include "sampling/dynamics/molecule_states.h"
#include "sampling/model/model_config.h"
#include "sampling/model/state_formulas.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

// A matrix in somebody's memory, (state, variable); steps in elements.
template <class T>
struct StateMatrix {
    T* data = nullptr;
    index state_step = 0, variable_step = 0;
    T& at(index state, index variable) const { return data[state * state_step + variable * variable_step]; }
    // States side by side, variable after variable: as kernels take them.
    bool in_columns(index states) const { return state_step == 1 && variable_step == states; }
    StateMatrix from(index state) const { return {data + state * state_step, state_step, variable_step}; }
};

class StateEvaluator {
public:
    // `text`: the configuration itself, and `file` what messages call it; without it `file` is read.
    StateEvaluator(const std::string& file, const std::optional<std::string>& text, const std::vector<std::string>& set,
                   const std::string& device, int threads);

    const ModelConfig& model() const { return model_; }
    const Device& device() const { return stream_.device(); }
    index variables() const { return variables_; }
    bool has_energy() const { return model_.molecule != nullptr || formulas_.has_energy(); }

    // Of n states in host memory; energy may be null. Double: of a molecule term by term in `terms`
    // (kForceTerms, n) where that is not null.
    void energy_forces(StateMatrix<const float> x, index n, float* energy, StateMatrix<float> force);
    void energy_forces(StateMatrix<const double> x, index n, double* energy, StateMatrix<double> force, double* terms);
    // Of a molecule's states in columns in the device's own memory, which nothing leaves.
    void energy_forces_there(Span<const float> x, index n, Span<float> energy, Span<float> force);
    // (state, collective variable) by rows.
    void cvs(StateMatrix<const double> x, index n, double* values);

private:
    MoleculeStates& single();
    void formula_forces(StateMatrix<const double> x, index n, double* energy, StateMatrix<double> force);

    ModelConfig model_;
    index variables_;
    StateFormulas formulas_;
    std::mutex one_at_a_time_;
    Stream stream_;
    std::unique_ptr<MoleculeStates> single_;
    std::unique_ptr<MoleculeForces<double>> double_;
    Buffer<float> x_, force_, energy_;
};

}  // namespace microlift
