// A run in progress, which its stages share. Not for users of the library: pipeline.h is.
#pragma once

#include "engine/device/stream.h"
#include "engine/progress.h"
#include "sampling/model/model.h"
#include "sampling/run/pipeline.h"
#include "sampling/run/products.h"
#include "sampling/run/seeds.h"

namespace microlift {

// Moments of every generated variable at every bin, for conditional.csv.
struct BinMoments {
    std::string source;
    std::vector<double> mean, error, variance;  // (variable, bin)
};

// A kind of generator beside others on the same data; the run's own is the first.
struct ComparedGenerator {
    std::string kind;
    double seconds = 0, updates = 0, best = 0;
    SafeTensors weights;
};

struct Run {
    Run(const RunConfig& config, const RunOptions& options, const Device& device, Progress& progress);
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    const RunConfig& config;
    const fs::path dir;
    Progress& progress;
    const Device device;
    Stream stream;
    const Model model;
    const Grid grid;
    const std::vector<int> free;  // the variables that a generator makes
    const std::shared_ptr<const PathKernel> kernel;

    Position position;
    Record record;
    Windows windows;
    Samples samples;
    Histogram histogram;
    FreeEnergy free_energy;
    TrainedGenerator generator;
    Coupling coupling;
    SamplingState sampling;
    TrainingState training;
    RatesState rates;
    // In the order in which a checkpoint is read.
    std::vector<Product*> products();

    // Made once the last checkpoint is written, and made anew by a run that goes on from there.
    std::vector<BinMoments> conditional;
    std::vector<ComparedGenerator> compared;
    index healing = -1;  // steps, chosen by healing_steps()

    Buffer<float> targets, bias_xi;  // kept between calls, see targets() and step_bias()
    SharedBias bias;

    void warn(const std::string& message);
    void write_metrics() const;
};

// A number in a message.
std::string number(double value);

}  // namespace microlift
