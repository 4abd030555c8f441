#include "engine/device/device.h"

#include <sched.h>
#include <unistd.h>

#include <cxxabi.h>

#include <charconv>
#include <cstdlib>
#include <limits>
#include <mutex>

#include "engine/device/cpu.h"
#include "engine/error.h"
#include "engine/device/thread_pool.h"

#if defined(MICROLIFT_HAVE_CUDA)
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <nvrtc.h>

#include "engine/device/queue.h"
#endif

namespace microlift {

namespace {

int usable_processors() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return 1;
}

std::atomic<int> queue_ordinal{-1};  // the CUDA device that this process works with
std::atomic<uint64> to_device_bytes, to_host_bytes, host_waits;

struct Launches {
    std::mutex mutex;
    std::map<std::string, LaunchCount> by_kernel;  // by the name that the compiler gives the type
};
Launches& all_launches() {
    static Launches launches;
    return launches;
}

// In the words of the library whose call it was; CUB and Thrust have those of the runtime.
std::string reason_of(int status, const std::string& call) {
#if defined(MICROLIFT_HAVE_CUDA)
    if (call.starts_with("cublasLt"))
        return cublasLtGetStatusName(static_cast<cublasStatus_t>(status));
    if (call.starts_with("nvrtc")) return nvrtcGetErrorString(static_cast<nvrtcResult>(status));
    if (call.starts_with("cuda") || call.starts_with("cub::") || call.starts_with("thrust::"))
        return cudaGetErrorString(static_cast<cudaError_t>(status));
#endif
    return "status " + std::to_string(status) + " of " + call.substr(0, call.find('('));
}

}  // namespace

void throw_cuda_error(int status, const char* call, const char* file, int line) {
    const std::string reason = reason_of(status, call);
    throw DeviceError("the CUDA device failed: " + reason + " in " + call + " (" + file + ":" +
                      std::to_string(line) + ")");
}

Device Device::cpu(int threads) {
    check_cpu_level();
    if (threads <= 0) threads = usable_processors();
    return Device(Backend::cpu, 0, std::make_shared<ThreadPool>(threads));
}

int Device::cuda_count() {
#if defined(MICROLIFT_HAVE_CUDA)
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    return count;
#else
    return 0;
#endif
}

Device Device::cuda(int ordinal) {
    if (!kHaveCuda)
        throw DeviceError("no CUDA device: microlift was built without CUDA; use --device cpu");
    const int count = cuda_count();
    if (ordinal < 0 || ordinal >= count)
        throw DeviceError("no CUDA device " + std::to_string(ordinal) + ": " +
                          std::to_string(count) + " found; use --device cpu");
#if defined(MICROLIFT_HAVE_CUDA)
    CUDA_CHECK(cudaSetDevice(ordinal));
    CUDA_CHECK(cudaFree(nullptr));
    // The one that this process works with stays the current one.
    if (queue_ordinal >= 0) CUDA_CHECK(cudaSetDevice(queue_ordinal));
#endif
    // Host-side work of a CUDA run (estimators' dense algebra, files) uses one thread.
    return Device(Backend::cuda, ordinal, std::make_shared<ThreadPool>(1));
}

#if defined(MICROLIFT_HAVE_CUDA)

void* cuda_queue(const Device& device) {
    static std::mutex mutex;
    static cudaStream_t queue = nullptr;
    const std::lock_guard lock(mutex);
    if (queue_ordinal == device.ordinal()) return queue;
    if (queue_ordinal >= 0)
        throw DeviceError("this process works with cuda:" + std::to_string(queue_ordinal) +
                          " already; give cuda:" + std::to_string(device.ordinal()) +
                          " a process of its own");
    CUDA_CHECK(cudaSetDevice(device.ordinal()));
    // Memory that was freed stays with the process, for what it allocates next.
    cudaMemPool_t pool = nullptr;
    uint64 kept = std::numeric_limits<uint64>::max();
    CUDA_CHECK(cudaDeviceGetDefaultMemPool(&pool, device.ordinal()));
    CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept));
    CUDA_CHECK(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking));
    queue_ordinal = device.ordinal();
    return queue;
}

#endif

Device Device::pick(const std::string& name, int threads) {
    if (name == "cpu") return cpu(threads);
    if (name == "auto") {
        if (cuda_count() == 0) return cpu(threads);
        try {
            return cuda(0);
        } catch (const DeviceError&) {  // there is one, and it does not work
            return cpu(threads);
        }
    }
    if (name == "cuda") return cuda(0);
    if (name.rfind("cuda:", 0) == 0) {
        int ordinal = -1;
        const char* end = name.data() + name.size();
        const auto [stop, status] = std::from_chars(name.data() + 5, end, ordinal);
        if (status == std::errc() && stop == end) return cuda(ordinal);
    }
    throw InputError("--device: unknown device '" + name + "'; use auto, cpu, cuda or cuda:N");
}

int Device::threads() const { return pool_->threads(); }

std::string Device::description() const {
#if defined(MICROLIFT_HAVE_CUDA)
    if (backend_ == Backend::cuda) {
        cudaDeviceProp properties;
        CUDA_CHECK(cudaGetDeviceProperties(&properties, ordinal_));
        return std::string(properties.name) + " (cuda:" + std::to_string(ordinal_) + ")";
    }
#endif
    return "CPU, " + std::to_string(threads()) + (threads() == 1 ? " thread" : " threads") +
           " x " + std::to_string(cpu_lanes()) + " lanes";
}

std::size_t Device::memory_bytes() const {
#if defined(MICROLIFT_HAVE_CUDA)
    if (backend_ == Backend::cuda) {
        cudaDeviceProp properties;  // of this device, whichever is the current one
        CUDA_CHECK(cudaGetDeviceProperties(&properties, ordinal_));
        return properties.totalGlobalMem;
    }
#endif
    return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::size_t>(sysconf(_SC_PAGE_SIZE));
}

TransferCounters transfer_counters() {
    TransferCounters counters{to_device_bytes.load(), to_host_bytes.load(), host_waits.load(), 0};
    const std::lock_guard lock(all_launches().mutex);
    for (const auto& [name, count] : all_launches().by_kernel)
        counters.kernel_launches += count.launches;
    return counters;
}
void count_to_device(uint64 bytes) { to_device_bytes += bytes; }
void count_to_host(uint64 bytes) { to_host_bytes += bytes; }
void count_wait() { ++host_waits; }

LaunchCount& launch_count(const std::type_info& kernel) {
    const std::lock_guard lock(all_launches().mutex);
    return all_launches().by_kernel[kernel.name()];
}

std::map<std::string, KernelLaunches> launches_by_kernel() {
    const std::lock_guard lock(all_launches().mutex);
    std::map<std::string, KernelLaunches> named;
    for (const auto& [mangled, count] : all_launches().by_kernel) {
        char* const readable = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, nullptr);
        KernelLaunches& sum = named[readable ? readable : mangled];
        sum.launches += count.launches, sum.lanes += count.lanes, sum.steps += count.steps;
        std::free(readable);
    }
    return named;
}

}  // namespace microlift
