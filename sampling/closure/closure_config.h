// [closure]: the reduced model of the collective variables, and what is measured beside it.
#pragma once

#include <string>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

class Config;
template <class Struct>
class Section;

struct ClosureConfig {
    bool enabled = false;
    bool bursts = false;
    double dt = 0;              // of bursts and first passages; 0: the integrator's
    index values = 0;           // of each collective variable at which bursts start
    index replicas = 0;         // bursts at each
    std::string start;          // physics | generator | healed | constrained
    index equilibrate = 0;      // steps held at a value before a burst, constrained only
    index burst_steps = 0;      // 0: chosen
    std::vector<index> burst_lags;  // steps; empty: chosen
    double tolerance = 0;       // change of the slowest rate a doubling of the lag on a plateau
    double relaxation = 0;      // trajectory-steps for the full model's slowest rate; 0: not measured
    std::vector<double> passage_from;    // a value of ξ, or empty
    std::vector<double> passage_to;      // thresholds of one CV; of two centres, one after the other
    std::vector<double> passage_radius;  // of two CVs: half axes about passage_from and passage_to
    std::vector<double> passage_state;   // empty: states with ξ = passage_from
    index passages = 0;
    index passage_steps = 0;    // at most, of each
    std::vector<double> committor_a, committor_b;  // centre and radius of balls
    std::vector<double> committor_points;          // states, one after the other
    index committor_runs = 0;
};

extern const Section<ClosureConfig> closure_section;

// Keeps what is wrong. cvs: of collective variables; `variables`: of the state. A molecule, whose barriers are
// seldom crossed in so many steps, has its slowest rate measured where that is asked for.
ClosureConfig read_closure(Config& config, int cvs, int variables, bool molecule);

}  // namespace microlift
