#pragma once

#include <chrono>
#include <string>

#include "engine/device/buffer.h"
#include "sampling/run/launches.h"
#include "sampling/run/products.h"

namespace microlift {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// What a stage took; adds up over interruptions and rounds.
class StageMeter {
public:
    StageMeter(Record& record, const std::string& stage)
        : record_(record), stage_(stage), start_(Clock::now()), before_(transfer_counters()) {}
    void work(double steps, double force_evaluations) {
        cost_.steps += steps;
        cost_.force_evaluations += force_evaluations;
    }
    ~StageMeter() {
        const TransferCounters now = transfer_counters();
        cost_.seconds = seconds_since(start_);
        cost_.bytes_to_device = static_cast<double>(now.bytes_to_device - before_.bytes_to_device);
        cost_.bytes_to_host = static_cast<double>(now.bytes_to_host - before_.bytes_to_host);
        cost_.kernel_launches = static_cast<double>(now.kernel_launches - before_.kernel_launches);
        record_.add_cost(stage_, cost_);
        launches_.write(stage_, cost_.steps);
    }

private:
    Record& record_;
    std::string stage_;
    Clock::time_point start_;
    TransferCounters before_;
    StageCost cost_;
    StageLaunches launches_;
};

}  // namespace microlift
