#include "engine/device/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "engine/device/allocations.h"
#include "engine/device/queue.h"
#include "engine/device/staging.h"
#include "engine/error.h"

#if defined(MICROLIFT_HAVE_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace microlift {

namespace {

constexpr std::size_t kPage = 4096;
// From here on the system gives pages of zeros when they are first written, as the C library takes no other blocks of
// this size from its heap.
constexpr std::size_t kMapped = std::size_t{32} << 20;

std::size_t padded_to(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Bytes of each allocation, and together.
struct Allocations {
    std::mutex mutex;
    std::unordered_map<const void*, std::size_t> sizes;
    std::size_t now = 0, most = 0;
};
// Never destroyed: buffers may be freed after everything else.
Allocations& allocations() {
    static auto* const all = new Allocations;
    return *all;
}

void count(const void* data, std::size_t bytes) {
    Allocations& all = allocations();
    const std::lock_guard lock(all.mutex);
    all.sizes[data] = bytes;
    all.now += bytes;
    all.most = std::max(all.most, all.now);
}

std::size_t take_off(const void* data) {
    Allocations& all = allocations();
    const std::lock_guard lock(all.mutex);
    const auto found = all.sizes.extract(data);
    all.now -= found.mapped();
    return found.mapped();
}

void* allocate(const Device& device, std::size_t bytes) {
    const std::size_t padded = padded_to(bytes, 256);
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
    if (bytes >= kMapped) {
        void* const data = mmap(nullptr, padded_to(bytes, kPage), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED) throw DeviceError("out of memory: " + std::to_string(bytes) + " bytes asked for");
        return data;
    }
    void* data = std::aligned_alloc(256, padded);
    if (!data)
        throw DeviceError("out of memory: " + std::to_string(bytes) + " bytes asked for");
    std::memset(data, 0, padded);
    return data;
}

}  // namespace

std::size_t allocated_bytes() {
    Allocations& all = allocations();
    const std::lock_guard lock(all.mutex);
    return all.now;
}

std::size_t most_allocated(const std::function<void()>& work) {
    Allocations& all = allocations();
    std::size_t before = 0;
    {
        const std::lock_guard lock(all.mutex);
        before = all.most = all.now;
    }
    work();
    const std::lock_guard lock(all.mutex);
    return all.most - before;
}

void* device_allocate(const Device& device, std::size_t bytes) {
    if (bytes == 0) return nullptr;
    void* const data = allocate(device, bytes);
    count(data, bytes);
    return data;
}

void device_free(const Device& device, void* data) noexcept {
    const std::size_t bytes = take_off(data);
#if defined(MICROLIFT_HAVE_CUDA)
    if (!device.is_cpu()) {
        cudaFreeAsync(data, static_cast<cudaStream_t>(cuda_queue(device)));
        return;
    }
#endif
    (void)device;
    if (bytes >= kMapped)
        munmap(data, padded_to(bytes, kPage));
    else
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
