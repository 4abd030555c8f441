// By what a diffusion map tells samples apart: the variables, or the observed functions; of a molecule, which
// tumbles, cosine and sine of its torsions, or distances of its heavy atoms.
#pragma once

#include "sampling/learn/learn_config.h"
#include "sampling/model/model.h"

namespace microlift {

class LearnFeatures {
public:
    // KeyError for what the molecule has not.
    LearnFeatures(const Model& model, const LearnConfig& config);

    int count() const;
    // Of each its formula in the variables; empty: these themselves are the features.
    const std::vector<std::string>& formulas() const { return formulas_; }
    // As people know them; of other systems than molecules the names of the targets.
    const std::vector<std::string>& names() const { return names_; }
    // y (feature, n) of states x (variable, n).
    void evaluate(Stream& stream, Span<const float> x, index row, index n, Span<float> y, index y_row) const;

private:
    void take_torsions(const Molecule& molecule);
    void take_distances(const Molecule& molecule);
    std::string places(std::span<const index> atoms) const;

    const Model& model_;
    std::vector<std::string> formulas_, names_;
    std::unique_ptr<ColumnProgram> program_;  // of a molecule
};

}  // namespace microlift
