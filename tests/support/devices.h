// The devices that a test runs on: the CPU always, CUDA where there is one. A missing GPU is reported
// by tests/engine/test_devices.cpp, and is a failure when MICROLIFT_REQUIRE_CUDA=1.
#pragma once

#include <string>
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

// Whether tests/emulator stands in for it: an instruction there takes hundreds of times as long.
inline bool is_emulated(const Device& device) {
    return !device.is_cpu() && device.description().find("emulated device") != std::string::npos;
}

// Where laws of many samples and long trainings are tested. None beside an emulated device, which other tests hold to
// the bits or the numbers of the CPU: the CPU alone is another entry of CTest.
inline const std::vector<Device>& quick_devices() {
    static const std::vector<Device> devices =
        is_emulated(test_devices().back()) ? std::vector<Device>{} : test_devices();
    return devices;
}

}  // namespace microlift
