// The kinds of conditional generators, one line each in registry.cpp:
//   cgan    a generator and a critic,
//   flow    conditional flow matching: a few steps of an ODE, with an exact density,
//   energy  a generator of one step taught by the energy score alone, without a critic,
//   score   denoising score matching: the probability-flow ODE, with an exact density.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/device/stream.h"
#include "nn/train/trainer.h"

namespace microlift {

struct LoadedGenerator;  // nn/train/sampler.h
struct WhiteningView;

// A kind: a line of the table.
struct GeneratorKind {
    const char *name, *architecture;
    struct Defaults {
        index batch, iterations, validation_every;
        double beta1;
    } defaults;  // where they differ from TrainerConfig's
    std::unique_ptr<GeneratorTrainer> (*make)(Stream&, const TrainerConfig&, int states,
                                              int conditions);
    LoadedGenerator (*load)(const Device&, const SafeTensors&, const WhiteningView&);
    bool density;  // of its states is known, up to a number of them
    bool ring;     // it makes use of states that are like sites of a ring
    bool circle;   // it knows states that go round; the others see their cosines and sines (embedding.h)
    void (*check)(const TrainerConfig&) = nullptr;  // what it asks for beyond every kind's bounds
};

// All kinds, with each architecture that they are built with.
const std::vector<GeneratorKind>& generator_table();
// InputError for an unknown kind, or for an architecture that the kind is not built with.
const GeneratorKind& generator_kind(const std::string& name,
                                    const std::string& architecture = "mlp");
// Whether an architecture of this kind knows the density of its states.
bool has_density(const std::string& kind);
// Their names, in the order in which a comparison shows them.
const std::vector<std::string>& generator_kinds();

// The training of config.kind for so many states and conditions. InputError where the configuration does not fit.
std::unique_ptr<GeneratorTrainer> make_trainer(Stream& stream, const TrainerConfig& config,
                                               int states, int conditions);

}  // namespace microlift
