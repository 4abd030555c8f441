#include "sampling/bias/methods.h"

#include "engine/config/names.h"
#include "sampling/bias/adaptive.h"
#include "sampling/bias/table.h"
#include "sampling/bias/umbrella.h"

namespace microlift {

const std::vector<BiasMethodEntry>& bias_methods() {
    static const std::vector<BiasMethodEntry> methods{
        {"umbrella", "a parabola for each window; neighbours may exchange states", make_umbrella},
        {"table", "one fixed bias for all trajectories, given on a grid", make_table_bias},
        {"metadynamics", "well-tempered hills of all walkers", make_metadynamics, true, "height sigma biasfactor"},
        {"opes", "the logarithm of the reweighted density of all walkers", make_opes, true, "sigma biasfactor barrier"},
        {"opes_explore", "that of the density under the bias", make_opes_explore, true, "sigma biasfactor barrier"},
        {"abf", "the negative of the mean force along the collective variables", make_abf, true, "full_samples"},
        {"eabf", "the same of what springs bind to them", make_eabf, true, "full_samples stiffness draw"},
        {"tempering", "temperatures of a ladder at once, by the potential energy", make_expanded, true, "temperatures"},
    };
    return methods;
}

std::unique_ptr<BiasMethod> make_bias_method(const std::string& name, Stream& stream,
                                             const BiasSetup& setup,
                                             const std::vector<BiasMethodEntry>& methods) {
    std::vector<std::string> known;
    for (const BiasMethodEntry& entry : methods) {
        if (entry.name == name) return entry.make(stream, setup);
        known.push_back(entry.name);
    }
    const std::string nearest = nearest_name(name, known);
    throw InputError("bias: unknown method '" + name + "'" +
                     (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
}

}  // namespace microlift
