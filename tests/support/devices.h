// The devices that a test runs on: the CPU always, CUDA where there is one. A missing GPU is reported
// by tests/engine/test_devices.cpp, and is a failure when MICROLIFT_REQUIRE_CUDA=1.
#pragma once

#include <vector>

#include "engine/device/device.h"

namespace microlift {

inline const std::vector<Device>& test_devices() {
    static const std::vector<Device> devices = [] {
        std::vector<Device> list{Device::cpu(2)};
        if (Device::cuda_count() > 0) list.push_back(Device::cuda(0));
        return list;
    }();
    return devices;
}

}  // namespace microlift
