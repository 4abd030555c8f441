// What a PLUMED input says, as keys of the configuration; each value stands where it stands in that input.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/config/value.h"
#include "kernels/lane/lane.h"

namespace microlift {

// What inputs leave to the engine.
struct PlumedEngine {
    index atoms = 0;
    double temperature = 0;   // K
    double dt = 0;            // ps; 0: unknown
    std::vector<index> bins;  // that the configuration gives for the grid of the bias
};

struct PlumedTables {
    ConfigValue cv;        // [cv]
    ConfigValue given;     // keys of [bias] or [umbrella] that the inputs say
    ConfigValue fallback;  // keys that they say nothing of, better than the defaults: the configuration may give others
    bool prints = false;   // [output] plumed
    ConfigValue columns;   // [output] columns; empty: they are not said
};

// InputError with a line for each fault, "plumed.dat:3:12: what is wrong; what would be right".
// Of [bias]: one adaptive bias, with walls.
PlumedTables read_plumed_bias(const std::filesystem::path& file, const PlumedEngine& engine);
// Of [umbrella]: restraints, a window in each file or for each of `@replicas:`.
PlumedTables read_plumed_umbrella(const std::vector<std::filesystem::path>& files, const PlumedEngine& engine);
// The first of text that is in memory; files that it names lie in `folder`.
PlumedTables read_plumed_text(const std::string& text, const std::string& name, const std::filesystem::path& folder,
                              const PlumedEngine& engine);

}  // namespace microlift
