#include "sampling/molecule/files/trajectory.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/at.h"
#include "sampling/molecule/files/binary_file.h"
#include "sampling/molecule/files/dcd.h"
#include "sampling/molecule/files/pdb.h"
#include "sampling/molecule/files/xtc.h"

namespace microlift {

namespace {

class PdbTrajectory : public Trajectory {
public:
    explicit PdbTrajectory(const std::filesystem::path& path) {
        const TextFile file(path);
        Pdb pdb = read_pdb(file);
        atoms_ = std::ssize(pdb.atoms);
        frames_ = pdb.models;
        position_ = std::move(pdb.position);
        named_ = std::move(pdb.atoms);
    }
    void read(index frame, float* position) override {
        const double* from = position_.data() + 3 * atoms_ * frame;
        for (index i = 0; i < 3 * atoms_; ++i) position[i] = static_cast<float>(from[i]);
    }

private:
    std::vector<double> position_;
};

}  // namespace

std::unique_ptr<Trajectory> open_trajectory(const std::filesystem::path& file) {
    char head[8]{};
    BinaryFile in(file);
    in.read_at(0, head, std::min(sizeof head, at(in.size())));
    if (std::string_view(head + 4, 4) == "CORD" || file.extension() == ".dcd")
        return std::make_unique<DcdReader>(file);
    if (std::string_view(head, 4) == std::string_view("\0\0\7\xcb", 4) || file.extension() == ".xtc")
        return std::make_unique<XtcReader>(file);
    return std::make_unique<PdbTrajectory>(file);
}

}  // namespace microlift
