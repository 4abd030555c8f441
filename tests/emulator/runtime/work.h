// Work that the device has been asked for and has not done yet, and the order in which it is done: any that the
// dependencies allow, chosen by a seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/emulator/runtime/rivals.h"

namespace emulator {

struct Work;
using WorkPtr = std::shared_ptr<Work>;

// What work is about: for messages, and for what must not happen beside it.
struct Task {
    std::string what;
    std::vector<Use> uses;  // of memory, where they are known
};

struct Work : Task {
    std::function<void()> run;  // may be empty: a meeting point
    const void* stream = nullptr;
    bool late = false;          // of the legacy stream: done as late as may be
    bool done = false;
    std::uint64_t number = 0, seen = 0;  // its place in the order of calls; how much was done before it came
    int waits = 0;                       // for so many others
    std::vector<WorkPtr> before, after;
};

class Scheduler {
public:
    // Seed 0: nothing is done before it is needed, and then in the order of calls. Others differ in how eager
    // the device is and in what it prefers.
    explicit Scheduler(std::uint64_t seed);
    ~Scheduler() { drop_all(); }

    WorkPtr add(const Task& task, std::function<void()> run, const std::vector<WorkPtr>& before,
                const void* stream, bool late = false);
    // Does it, what it waits for, and by the seed some of what else is ready.
    void finish(const WorkPtr& work);
    void finish_all();
    // What the device may do by itself between two calls of the host.
    void stir();
    // One piece of work, if there is any: the host polls.
    void step();

    std::size_t pending() const { return pending_.size(); }
    // What has not been done, in the order of calls.
    std::vector<std::string> left() const;
    void drop_all();

private:
    using Wanted = std::function<bool(const Work&)>;
    bool chance(double probability);
    WorkPtr pick(const Wanted& wanted);
    bool may_run_by_itself(const Work& work) const;
    void run(const WorkPtr& work);
    void run_beside_rivals(const Work& work, const std::function<void()>& call);
    std::vector<const Work*> rivals_of(const Work& work) const;

    std::mt19937_64 random_;
    double eager_ = 0;              // that the device does something between two calls
    double aside_ = 0;              // that it does something else while the host waits
    enum { kOldest, kNewest, kAny } preferred_ = kOldest;  // of what is ready
    std::uint64_t late_after_ = 0;  // work done before late work may run by itself; 0: never
    std::uint64_t added_ = 0, done_ = 0;
    std::map<std::uint64_t, WorkPtr> pending_, ready_;  // ready: waits for nothing
};

}  // namespace emulator
