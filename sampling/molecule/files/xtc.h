// XTC, GROMACS's compressed trajectories: nm, rounded to 1/precision.
#pragma once

#include <filesystem>
#include <vector>

#include "sampling/molecule/files/binary_file.h"
#include "sampling/molecule/files/trajectory.h"

namespace microlift {

class XtcReader : public Trajectory {
public:
    // Looks for the frames, without decompressing them.
    explicit XtcReader(std::filesystem::path path);
    void read(index frame, float* position) override;

private:
    index frame_end(index start);
    [[noreturn]] void damaged(index frame) const;
    void decompress(index frame, index start, float* position);

    BinaryFile file_;
    std::vector<index> starts_;
    std::vector<unsigned char> bytes_;
};

}  // namespace microlift
