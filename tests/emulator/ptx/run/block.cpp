#include <cxxabi.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "tests/emulator/fault.h"
#include "tests/emulator/ptx/decode/kernel.h"
#include "tests/emulator/ptx/run/prepare.h"

namespace emulator {

namespace {

std::string triple(unsigned x, unsigned y, unsigned z) {
    return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
}

std::string readable(const std::string& name) {
    int status = 0;
    char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    const std::string result = status == 0 ? text : name;
    std::free(text);
    return result;
}

// bar.red: what all threads that wait there get.
void reduce(Block& b, int id) {
    int count = 0, threads = 0;
    const auto waiting = [&](const Warp& w) {
        return w.barrier && w.barrier_id == id && w.barrier->extra & (32u | 64u | 128u);
    };
    const auto predicate = [](const Instruction* i) { return i->slot[i->extra & 16u ? 3 : 2]; };
    for (Warp& w : b.warps) {
        if (!waiting(w)) continue;
        for (int l = 0; l < kLanes; ++l) {
            threads += w.active >> l & 1;
            count +=
                static_cast<int>(w.active >> l & 1 & w.at<std::uint32_t>(predicate(w.barrier))[l]);
        }
    }
    for (Warp& w : b.warps) {
        if (!waiting(w)) continue;
        const std::uint32_t kind = w.barrier->extra;
        const bool holds = kind & 64u ? count == threads : count > 0;
        const std::uint32_t value = kind & 32u ? static_cast<std::uint32_t>(count)
                                    : holds    ? ~0u
                                               : 0u;
        for (int l = 0; l < kLanes; ++l)
            if (w.active >> l & 1) w.at<std::uint32_t>(w.barrier->slot[0])[l] = value;
    }
}

// All warps have stopped. Lets those go on whose barrier is complete; false: all have returned.
bool release(Block& b) {
    const Warp* first = nullptr;
    for (const Warp& w : b.warps)
        if (w.barrier && !first) first = &w;
    if (!first) return false;
    bool any = false;
    for (int id = 0; id < 16; ++id) {
        int count = 0, there = b.arrived[id], alive = 0;
        const Warp* one = nullptr;
        for (const Warp& w : b.warps) {
            alive += w.alive ? kLanes : 0;
            if (!w.barrier || w.barrier_id != id) continue;
            if (one && !w.barrier_count && one->barrier != w.barrier)
                fault(w, w.barrier, std::countr_zero(w.active),
                      "warps of a block wait at different barriers: warp " +
                          std::to_string(one->number) + " at " + where(*one, one->barrier));
            one = &w;
            there += kLanes;
            count = w.barrier_count;
        }
        if (!one || there < (count ? count : alive)) continue;
        reduce(b, id);
        for (Warp& w : b.warps)
            if (w.barrier && w.barrier_id == id) w.barrier_id = -1;  // free
        b.arrived[id] = 0;
        any = true;
    }
    if (!any)
        fault(*first, first->barrier, std::countr_zero(first->active),
              "a barrier that not all threads reach");
    b.races.next_interval();
    return true;
}

void run_block(Block& b, const Program& program, std::uint64_t seed) {
    start(b, program);
    std::vector<Warp*> order;
    for (Warp& w : b.warps) order.push_back(&w);
    bool begun = false;
    do {
        if (seed) {  // another order in every interval
            for (std::size_t k = order.size(); k > 1; --k) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                std::swap(order[k - 1], order[(seed >> 33) % k]);
            }
        }
        for (Warp* w : order) {
            if (begun && (!w->barrier || w->barrier_id >= 0))
                continue;  // it has returned, or waits
            const Instruction* at = begun ? w->barrier + 1 : b.code;
            w->barrier = nullptr;
            while (at) at = at->run(*w, at);
        }
        begun = true;
    } while (release(b));
}

}  // namespace

std::string where(const Warp& w, const Instruction* at) {
    return "PTX line " + std::to_string(at->line) + " `" +
           std::string(w.block->kernel->line(static_cast<int>(at->line))) + "`";
}

void fault(const Warp& w, const Instruction* at, int lane, const std::string& what) {
    const Block& b = *w.block;
    const unsigned thread = static_cast<unsigned>(w.number * kLanes + lane);
    throw Fault(
        "kernel " + readable(b.kernel->name()) + ", block " +
        triple(b.index.x, b.index.y, b.index.z) + ", thread " +
        triple(thread % b.size.x, thread / b.size.x % b.size.y, thread / b.size.x / b.size.y) +
        ", " + where(w, at) + ": " + what);
}

namespace {

// Tickets in ascending order, so that a block only ever waits for one that runs or has ended.
struct Launch {
    const Kernel& kernel;
    const Program& program;
    Dim3 grid, size;
    std::size_t dynamic_shared;
    std::span<const std::byte> parameters;
    const Execution& execution;
    std::atomic<std::uint64_t> ticket{0};
    std::mutex mutex;
    std::exception_ptr error;
    std::uint64_t error_at = ~std::uint64_t{0};

    void work() {
        std::unique_ptr<Block> block = kernel.take_block();
        Block& b = *block;
        prepare(b, program, grid, size, dynamic_shared);
        b.kernel = &kernel;
        b.parameters = parameters.data();
        b.parameter_bytes = parameters.size();
        b.check_races = execution.check_races;
        b.whole_warps = execution.whole_warps;
        const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
        for (std::uint64_t n; (n = ticket++) < blocks && n < error_at;) {
            b.index = {static_cast<unsigned>(n % grid.x),
                       static_cast<unsigned>(n / grid.x % grid.y),
                       static_cast<unsigned>(n / grid.x / grid.y)};
            try {
                run_block(b, program,
                          execution.order ? execution.order + n * 0x9e3779b97f4a7c15u : 0);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (n < error_at) error = std::current_exception(), error_at = n;
            }
        }
        kernel.keep_block(std::move(block));
    }
};

}  // namespace

void execute(const Kernel& kernel, Dim3 grid, Dim3 size, std::size_t dynamic_shared,
             std::span<const std::byte> parameters, const Execution& execution) {
    const KernelFacts& facts = kernel.facts();
    const std::uint64_t threads = std::uint64_t{size.x} * size.y * size.z;
    if (threads == 0 || threads > static_cast<std::uint64_t>(facts.max_threads))
        throw Fault("kernel " + readable(kernel.name()) + ": " + std::to_string(threads) +
                    " threads a block, of at most " + std::to_string(facts.max_threads));
    if (parameters.size() < facts.parameter_bytes)
        throw Fault("kernel " + readable(kernel.name()) + ": " + std::to_string(parameters.size()) +
                    " bytes of parameters, not " + std::to_string(facts.parameter_bytes));
    Launch launch{kernel,     kernel.program(), grid, size, dynamic_shared,
                  parameters, execution,        {},   {},   {}};
    const int workers = launch.program.ordered ? 1 : execution.threads;
    std::vector<std::thread> others;
    for (int k = 1; k < workers; ++k) others.emplace_back([&] { launch.work(); });
    launch.work();
    for (std::thread& t : others) t.join();
    if (launch.error) std::rethrow_exception(launch.error);
}

}  // namespace emulator
