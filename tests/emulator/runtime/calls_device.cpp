// Calls: the device and errors.
#include <cstdio>
#include <string>

#include "tests/emulator/runtime/api.h"
#include "tests/emulator/runtime/device_facts.h"

using namespace emulator;

namespace {

int attribute_of(cudaDeviceAttr attribute) {
    switch (attribute) {
        case cudaDevAttrMaxThreadsPerBlock:
        case cudaDevAttrMaxBlockDimX:
        case cudaDevAttrMaxBlockDimY: return 1024;
        case cudaDevAttrMaxBlockDimZ: return 64;
        case cudaDevAttrMaxGridDimX: return 0x7fffffff;
        case cudaDevAttrMaxGridDimY:
        case cudaDevAttrMaxGridDimZ: return 65535;
        case cudaDevAttrMaxSharedMemoryPerBlock: return kSharedPerBlock;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return kSharedOptIn;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return kSharedPerMultiprocessor;
        case cudaDevAttrReservedSharedMemoryPerBlock: return kSharedReserved;
        case cudaDevAttrWarpSize: return 32;
        case cudaDevAttrMaxRegistersPerBlock:
        case cudaDevAttrMaxRegistersPerMultiprocessor: return kRegisters;
        case cudaDevAttrMultiProcessorCount: return kMultiprocessors;
        case cudaDevAttrMaxThreadsPerMultiProcessor: return kThreadsPerMultiprocessor;
        case cudaDevAttrMaxBlocksPerMultiprocessor: return kBlocksPerMultiprocessor;
        case cudaDevAttrL2CacheSize: return kL2Bytes;
        case cudaDevAttrComputeCapabilityMajor: return 9;
        case cudaDevAttrComputeCapabilityMinor: return 0;
        case cudaDevAttrMemoryPoolsSupported:
        case cudaDevAttrConcurrentKernels:
        case cudaDevAttrUnifiedAddressing: return 1;
        case cudaDevAttrConcurrentManagedAccess:
        case cudaDevAttrManagedMemory:
        case cudaDevAttrPageableMemoryAccess:
        case cudaDevAttrCooperativeLaunch:
        case cudaDevAttrClusterLaunch:
        case cudaDevAttrIntegrated: return 0;
        default:
            throw Refusal(Status::not_supported,
                          "device attribute " + std::to_string(attribute) + " is not emulated");
    }
}

void check_ordinal(const Runtime& runtime, int device) {
    if (device < 0 || device >= runtime.options.devices)
        throw Refusal(Status::invalid_device, std::to_string(device));
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
    return call("cudaGetDeviceCount", [&](Runtime& runtime) {
        *count = runtime.options.devices;
        if (*count == 0) throw Refusal(Status::no_device, "EMULATOR_DEVICES=0");
    });
}

cudaError_t cudaGetDevice(int* device) {
    return call("cudaGetDevice", [&](Runtime& runtime) { *device = runtime.device(); });
}

cudaError_t cudaSetDevice(int device) {
    return call("cudaSetDevice", [&](Runtime& runtime) {
        if (runtime.options.broken) throw Refusal(Status::devices_unavailable, "EMULATOR_BROKEN=1");
        runtime.set_device(device);
    });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    return call("cudaDeviceGetAttribute", [&](Runtime& runtime) {
        check_ordinal(runtime, device);
        *value = attribute_of(attribute);
    });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    return call("cudaGetDeviceProperties", [&](Runtime& runtime) {
        check_ordinal(runtime, device);
        *properties = {};
        std::snprintf(properties->name, sizeof properties->name, "emulated device, PTX of sm_90 on the CPU");
        properties->totalGlobalMem = Memory::device().total_bytes();
        properties->sharedMemPerBlock = kSharedPerBlock;
        properties->sharedMemPerBlockOptin = kSharedOptIn;
        properties->sharedMemPerMultiprocessor = kSharedPerMultiprocessor;
        properties->reservedSharedMemPerBlock = kSharedReserved;
        properties->regsPerBlock = properties->regsPerMultiprocessor = kRegisters;
        properties->warpSize = 32;
        properties->maxThreadsPerBlock = 1024;
        properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = 1024;
        properties->maxThreadsDim[2] = 64;
        properties->maxGridSize[0] = 0x7fffffff;
        properties->maxGridSize[1] = properties->maxGridSize[2] = 65535;
        properties->major = 9;
        properties->multiProcessorCount = kMultiprocessors;
        properties->maxThreadsPerMultiProcessor = kThreadsPerMultiprocessor;
        properties->maxBlocksPerMultiProcessor = kBlocksPerMultiprocessor;
        properties->l2CacheSize = kL2Bytes;
        properties->concurrentKernels = properties->unifiedAddressing = 1;
        properties->memoryPoolsSupported = 1;
    });
}

cudaError_t cudaDriverGetVersion(int* version) {
    return call("cudaDriverGetVersion", [&](Runtime&) { *version = CUDART_VERSION; });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    return call("cudaRuntimeGetVersion", [&](Runtime&) { *version = CUDART_VERSION; });
}

cudaError_t cudaGetLastError() { return static_cast<cudaError_t>(Runtime::get().take_error()); }
cudaError_t cudaPeekAtLastError() { return static_cast<cudaError_t>(Runtime::get().peek_error()); }
const char* cudaGetErrorName(cudaError_t status) { return status_name(status); }
const char* cudaGetErrorString(cudaError_t status) { return Runtime::get().error_text(status); }

}  // extern "C"
