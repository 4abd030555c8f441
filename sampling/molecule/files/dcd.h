// DCD, the trajectories of CHARMM, NAMD and OpenMM: single precision, Å.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/files/files.h"
#include "sampling/molecule/files/binary_file.h"
#include "sampling/molecule/files/trajectory.h"

namespace microlift {

class DcdReader : public Trajectory {
public:
    explicit DcdReader(std::filesystem::path path);
    void read(index frame, float* position) override;

private:
    void read_header();

    BinaryFile file_;
    index first_frame_ = 0, frame_bytes_ = 0, cell_bytes_ = 0;
    std::vector<float> record_;
};

// Frames in pieces; all that were announced must come.
class DcdWriter {
public:
    // `interval`: ps between frames.
    DcdWriter(std::filesystem::path path, index atoms, index frames, double interval = 1);
    void append(const float* position);  // nm, (atom, 3)
    void finish();

private:
    void write_integer(int value);
    AtomicFile file_;
    index atoms_, frames_, written_ = 0;
    std::vector<float> record_;
};

}  // namespace microlift
