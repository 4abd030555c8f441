// Collective variables of a molecule as its kernels read them.
#pragma once

#include <memory>
#include <vector>

#include "engine/device/buffer.h"
#include "kernels/molecule/molecule_cv.h"
#include "sampling/dynamics/molecule_path.h"

namespace microlift {

class MoleculeVariables {
public:
    // InputError for what makes no sense.
    MoleculeVariables(const Molecule& molecule, const std::vector<MoleculeVariable>& variables);

    const MoleculeCvs& cvs() const { return cvs_; }
    // Once, before kernels read them: their tables onto the stream's device.
    void copy_tables(Stream& stream);

private:
    // The tables of one variable; `of` are those of a formula.
    struct Tables {
        std::vector<GroupAtom> atoms;
        std::vector<Instruction> code;
        std::vector<FormulaOutput> outputs;
        std::vector<MoleculeCv> cvs;
        std::vector<Tables> of;
        Buffer<GroupAtom> atoms_there;
        Buffer<Instruction> code_there;
        Buffer<FormulaOutput> outputs_there;
        Buffer<MoleculeCv> cvs_there;
    };
    static MoleculeCv make(const Molecule& molecule, const MoleculeVariable& from, Tables& tables);
    static void make_formula(const Molecule& molecule, const MoleculeVariable& from, MoleculeCv& cv,
                             Tables& tables);
    static void copy(Stream& stream, MoleculeCv& cv, Tables& tables);

    MoleculeCvs cvs_;
    std::vector<Tables> tables_;
};

}  // namespace microlift
