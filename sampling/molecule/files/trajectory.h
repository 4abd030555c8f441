// Trajectories of a molecule: frames of positions, read one by one.
#pragma once

#include <filesystem>
#include <memory>

#include "kernels/lane/lane.h"

namespace microlift {

class Trajectory {
public:
    virtual ~Trajectory() = default;
    index atoms() const { return atoms_; }
    index frames() const { return frames_; }
    // nm, (atom, 3). InputError for a frame that is damaged.
    virtual void read(index frame, float* position) = 0;

protected:
    index atoms_ = 0, frames_ = 0;
};

// DCD, XTC, or PDB with a model a frame, by the file's content. InputError for anything else.
std::unique_ptr<Trajectory> open_trajectory(const std::filesystem::path& file);

}  // namespace microlift
