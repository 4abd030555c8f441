#include "engine/device/staging.h"

#if defined(MICROLIFT_HAVE_CUDA)

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "engine/device/queue.h"
#include "engine/error.h"

namespace microlift {

namespace {

constexpr std::size_t kBlocks = 8, kBlockBytes = kStagedBytes / kBlocks;
constexpr std::size_t kAligned = 256;

// Blocks that are filled one after the other, and again as soon as the device has taken what they held.
class Staging {
public:
    explicit Staging(cudaStream_t queue) : queue_(queue) {
        void* data = nullptr;
        CUDA_CHECK(cudaMallocHost(&data, kStagedBytes));
        data_ = static_cast<char*>(data);
        for (cudaEvent_t& event : passed_)
            CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    }

    void upload(char* to, const char* from, std::size_t bytes) {
        while (bytes) {
            const std::size_t now = std::min(bytes, kBlockBytes);
            char* const place = take(now);
            std::memcpy(place, from, now);
            CUDA_CHECK(cudaMemcpyAsync(to, place, now, cudaMemcpyHostToDevice, queue_));
            to += now, from += now, bytes -= now;
        }
    }

    // A block is read while the device fills the next.
    void download(char* to, const char* from, std::size_t bytes) {
        const std::size_t pieces = (bytes + kBlockBytes - 1) / kBlockBytes;
        char* place[2] = {};
        cudaEvent_t arrived[2] = {};
        for (std::size_t p = 0; p <= pieces; ++p) {
            if (p < pieces) {
                place[p % 2] = next_block();
                CUDA_CHECK(cudaMemcpyAsync(place[p % 2], from + p * kBlockBytes,
                                           std::min(kBlockBytes, bytes - p * kBlockBytes),
                                           cudaMemcpyDeviceToHost, queue_));
                arrived[p % 2] = leave_block();
            }
            if (p == 0) continue;
            const std::size_t done = (p - 1) * kBlockBytes;
            CUDA_CHECK(cudaEventSynchronize(arrived[(p - 1) % 2]));
            std::memcpy(to + done, place[(p - 1) % 2], std::min(kBlockBytes, bytes - done));
        }
    }

private:
    // The beginning of a block of which the device needs nothing any more.
    char* next_block() {
        if (used_ > 0) leave_block();
        CUDA_CHECK(cudaEventSynchronize(passed_[block_]));
        return data_ + block_ * kBlockBytes;
    }

    // What the queue has so far is all that needs this block; the event says when it is done.
    cudaEvent_t leave_block() {
        const cudaEvent_t event = passed_[block_];
        CUDA_CHECK(cudaEventRecord(event, queue_));
        block_ = (block_ + 1) % kBlocks;
        used_ = 0;
        return event;
    }

    char* take(std::size_t bytes) {
        if (used_ == 0 || used_ + bytes > kBlockBytes) next_block();
        char* const place = data_ + block_ * kBlockBytes + used_;
        used_ += (bytes + kAligned - 1) / kAligned * kAligned;
        return place;
    }

    cudaStream_t queue_;
    char* data_ = nullptr;
    cudaEvent_t passed_[kBlocks] = {};
    std::size_t block_ = 0, used_ = 0;
};

std::mutex mutex;

// Lives as long as the process, as its queue does.
Staging& staging(const Device& device) {
    static Staging* const one = new Staging(static_cast<cudaStream_t>(cuda_queue(device)));
    return *one;
}

}  // namespace

void upload(const Device& device, void* to, const void* from, std::size_t bytes) {
    const std::lock_guard lock(mutex);
    staging(device).upload(static_cast<char*>(to), static_cast<const char*>(from), bytes);
}

void download(const Device& device, void* to, const void* from, std::size_t bytes) {
    const std::lock_guard lock(mutex);
    staging(device).download(static_cast<char*>(to), static_cast<const char*>(from), bytes);
}

}  // namespace microlift

#endif
