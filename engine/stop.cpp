#include "engine/stop.h"

#include <time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <string>

#include "engine/error.h"
#include "engine/stop_together.h"

namespace microlift {
namespace {

std::atomic<int> stop_signal{0};
std::atomic<double> stopped_at{0.0};
std::atomic<int> holders{0};
std::atomic<bool> told{false};  // the signal came to another process, and may still come to this one
std::atomic<bool> silent{false};
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

[[noreturn]] void end_at_once(int signal) {
    remove_unfinished();
    _exit(128 + signal);
}

void on_alarm(int) {
    constexpr char kMessage[] = "microlift: stopped by a signal; continue with --resume\n";
    if (!silent) {
        [[maybe_unused]] const auto said = ::write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
    }
    end_at_once(stop_signal);
}

void on_signal(int signal) {
    if (stop_signal != 0) {
        if (told.exchange(false)) return;
        end_at_once(signal);
    }
    stopped_at = now();
    stop_signal = signal;
    ::alarm(kMostSeconds);
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

void ignore_write_signals() { std::signal(SIGXFSZ, SIG_IGN); }

int pending_signal() { return stop_signal.load(std::memory_order_relaxed); }

void throw_if_stopped() {
    if (const int signal = pending_signal()) {
        throw Interrupted(signal);
    }
}

void check_stop() {
    if (pending_signal() != 0 && (holders == 0 || now() - stopped_at > kGraceSeconds)) {
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
