#include "sampling/dynamics/systems.h"

#include "engine/config/names.h"
#include "engine/error.h"

namespace microlift {

// One line a system; each is a file of sampling/dynamics/systems/.
SystemInfo double_well_system();
SystemInfo channel_system();
SystemInfo hidden_barrier_system();
SystemInfo muller_brown_system();
SystemInfo fast_slow_system();
SystemInfo muller_brown_bath_system();
SystemInfo phi4_chain_system();

const std::vector<SystemInfo>& system_registry() {
    static const std::vector<SystemInfo> registry{
        double_well_system(), channel_system(),           hidden_barrier_system(),
        muller_brown_system(), fast_slow_system(), muller_brown_bath_system(),
        phi4_chain_system(),
    };
    return registry;
}

const SystemInfo& find_system(const std::string& name) {
    std::vector<std::string> known;
    for (const SystemInfo& info : system_registry()) {
        if (info.name == name) return info;
        known.push_back(info.name);
    }
    const std::string nearest = nearest_name(name, known);
    std::string list;
    for (const std::string& k : known) list += (list.empty() ? "" : ", ") + k;
    throw InputError("unknown system '" + name + "'; " +
                     (nearest.empty() ? "" : "did you mean '" + nearest + "'? ") + "known: " + list);
}

}  // namespace microlift
