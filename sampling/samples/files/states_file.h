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
    // Its trajectories: state s of one is the row first + s · stride.
    struct Part {
        index first = 0, stride = 1, count = 0, window = 0;
    };
    std::vector<Part> parts() const;
    // What the run that wrote it says of its windows and weights; else null.
    const SamplesReader* samples() const { return samples_.get(); }
    // In the order of the columns that read() gives.
    const std::vector<std::string>& variables() const { return variables_; }
    // Into (state, variable); atoms in nm.
    void read(index first, index count, std::vector<double>& rows);
    void read(const Part& part, index first, index count, std::vector<double>& rows);

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
    std::vector<float> frame_, stored_;
};

// x0, y0, z0, x1, …
std::vector<std::string> atom_variables(index atoms);

}  // namespace microlift
