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

// The two kinds of machines.
enum class Backend { cpu, cuda };

// Cheap to copy: copies are the same device, and share its threads.
class Device {
public:
    // threads = 0: one for each processor that the process may use.
    static Device cpu(int threads = 0);
    // Throws DeviceError if there is no such device or it does not answer.
    static Device cuda(int ordinal = 0);
    // "auto" (a CUDA device if one works, else the CPU), "cpu", "cuda", "cuda:N".
    static Device pick(const std::string& name, int threads = 0);
    // Devices of CUDA that answer; 0 without a driver, or in a build without CUDA.
    static int cuda_count();

    // Which machine it is.
    Backend backend() const { return backend_; }
    bool is_cpu() const { return backend_ == Backend::cpu; }
    // The portable mathematics: sums and functions have the same bits on every machine. The CPU has no other.
    bool portable() const { return is_cpu() || portable_; }
    // Whether a CUDA device computes so, too; else with its own, faster functions.
    void compute_portably(bool portable) { portable_ = portable; }
    // Of a CUDA device its number, from 0; the threads of the CPU, and how many they are.
    int ordinal() const { return ordinal_; }
    ThreadPool& pool() const { return *pool_; }
    int threads() const;
    // For people: "CPU, 2 threads, 16 lanes" or the GPU's name.
    std::string description() const;
    std::size_t memory_bytes() const;  // of the device, or of the machine

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
// So far in this process, and what adds to it: for whatever copies or waits.
TransferCounters transfer_counters();
void count_to_device(uint64 bytes);
void count_to_host(uint64 bytes);
void count_wait();

// The launches of one kernel, named by its body's type, how many lanes, threads or blocks they asked for,
// and through how many steps these go, all together, where a kernel steps.
struct LaunchCount {
    std::atomic<uint64> launches{0}, lanes{0}, steps{0};
};
// Of a kernel, for as long as the process lives; and one more launch of it.
LaunchCount& launch_count(const std::type_info& kernel);
template <class Kernel>
void count_launch(index lanes, uint64 steps = 0) {
    static LaunchCount& count = launch_count(typeid(Kernel));
    ++count.launches;
    count.lanes += static_cast<uint64>(lanes);
    count.steps += static_cast<uint64>(lanes) * steps;
}
// The same as plain numbers, by the kernel's name.
struct KernelLaunches {
    uint64 launches = 0, lanes = 0, steps = 0;
};
// Of every kernel so far.
std::map<std::string, KernelLaunches> launches_by_kernel();

}  // namespace microlift
