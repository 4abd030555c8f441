// The table of estimators: what each is given and what it leaves. A new one is a file of its own with a
// function of this form, and a line in estimators.cpp.
#pragma once

#include <string>
#include <vector>

#include "sampling/estimate/wham.h"
#include "sampling/estimate/window_statistics.h"

namespace microlift {

// The samples behind the cells, where they were kept.
struct KeptSamples {
    Stream& stream;
    const BiasedSamples& samples;
    const BiasedSamples& near;  // the same as images near the centres of their windows
    const double* range;
};

// An estimate in progress. `result` comes with grid, error blocks, inefficiencies and, where samples were
// kept, room for their log_weight.
struct Estimation {
    const BiasWindows& windows;
    const WindowStatistics& statistics;
    CellHistogram& cells;
    const EstimateOptions& options;
    const KeptSamples* kept;  // null: histograms are all there is
    FreeEnergyResult& result;
    Mixture mixture{};  // the windows
    // a_w of a second estimator, to compare with; what it is, and what a difference would mean.
    std::vector<double> second{};
    const char* second_name = "";
    const char* second_cause = "";
    std::vector<double> solution{};  // of the mixture, where the estimate is no solution of it
    std::vector<double> window_bias{};  // of window_f, for its errors; empty: none
};

struct Estimator {
    const char* name;
    bool needs_samples;  // histograms do not do
    int most_cvs;
    // Fills profile, window_f, errors, log_weight and convergence; returns a_w = f_w + ln N_w, up to a
    // constant.
    std::vector<double> (*estimate)(Estimation& e);
};

const std::vector<Estimator>& estimators();
// InputError if there is none of that name, naming those that there are.
const Estimator& find_estimator(const std::string& name);

// For estimators that are a mixture's weights: log weights of the samples where they were kept …
void weigh_samples(Estimation& e, const std::vector<double>& a);
// The influence of every block on a_w − a_0 (block, window), and the profile with that of every block.
std::vector<double> mixture_influence(const Mixture& mixture, const CellHistogram& cells,
                                      const WindowStatistics& statistics,
                                      const std::vector<double>& a);
void mixture_profile(const Mixture& mixture, const CellHistogram& cells,
                     const std::vector<double>& a, const std::vector<double>& da, double kt,
                     FreeEnergyProfile& profile);
// … and, from the solution, profile, window free energies, their errors and covariance.
std::vector<double> finish_mixture(Estimation& e, const MixtureSolution& solution);

}  // namespace microlift
