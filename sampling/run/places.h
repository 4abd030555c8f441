// Values of the collective variables at which a run looks: bins, windows, values that are judged,
// places of coupling. And how files write them.
#pragma once

#include "engine/files/files.h"
#include "sampling/lift/coupling.h"
#include "sampling/run/run.h"

namespace microlift {

std::vector<CvValue> bin_centres(const Grid& grid);
std::size_t bin_of(const Grid& grid, const CvValue& value);  // the nearest, of values outside

// Where lifted states are judged: window centres and points midway between them.
std::vector<CvValue> judged_values(const Run& run);
// `most` of the values or all of them, evenly apart, both ends among them; of one, the middle.
std::vector<CvValue> some_of(const std::vector<CvValue>& all, index most);

double window_spacing(const Run& run, int k);
// Where coupling may put a window: the umbrella's centres and the points midway between them.
std::vector<CouplingPlace> coupling_places(const Run& run);

// cv_1[, cv_2], then others.
std::vector<std::string> cv_columns(int dims, const std::vector<std::string>& more);
std::vector<CsvWriter::Cell> cv_cells(int dims, const CvValue& value);
Json cv_json(int dims, const CvValue& value);  // a list

}  // namespace microlift
