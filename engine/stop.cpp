#include "engine/stop.h"

#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstring>
#include <string>

#include "engine/embedded.h"
#include "engine/error.h"
#include "engine/stop_together.h"

namespace microlift {
namespace {

std::atomic<int> stop_signal{0};
std::atomic<double> stopped_at{0.0};
std::atomic<int> holders{0};
std::atomic<bool> told{false};  // the signal came to another process, and may still come to this one
std::atomic<bool> silent{false};
std::atomic<double> grace{kGraceSeconds};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<double>::is_always_lock_free);

double now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// What the handlers remove: paths in fixed places, since they may call little more than unlink.
constexpr int kPlaces = 32;
constexpr std::size_t kMostPath = 4096;
struct Place {
    std::atomic<bool> taken{false}, filled{false};
    char path[kMostPath] = {};
};
Place places[kPlaces];

// The wall time: where it ends, on the clock of now(), and how long before that work is told.
constexpr double kLeastMargin = 2;
constexpr double kUnwritten = 0.1;  // of the margin, in which a process ends
struct Wall {
    bool set = false;
    timer_t timer{};
    std::atomic<double> whole{0}, end{0}, margin{kLeastMargin};
};
Wall wall;

[[noreturn]] void end_at_once(int signal) {
    remove_unfinished();
    _exit(signal == kWallTime ? kWallTimeStatus : 128 + signal);
}

void on_alarm(int) {
    constexpr char kMessage[] = "microlift: stopped at once; continue with --resume\n";
    if (!silent) {
        [[maybe_unused]] const auto said = ::write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
    }
    end_at_once(stop_signal);
}

void on_signal(int signal) {
    if (stop_signal != 0 && stop_signal != kWallTime) {
        if (told.exchange(false)) return;
        end_at_once(signal);
    }
    grace = kGraceSeconds;
    stopped_at = now();
    stop_signal = signal;
    ::alarm(kMostSeconds);
}

void on_wall_time(int) {
    if (stop_signal != 0) {
        return;
    }
    grace = wall.margin.load();
    stopped_at = now();
    stop_signal = kWallTime;
    // What has not looked by then ends at once, to the fraction of a second that alarm() does not know.
    itimerval at_last{};
    const double left = std::max(1e-3, wall.end - now() - kUnwritten * wall.margin);
    at_last.it_value.tv_sec = static_cast<time_t>(left);
    at_last.it_value.tv_usec = static_cast<suseconds_t>(1e6 * (left - std::floor(left)));
    setitimer(ITIMER_REAL, &at_last, nullptr);
}

void arm_wall() {
    const double left = std::max(1e-3, wall.end - wall.margin - now());
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(left);
    when.it_value.tv_nsec = static_cast<long>(1e9 * (left - std::floor(left)));
    timer_settime(wall.timer, 0, &when, nullptr);
}

}  // namespace

void remove_unfinished() {
    for (Place& place : places) {
        if (place.filled) {
            ::unlink(place.path);
        }
    }
}

void stop_as_told(int signal) {
    if (signal == kWallTime) return on_wall_time(0);  // all know when it ends
    if (stop_signal != 0) return;
    told = true;
    stopped_at = now();
    stop_signal = signal;
    ::alarm(kMostSeconds);
}

void stop_silently() { silent = true; }

void install_signal_handlers() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    // A terminal that closes and a batch system's limit, unless someone wants them ignored (nohup).
    for (const int signal : {SIGHUP, SIGXCPU}) {
        struct sigaction before {};
        sigaction(signal, nullptr, &before);
        if (before.sa_handler != SIG_IGN) {
            sigaction(signal, &action, nullptr);
        }
    }
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

void set_wall_time(double seconds) {
    struct sigaction action {};
    action.sa_handler = on_wall_time;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(SIGRTMIN, &action, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN;
    if (timer_create(CLOCK_MONOTONIC, &event, &wall.timer) != 0) {
        throw InputError("--wall-time: the system gives no timer; stop the run by a signal instead");
    }
    wall.set = true;
    wall.whole = seconds;
    wall.end = now() + seconds;
    wall.margin = std::min(kLeastMargin, 0.5 * seconds);
    arm_wall();
}

void expect_checkpoint(double seconds) {
    if (!wall.set || stop_signal != 0) return;
    wall.margin = std::min(kLeastMargin + 2 * seconds, 0.5 * wall.whole);
    arm_wall();
}

void ignore_write_signals() { std::signal(SIGXFSZ, SIG_IGN); }

void request_stop(int signal) {
    stopped_at = now();
    stop_signal = signal;
}

void forget_stop() { stop_signal = 0; }

int pending_signal() { return stop_signal.load(std::memory_order_relaxed); }

void throw_if_stopped() {
    if (const int signal = pending_signal()) {
        throw Interrupted(signal);
    }
}

void check_stop() {
    if (pending_signal() != 0 && (holders == 0 || now() - stopped_at > grace)) {
        throw_if_stopped();
    }
}

StopLater::StopLater() { ++holders; }
StopLater::~StopLater() { --holders; }

void RemovedAtStop::watch(const std::string& path) {
    forget();
    for (int i = 0; i < kPlaces && path.size() < kMostPath; ++i) {
        if (places[i].taken.exchange(true)) {
            continue;
        }
        std::memcpy(places[i].path, path.c_str(), path.size() + 1);
        places[i].filled = true;
        place_ = i;
        return;
    }
}

void RemovedAtStop::forget() {
    if (place_ >= 0) {
        places[place_].filled = false;
        places[place_].taken = false;
        place_ = -1;
    }
}

}  // namespace microlift
