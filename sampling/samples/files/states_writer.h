// States into a file, in pieces, as other programs begin from them: .npy, and of atoms DCD and PDB.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/files/files.h"
#include "sampling/molecule/files/dcd.h"

namespace microlift {

struct LoadedMolecule;

class StatesWriter {
public:
    // By the file's name. InputError where the states are not of atoms, and for PDB of no molecule.
    StatesWriter(std::filesystem::path file, index count, index variables, const LoadedMolecule* molecule);
    void append(const float* rows, index count);  // (state, variable); atoms in nm
    void finish();

    // Whether there is such a format: ".npy", ".dcd", ".pdb".
    static bool writes(const std::filesystem::path& file);

private:
    void append_pdb(const float* row);

    index variables_;
    const LoadedMolecule* molecule_;
    std::unique_ptr<NpyWriter> npy_;
    std::unique_ptr<DcdWriter> dcd_;
    std::unique_ptr<AtomicFile> pdb_;
    index models_ = 0;
    bool single_ = false;
    std::string end_;  // of a PDB: its bonds
};

}  // namespace microlift
