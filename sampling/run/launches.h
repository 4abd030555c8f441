// What a stage asked of the device, kernel by kernel: where the environment names a file by MICROLIFT_LAUNCHES, a
// line of JSON is added to it at the end of every stage. tools/checks/cost_model.py reads it.
#pragma once

#include <map>
#include <string>

#include "engine/device/device.h"

namespace microlift {

class StageLaunches {
public:
    StageLaunches();
    // {"stage", "steps", "waits", "bytes_to_device", "bytes_to_host",
    //  "kernels": {NAME: [launches, lanes, steps]}}
    void write(const std::string& stage, double steps) const;

private:
    std::string file_;
    TransferCounters before_;
    std::map<std::string, KernelLaunches> kernels_before_;
};

}  // namespace microlift
