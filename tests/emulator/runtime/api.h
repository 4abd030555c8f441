// What the files of calls share: CUDA's handles and the runtime's objects.
#pragma once

#include <cuda_runtime_api.h>

#include "tests/emulator/runtime/runtime.h"

namespace emulator {

template <class Body>
cudaError_t call(const char* name, const Body& body) {
    Runtime& runtime = Runtime::get();
    return static_cast<cudaError_t>(runtime.call(name, [&] { body(runtime); }));
}

inline Stream& stream_of(Runtime& runtime, cudaStream_t stream) {
    if (stream == cudaStreamPerThread)
        throw Refusal(Status::not_supported, "per-thread default streams are not emulated");
    return runtime.streams.checked(stream == cudaStreamLegacy ? nullptr
                                                              : reinterpret_cast<Stream*>(stream));
}

inline void require(bool right, const char* what) {
    if (!right) throw Refusal(Status::invalid_value, what);
}

}  // namespace emulator
