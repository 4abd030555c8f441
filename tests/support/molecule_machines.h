// Machines that molecules move on: the devices of a test, CUDA with a lane for each replica and with teams of lanes.
#pragma once

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <vector>

#include "tests/support/devices.h"

namespace microlift {

// How many lanes a replica's team has on CUDA, as long as this lives.
class AskedLanes {
public:
    explicit AskedLanes(int lanes) { setenv("MICROLIFT_TEAM", std::to_string(lanes).c_str(), 1); }
    ~AskedLanes() { unsetenv("MICROLIFT_TEAM"); }
    AskedLanes(const AskedLanes&) = delete;
    AskedLanes& operator=(const AskedLanes&) = delete;
};
struct Machine {
    Device device;
    int lanes;
};
// The CPU; CUDA with a lane for each replica, then with teams of so many.
inline std::vector<Machine> molecule_machines(std::initializer_list<int> teams) {
    std::vector<Machine> list;
    for (const Device& device : test_devices()) {
        list.push_back({device, 1});
        if (!device.is_cpu())
            for (const int lanes : teams) list.push_back({device, lanes});
    }
    return list;
}

}  // namespace microlift
