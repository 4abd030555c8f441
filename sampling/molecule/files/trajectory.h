// Trajectories of a molecule: frames of positions, read one by one.
#pragma once

#include <filesystem>
#include <memory>

#include "sampling/molecule/molecule.h"

namespace microlift {

class Trajectory {
public:
    virtual ~Trajectory() = default;
    // Atoms of a frame, and frames.
    index atoms() const { return atoms_; }
    index frames() const { return frames_; }
    // Names and elements; empty where the file has none.
    const std::vector<Atom>& named_atoms() const { return named_; }
    // nm, (atom, 3). InputError for a frame that is damaged.
    virtual void read(index frame, float* position) = 0;

protected:
    index atoms_ = 0, frames_ = 0;
    std::vector<Atom> named_;
};

// DCD, XTC, or PDB with a model a frame, by the file's content. InputError for anything else.
std::unique_ptr<Trajectory> open_trajectory(const std::filesystem::path& file);

}  // namespace microlift
