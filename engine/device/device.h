// The machine that work runs on: the CPU with a pool of threads, or one CUDA device.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

#if defined(MICROLIFT_HAVE_CUDA)
inline constexpr bool kHaveCuda = true;
#else
inline constexpr bool kHaveCuda = false;
#endif

class ThreadPool;

enum class Backend { cpu, cuda };

class Device {
public:
    // threads = 0: one for each processor that the process may use.
    static Device cpu(int threads = 0);
    // Throws DeviceError if there is no such device or it does not answer.
    static Device cuda(int ordinal = 0);
    // "auto" (a CUDA device if one works, else the CPU), "cpu", "cuda", "cuda:N".
    static Device pick(const std::string& name, int threads = 0);
    static int cuda_count();

    Backend backend() const { return backend_; }
    bool is_cpu() const { return backend_ == Backend::cpu; }
    // The portable mathematics: sums and functions have the same bits on every machine. The CPU has no other.
    bool portable() const { return is_cpu() || portable_; }
    void compute_portably(bool portable) { portable_ = portable; }
    int ordinal() const { return ordinal_; }
    ThreadPool& pool() const { return *pool_; }
    int threads() const;
    // For people: "CPU, 2 threads, 16 lanes" or the GPU's name.
    std::string description() const;
    std::size_t memory_bytes() const;

private:
    Device(Backend backend, int ordinal, std::shared_ptr<ThreadPool> pool)
        : backend_(backend), ordinal_(ordinal), pool_(std::move(pool)) {}
    Backend backend_;
    int ordinal_;
    bool portable_ = false;
    std::shared_ptr<ThreadPool> pool_;
};

// Bytes moved between host and device by this process, how often the host waited for the device (copies
// to the host wait), and kernels launched. On the CPU backend the same copies count, so that a loop proven
// quiet there is quiet on a GPU. What a graph replays is counted once, when it is recorded.
struct TransferCounters {
    uint64 bytes_to_device = 0, bytes_to_host = 0, waits = 0, kernel_launches = 0;
};
TransferCounters transfer_counters();
void count_to_device(uint64 bytes);
void count_to_host(uint64 bytes);
void count_wait();

// The launches of one kernel, named by its body's type, how many lanes, threads or blocks they asked for,
// and through how many steps these go, all together, where a kernel steps.
struct LaunchCount {
    std::atomic<uint64> launches{0}, lanes{0}, steps{0};
};
LaunchCount& launch_count(const std::type_info& kernel);
template <class Kernel>
void count_launch(index lanes, uint64 steps = 0) {
    static LaunchCount& count = launch_count(typeid(Kernel));
    ++count.launches;
    count.lanes += static_cast<uint64>(lanes);
    count.steps += static_cast<uint64>(lanes) * steps;
}
struct KernelLaunches {
    uint64 launches = 0, lanes = 0, steps = 0;
};
std::map<std::string, KernelLaunches> launches_by_kernel();

}  // namespace microlift
