// States from a file, in pieces: tables (.npy, .csv), trajectories of atoms (DCD, XTC, PDB), the samples of a run (.h5).
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/files/table.h"
#include "sampling/molecule/files/trajectory.h"
#include "sampling/samples/samples_file.h"

namespace microlift {

struct LoadedMolecule;

class StatesFile {
public:
    // States of a system of these variables; of a molecule, if it is one. No variables: whatever the file holds.
    // InputError where it holds others, or none.
    // `series`: whether it may hold several trajectories.
    StatesFile(std::filesystem::path file, std::vector<std::string> variables, const LoadedMolecule* molecule,
               bool series = false);
    StatesFile(StatesFile&&) = default;

    const std::filesystem::path& file() const { return file_; }
    index count() const { return count_; }  // of all trajectories
    index trajectories() const { return table_ ? table_->series : 1; }  // of equal length, in a .npy of one dimension more
    // In the order of the columns that read() gives.
    const std::vector<std::string>& variables() const { return variables_; }
    // Into (state, variable); atoms in nm.
    void read(index first, index count, std::vector<double>& rows);

private:
    void open(const LoadedMolecule* molecule, bool series);
    void open_table(bool points, bool series);
    void open_trajectory_of(const LoadedMolecule* molecule);
    void open_samples();
    void check_count(index found, const char* what) const;
    void find_columns(const std::vector<std::string>& names, bool told);

    std::filesystem::path file_;
    std::vector<std::string> variables_;
    index count_ = 0;
    std::vector<index> column_;  // of each variable
    std::optional<Table> table_;
    std::unique_ptr<Trajectory> trajectory_;
    std::unique_ptr<SamplesReader> samples_;
    std::vector<float> frame_;
};

// x0, y0, z0, x1, …
std::vector<std::string> atom_variables(index atoms);

}  // namespace microlift
