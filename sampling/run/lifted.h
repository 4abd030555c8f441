// States lifted by the run's generator, for every stage that uses them.
#pragma once

#include "sampling/lift/lifted_moves.h"
#include "sampling/lift/lifting.h"
#include "sampling/run/meter.h"
#include "sampling/run/run.h"

namespace microlift {

Lifter make_lifter(Run& run);
Lifter make_lifter(Run& run, const SafeTensors& weights);

// Every value `each` times: s (K, values*each).
Buffer<float> conditions(Run& run, const std::vector<CvValue>& values, index each);
// RMS of ξ(x) − s, of every `each` columns, or of all.
std::vector<double> residuals(Run& run, const Buffer<float>& x, const Buffer<float>& s, index n,
                              index each);
double residual(Run& run, const Buffer<float>& x, const Buffer<float>& s, index n);

// How long lifted states are healed; heal_steps = −1: five relaxation times, measured once at some
// of the judged values.
index healing_steps(Run& run);
// Heals x (dim, n) at s (K, n), with the seed of `part`; its work is the meter's.
void heal(Run& run, StageMeter& meter, const Buffer<float>& s, index n, index steps, uint64 part,
          Buffer<float>& x);

LiftedMovesConfig moves_config(const Run& run, uint64 part);

}  // namespace microlift
