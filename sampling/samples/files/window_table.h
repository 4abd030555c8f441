// windows.csv: the umbrella that each trajectory was run under, ½ stiffness (ξ − center)².
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "kernels/dynamics/cv.h"
#include "sampling/molecule/files/text_file.h"

namespace microlift {

struct WindowRow {
    std::string file;  // empty: the rows are in the order of the trajectories
    std::array<double, kMaxCvs> center{}, stiffness{};
    index line = 0;  // counted from 1
};

// Columns by name: file (may be left out), then center and stiffness, of two collective variables center_1, center_2,
// stiffness_1, stiffness_2, or with their names: center_phi. PLUMED's "at" and "kappa" are the same.
std::vector<WindowRow> read_window_table(const TextFile& file, const std::vector<std::string>& cvs);

}  // namespace microlift
