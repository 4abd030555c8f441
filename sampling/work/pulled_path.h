// The free energy along a path from the work of walkers that were pulled there and back, at moments on the way.
// Minh and Adib, Phys. Rev. Lett. 100 (2008) 180602: every way, on its forward sense, is one of a mixture of both
// directions, and e^{−W₀ₜ/kT} over the density of the mixture, in that of the forward pulls alone, makes of all of them
// the equilibrium under the bias at t. Hummer and Szabo, Proc. Natl. Acad. Sci. 98 (2001) 3658: moments are put together
// as windows are.
#pragma once

#include <vector>

#include "sampling/numerics/grid.h"

namespace microlift {

struct PulledPath {
    int cvs = 1;
    index walkers = 0;  // each way
    index frames = 0;   // at which the centre of the bias was at `center`
    double kt = 1;
    CvValue stiffness{}, period{};
    std::vector<CvValue> center;  // (frame), in the order of the way forward
    std::vector<float> xi;        // (frame, K, 2 · walkers): those that went forward first
    // (frame, 2 · walkers): done since its own start, when the centre of the bias was there
    std::vector<double> work;
    std::vector<double> total;  // (2 · walkers)

    index columns() const { return 2 * walkers; }
};

// Where the free energy is asked for: means over boxes.
struct PathCells {
    std::vector<CvValue> centre;
    CvValue half{};
    bool line = false;  // one CV alone, boxes side by side
};

struct PathProfile {
    // Of the system with its bias, by frame, less that of the first.
    std::vector<double> restrained, restrained_error;
    // −kT ln p in each cell, NaN where no walker was; (block, cell): what each block of walkers makes of it.
    std::vector<double> free_energy, influence, samples;
    index blocks = 0;
};

PathProfile path_profile(const PulledPath& path, const PathCells& cells);

}  // namespace microlift
