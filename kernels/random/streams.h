// The one list of random streams: no two uses of the generator share an id (kernels/random/philox.h).
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

// What the numbers are for; take 1000 and up for your own.
enum RngStream : uint32 {
    kStreamNoise = 1,         // Brownian increments; index = trajectory, block = step
    kStreamAccept = 3,        // Metropolis decisions
    kStreamLatent = 4,        // generator latents in training
    kStreamBatch = 5,         // which samples a batch holds
    kStreamPenalty = 6,       // interpolation points of the gradient penalty
    kStreamWeights = 7,       // initial network weights
    kStreamValidation = 8,    // latents and picks for validation
    kStreamGenerate = 9,      // latents of `generate`
    kStreamBootstrap = 10,    // resampling in the estimators
    kStreamHeal = 11,         // noise of healing runs
    kStreamSplit = 12,        // held-out split
    kStreamTest = 13,
    kStreamJump = 30,         // jumps to lifted states
    kStreamPassage = 40,      // noise of first passages; index = passage
    kStreamBridge = 41,       // crossings between the ends of a step
    kStreamBurst = 42,        // noise of short unbiased runs
    kStreamEigen = 50,        // first vectors of an eigenproblem
    kStreamLearn = 51,        // picks and short runs of learned variables
    kStreamProposal = 60,     // noise behind proposals of a flow; index = column or trajectory
    kStreamChain = 61,        // acceptance in chains of proposals
    kStreamMove = 62,         // noise behind generator moves; index = attempt, trajectory
    kStreamMoveAccept = 63,   // and their acceptance
    kStreamChoose = 64,       // which of several proposals is kept; index = column
    kStreamVelocity = 66,     // velocities at a temperature; index = trajectory
    kStreamTempering = 67,    // acceptance of swaps of temperatures; index = trajectory
    kStreamSpring = 68,       // what springs are bound to; index = trajectory, block = step
    kStreamRate = 69,         // noise of trajectories of rare events; index = lane, block = step
    kStreamStepCheck = 70,    // noise of steps that are tried; index = stored state
    kStreamRateBridge = 71,   // their crossings between the ends of a step
    kStreamRatePick = 72,     // which of them are split, and where they begin again
    kStreamMetropolis = 128,  // added to the id of a run's noise: its decisions, kernels/dynamics/path.h
};

}  // namespace microlift
