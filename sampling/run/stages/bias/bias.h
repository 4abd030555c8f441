// What the files of a shared bias have in common.
#pragma once

#include "sampling/bias/adaptive.h"
#include "sampling/run/run.h"

namespace microlift {

// Coordinate of a point of the grid of the bias along variable k.
inline double grid_value(const GridAxes& axes, int k, index point) {
    const index columns = axes.cvs == 2 ? axes.points[1] : 1;
    return axes.from[static_cast<std::size_t>(k)] +
           axes.spacing(k) * static_cast<double>(k == 0 ? point / columns : point % columns);
}

// COLVAR and, of hills, HILLS.
void write_plumed_files(Run& run, const BiasFrames& frames);

// Of an expanded ensemble: the free energy and the mean energy at every temperature.
void write_temperatures(Run& run);

}  // namespace microlift
