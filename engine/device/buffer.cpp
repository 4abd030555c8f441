#include "engine/device/buffer.h"

#include <cstdlib>
#include <cstring>

#include "engine/device/queue.h"
#include "engine/device/staging.h"
#include "engine/error.h"

#if defined(MICROLIFT_HAVE_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace microlift {

void* device_allocate(const Device& device, std::size_t bytes) {
    if (bytes == 0) return nullptr;
    const std::size_t padded = (bytes + 255) / 256 * 256;
#if defined(MICROLIFT_HAVE_CUDA)
    if (!device.is_cpu()) {
        const auto queue = static_cast<cudaStream_t>(cuda_queue(device));
        void* data = nullptr;
        CUDA_CHECK(cudaMallocAsync(&data, padded, queue));
        CUDA_CHECK(cudaMemsetAsync(data, 0, padded, queue));
        return data;
    }
#endif
    (void)device;
    void* data = std::aligned_alloc(256, padded);
    if (!data)
        throw DeviceError("out of memory: " + std::to_string(bytes) + " bytes asked for");
    std::memset(data, 0, padded);
    return data;
}

void device_free(const Device& device, void* data) noexcept {
#if defined(MICROLIFT_HAVE_CUDA)
    if (!device.is_cpu()) {
        cudaFreeAsync(data, static_cast<cudaStream_t>(cuda_queue(device)));
        return;
    }
#endif
    (void)device;
    std::free(data);
}

void copy_bytes_to_device(Stream& stream, void* to, const void* from, std::size_t bytes) {
    count_to_device(bytes);
    if (bytes > kStagedBytes) count_wait();
#if defined(MICROLIFT_HAVE_CUDA)
    if (!stream.device().is_cpu()) {
        upload(stream.device(), to, from, bytes);
        return;
    }
#endif
    (void)stream;
    if (bytes) std::memcpy(to, from, bytes);
}

void copy_bytes_to_host(Stream& stream, void* to, const void* from, std::size_t bytes) {
    count_to_host(bytes);
    count_wait();
#if defined(MICROLIFT_HAVE_CUDA)
    if (!stream.device().is_cpu()) {
        download(stream.device(), to, from, bytes);
        return;
    }
#endif
    (void)stream;
    if (bytes) std::memcpy(to, from, bytes);
}

void copy_bytes_on_device(Stream& stream, void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
#if defined(MICROLIFT_HAVE_CUDA)
    if (!stream.device().is_cpu()) {
        CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice,
                                   static_cast<cudaStream_t>(stream.cuda_stream())));
        return;
    }
#endif
    stream.submit([to, from, bytes] { std::memmove(to, from, bytes); });
}

void zero_bytes(Stream& stream, void* to, std::size_t bytes) {
    if (bytes == 0) return;
#if defined(MICROLIFT_HAVE_CUDA)
    if (!stream.device().is_cpu()) {
        CUDA_CHECK(cudaMemsetAsync(to, 0, bytes, static_cast<cudaStream_t>(stream.cuda_stream())));
        return;
    }
#endif
    stream.submit([to, bytes] { std::memset(to, 0, bytes); });
}

}  // namespace microlift
