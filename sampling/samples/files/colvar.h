// COLVAR files, as PLUMED's PRINT writes them: a line "#! FIELDS time phi …", then a row of numbers at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sampling/molecule/files/text_file.h"

namespace microlift {

struct Colvar {
    std::vector<std::string> names;  // of the columns
    std::vector<double> values;      // (row, column)
    std::vector<index> lines;        // of each row, counted from 1
    // Of columns with a period ("#! SET min_phi -pi"), where it begins and ends; else nothing.
    std::vector<std::optional<std::pair<double, double>>> period;

    index rows() const { return static_cast<index>(lines.size()); }
    // −1: there is none of that name.
    index column(const std::string& name) const;
    double value(index row, index column) const {
        return values[static_cast<std::size_t>(row * static_cast<index>(names.size()) + column)];
    }
};

// InputError of one line for whatever is no COLVAR, a row that is cut off included, and a last row without an end of
// line; a header may be repeated, as by runs that went on, where time goes on, too.
Colvar read_colvar(const TextFile& file);

}  // namespace microlift
