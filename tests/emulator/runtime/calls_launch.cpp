// Calls: registration by nvcc's code, launches, libraries.
#include <vector>

#include "tests/emulator/runtime/api.h"
#include "tests/emulator/runtime/device_facts.h"

using namespace emulator;

namespace {

struct Configuration {
    dim3 grid, block;
    std::size_t shared;
    cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

Dim3 dim_of(dim3 d) { return {d.x, d.y, d.z}; }

cudaError_t launch(const char* name, const void* function, dim3 grid, dim3 block, void** arguments,
                   std::size_t shared, cudaStream_t stream) {
    return call(name, [&](Runtime& runtime) {
        runtime.launch({&runtime.registry.function(function), dim_of(grid), dim_of(block), shared, arguments},
                       stream_of(runtime, stream));
    });
}

Binary* binary_of(void** handle) { return reinterpret_cast<Binary*>(handle); }

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
    Binary* binary = nullptr;
    call("__cudaRegisterFatBinary",
         [&](Runtime& runtime) { binary = runtime.registry.add_fatbin(wrapper); });
    return reinterpret_cast<void**>(binary);
}

void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void** handle, const char* host, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
    call("__cudaRegisterFunction", [&](Runtime& runtime) {
        runtime.registry.add_function(binary_of(handle), host, name);
    });
}

void __cudaRegisterVar(void** handle, char* host, char*, const char* name, int, std::size_t, int, int) {
    call("__cudaRegisterVar", [&](Runtime& runtime) {
        runtime.registry.add_variable(binary_of(handle), host, name);
    });
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, CUstream_st* stream) {
    configurations.push_back({grid, block, shared, stream});
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
    return call("__cudaPopCallConfiguration", [&](Runtime&) {
        require(!configurations.empty(), "no launch has been configured");
        const Configuration last = configurations.back();
        configurations.pop_back();
        *grid = last.grid;
        *block = last.block;
        *shared = last.shared;
        *static_cast<cudaStream_t*>(stream) = last.stream;
    });
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
    return call("__cudaGetKernel", [&](Runtime& runtime) {
        *kernel = reinterpret_cast<cudaKernel_t>(&runtime.registry.function(host));
    });
}

cudaError_t cudaGetKernel(cudaKernel_t* kernel, const void* host) { return __cudaGetKernel(kernel, host); }

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               std::size_t shared, cudaStream_t stream) {
    return launch("__cudaLaunchKernel", kernel, grid, block, arguments, shared, stream);
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared, cudaStream_t stream) {
    return launch("cudaLaunchKernel", function, grid, block, arguments, shared, stream);
}

// Programmatic serialisation lets a kernel begin before the one in front of it has ended, if that one says so;
// none here does.
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
    for (unsigned a = 0; a < config->numAttrs; ++a)
        if (config->attrs[a].id != cudaLaunchAttributeProgrammaticStreamSerialization)
            return call("cudaLaunchKernelExC", [&](Runtime&) {
                throw Refusal(Status::not_supported,
                              "launch attribute " + std::to_string(config->attrs[a].id) + " is not emulated");
            });
    return launch("cudaLaunchKernelExC", function, config->gridDim, config->blockDim, arguments,
                  config->dynamicSmemBytes, config->stream);
}

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned,
                                cudaLibraryOption*, void**, unsigned) {
    return call("cudaLibraryLoadData", [&](Runtime& runtime) {
        Binary* binary = runtime.registry.add_image(code);
        binary->module();
        *library = reinterpret_cast<cudaLibrary_t>(binary);
    });
}

cudaError_t cudaLibraryUnload(cudaLibrary_t library) {
    return call("cudaLibraryUnload", [&](Runtime& runtime) {
        runtime.registry.unload(reinterpret_cast<Binary*>(library));
    });
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
    return call("cudaLibraryGetKernel", [&](Runtime& runtime) {
        *kernel = reinterpret_cast<cudaKernel_t>(
            &runtime.registry.function(reinterpret_cast<Binary*>(library), name));
    });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* symbol) {
    return call("cudaFuncGetAttributes", [&](Runtime& runtime) {
        Function& function = runtime.registry.function(symbol);
        const KernelFacts& known = facts(function.kernel());
        *attributes = {};
        attributes->sharedSizeBytes = known.shared_bytes;
        attributes->localSizeBytes = known.local_bytes;
        attributes->maxThreadsPerBlock = known.max_threads;
        attributes->numRegs = registers_of(known);
        attributes->ptxVersion = attributes->binaryVersion = 90;
        attributes->maxDynamicSharedSizeBytes =
            function.dynamic_shared - static_cast<int>(known.shared_bytes);
    });
}

cudaError_t cudaFuncSetAttribute(const void* symbol, cudaFuncAttribute attribute, int value) {
    return call("cudaFuncSetAttribute", [&](Runtime& runtime) {
        if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return;  // a hint
        if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
            throw Refusal(Status::not_supported,
                          "attribute " + std::to_string(attribute) + " is not emulated");
        Function& function = runtime.registry.function(symbol);
        const int total = value + static_cast<int>(facts(function.kernel()).shared_bytes);
        require(total <= kSharedOptIn, "more shared memory than a block can have");
        function.dynamic_shared = total;
    });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* symbol,
                                                                   int threads, std::size_t dynamic_shared,
                                                                   unsigned) {
    return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&](Runtime& runtime) {
        const KernelFacts& known = facts(runtime.registry.function(symbol).kernel());
        require(threads > 0 && threads <= known.max_threads, "no such block");
        *blocks = occupancy(known, threads, dynamic_shared);
    });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* symbol, int threads,
                                                          std::size_t dynamic_shared) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, symbol, threads, dynamic_shared, 0);
}

cudaError_t cudaGetSymbolAddress(void** address, const void* symbol) {
    return call("cudaGetSymbolAddress", [&](Runtime& runtime) {
        std::size_t bytes = 0;
        *address = reinterpret_cast<void*>(runtime.registry.variable(symbol, &bytes));
    });
}

cudaError_t cudaGetSymbolSize(std::size_t* bytes, const void* symbol) {
    return call("cudaGetSymbolSize", [&](Runtime& runtime) { runtime.registry.variable(symbol, bytes); });
}

}  // extern "C"
