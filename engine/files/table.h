#pragma once
// Rows of numbers from a .npy (float32 or float64, one or two dimensions) or .csv file.

#include <filesystem>
#include <string>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

struct Table {
    index rows = 0;
    index series = 1;  // of equal length, one after the other
    index columns = 0;
    std::vector<double> values;      // (row, column), all finite
    std::vector<std::string> names;  // of the columns: the line above the first row; empty if none
    bool commented = false;          // that line begins with '#', so it may say anything
};

// InputError for anything else, a number that is not finite included. `points`: a .npy may have three
// dimensions, (row, point, 3). `series`: one more, the first, (series, row, …).
Table read_table(const std::filesystem::path& file, bool points = false, bool series = false);

}  // namespace microlift
