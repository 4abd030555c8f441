// How a long piece of work learns that it should stop. The engine asks between the pieces of every
// launch; loops of the host that may take seconds ask by themselves.
#pragma once

#include <string>

namespace microlift {

// SIGINT and SIGTERM set a flag. A second one of them, or work that does not look at the flag within
// kMostSeconds, ends the process at once: files are whole or absent at any moment, so nothing is lost but
// what was done since the last checkpoint. A closed pipe behind stderr ends nothing.
void install_signal_handlers();
// A file that outgrows its limit becomes an error of the write that met it.
void ignore_write_signals();

// So many seconds from now everything has to be over, the last checkpoint included: what that takes before the
// end, pending_signal() is kWallTime. Once, before work begins.
void set_wall_time(double seconds);
// What the last checkpoint took; the next may take twice that.
void expect_checkpoint(double seconds);

int pending_signal();     // 0, the signal that came, or kWallTime
void throw_if_stopped();  // Interrupted, if one came
// Likewise, but while a StopLater lives only kGraceSeconds after the signal. Costs a load.
void check_stop();

inline constexpr double kGraceSeconds = 1.5;
inline constexpr unsigned kMostSeconds = 3;

// Held by work that looks for the signal itself, where it can keep what it has: check_stop() leaves it
// the time to get there, and gives up what was done since the last checkpoint if it does not.
class StopLater {
public:
    StopLater();
    ~StopLater();
    StopLater(const StopLater&) = delete;
    StopLater& operator=(const StopLater&) = delete;
};

// A file that a process ended at once takes with it.
class RemovedAtStop {
public:
    RemovedAtStop() = default;
    ~RemovedAtStop() { forget(); }
    RemovedAtStop(const RemovedAtStop&) = delete;
    RemovedAtStop& operator=(const RemovedAtStop&) = delete;
    // From here on `path` is removed when the process ends at once, until it is forgotten.
    void watch(const std::string& path);
    void forget();

private:
    int place_ = -1;
};

}  // namespace microlift
