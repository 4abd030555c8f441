// What a level of sampling knew at the places of coupling, to compare levels by.
#pragma once

#include "sampling/estimate/conditional.h"
#include "sampling/run/run.h"

namespace microlift {

double force_evaluations_spent(const Run& run);

// Averages where there are moments; the free energy by bin.
CouplingProfile coupling_profile(const Run& run, double force_evaluations,
                                 const ConditionalMoments* moments,
                                 const std::vector<double>& free_energy);
Json profile_json(const CouplingProfile& profile);
// With its errors against another: means in conditional deviations, free energies in kT about their
// common mean; RMS over the places.
Json profile_json(const Run& run, const CouplingProfile& profile, const CouplingProfile& reference);

}  // namespace microlift
