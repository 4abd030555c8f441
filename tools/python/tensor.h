// Arrays that other libraries share with us without a copy, by DLPack 0.8 (the Python array API standard).
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace microlift {

struct SharedArray {
    std::shared_ptr<void> owner;  // of the memory
    void* data = nullptr;
    std::vector<std::int64_t> shape, strides;  // in elements
    int bits = 32;                             // of a float
    int device_type = 1, device_id = 0;        // 1: CPU, 2: CUDA

    std::int64_t size() const;
};

// Takes a capsule "dltensor"; InputError for numbers that are no float32 or float64.
SharedArray shared_array(const pybind11::object& object);
// A capsule that keeps the memory alive until whoever takes it lets go.
pybind11::capsule capsule_of(const SharedArray& tensor);

}  // namespace microlift
