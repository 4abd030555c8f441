// Calls: memory.
#include "tests/emulator/runtime/api.h"

using namespace emulator;

namespace {

std::uint64_t address_of(const void* data) { return reinterpret_cast<std::uint64_t>(data); }

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
    return call("cudaMalloc", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        *data = bytes ? reinterpret_cast<void*>(runtime.allocate(bytes, "cudaMalloc")) : nullptr;
    });
}

// Waits for all work of the device, as drivers do.
cudaError_t cudaFree(void* data) {
    return call("cudaFree", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        if (!data) return;
        runtime.streams.scheduler().finish_all();
        Memory::device().free(address_of(data));
    });
}

cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t stream) {
    return call("cudaMallocAsync", [&](Runtime& runtime) {
        if (stream_of(runtime, stream).capture)
            throw Refusal(Status::not_supported, "allocation inside a graph is not emulated");
        *data = bytes ? reinterpret_cast<void*>(runtime.allocate(bytes, "cudaMallocAsync")) : nullptr;
    });
}

cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
    return call("cudaFreeAsync", [&](Runtime& runtime) {
        Stream& where = stream_of(runtime, stream);
        if (where.capture) throw Refusal(Status::not_supported, "freeing inside a graph is not emulated");
        if (!data) return;
        const std::uint64_t address = address_of(data);
        runtime.streams.submit(where, {"freeing of " + Memory::device().describe(address), {{address, 1, true}}},
                               [address] { Memory::device().free(address); });
    });
}

cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
    return call("cudaMallocHost", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        *data = runtime.allocate_pinned(bytes);
    });
}

cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) { return cudaMallocHost(data, bytes); }

cudaError_t cudaFreeHost(void* data) {
    return call("cudaFreeHost", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        runtime.free_pinned(data);
    });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    return call("cudaMemcpyAsync", [&](Runtime& runtime) {
        runtime.copy(to, from, bytes, kind, stream_of(runtime, stream));
    });
}

// By the legacy stream. Returns after the copy, but for one between two places on the device.
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    return call("cudaMemcpy", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        runtime.copy(to, from, bytes, kind, runtime.streams.legacy());
        const bool on_device = Memory::is_device(address_of(to)) && Memory::is_device(address_of(from));
        if (!on_device) runtime.streams.finish(runtime.streams.legacy());
    });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
    return call("cudaMemsetAsync", [&](Runtime& runtime) {
        runtime.fill(to, value, bytes, stream_of(runtime, stream));
    });
}

// By the legacy stream; the host goes on at once.
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
    return call("cudaMemset", [&](Runtime& runtime) {
        runtime.streams.forbid_in_capture();
        runtime.fill(to, value, bytes, runtime.streams.legacy());
    });
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, std::size_t bytes,
                                    std::size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
    return call("cudaMemcpyToSymbolAsync", [&](Runtime& runtime) {
        std::size_t size = 0;
        const std::uint64_t address = runtime.registry.variable(symbol, &size);
        require(offset + bytes <= size, "beyond the variable's end");
        runtime.copy(reinterpret_cast<void*>(address + offset), from, bytes, kind, stream_of(runtime, stream));
    });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
    return call("cudaMemGetInfo", [&](Runtime&) {
        *free_bytes = Memory::device().free_bytes();
        *total = Memory::device().total_bytes();
    });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
    return call("cudaPointerGetAttributes", [&](Runtime& runtime) {
        *attributes = {};
        if (Memory::is_device(address_of(data))) {
            attributes->type = cudaMemoryTypeDevice;
            attributes->devicePointer = const_cast<void*>(data);
        } else if (runtime.is_pinned(data, 1)) {
            attributes->type = cudaMemoryTypeHost;
            attributes->hostPointer = const_cast<void*>(data);
        }
    });
}

// One pool, whose settings are of speed alone.
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
    return call("cudaDeviceGetDefaultMemPool",
                [&](Runtime& runtime) { *pool = reinterpret_cast<cudaMemPool_t>(&runtime); });
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
    return cudaDeviceGetDefaultMemPool(pool, device);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void*) {
    return call("cudaMemPoolSetAttribute", [&](Runtime& runtime) {
        require(pool == reinterpret_cast<cudaMemPool_t>(&runtime), "no such pool");
        if (attribute != cudaMemPoolAttrReleaseThreshold)
            throw Refusal(Status::not_supported, "this attribute of pools is not emulated");
    });
}

}  // extern "C"
