#include "tests/emulator/runtime/work.h"

#include <unordered_set>

#include "tests/emulator/fault.h"

namespace emulator {

namespace {

// About what a device's queues hold; then the host has to wait.
constexpr std::size_t kMostPending = 4096;

// A piece of work and all that it waits for.
std::unordered_set<const Work*> needed_for(const Work& work) {
    std::unordered_set<const Work*> found{&work};
    std::vector<const Work*> open{&work};
    while (!open.empty()) {
        const Work* next = open.back();
        open.pop_back();
        for (const WorkPtr& other : next->before)
            if (!other->done && found.insert(other.get()).second) open.push_back(other.get());
    }
    return found;
}

}  // namespace

Scheduler::Scheduler(std::uint64_t seed) : random_(seed) {
    if (seed == 0) return;
    const double eagerness[] = {0, 0.1, 0.4, 0.9}, asides[] = {0.1, 0.5, 0.9};
    const std::uint64_t lateness[] = {0, 1, 2, 5};
    eager_ = eagerness[random_() % 4];
    aside_ = asides[random_() % 3];
    preferred_ = static_cast<decltype(preferred_)>(random_() % 3);
    late_after_ = lateness[random_() % 4];
}

bool Scheduler::chance(double probability) {
    return probability > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

WorkPtr Scheduler::add(const Task& task, std::function<void()> run,
                       const std::vector<WorkPtr>& before, const void* stream, bool late) {
    while (pending_.size() >= kMostPending) step();
    auto work = std::make_shared<Work>();
    static_cast<Task&>(*work) = task;
    work->run = std::move(run);
    work->stream = stream;
    work->late = late;
    work->number = ++added_;
    work->seen = done_;
    for (const WorkPtr& other : before) {
        if (!other || other->done) continue;
        other->after.push_back(work);
        work->before.push_back(other);
        ++work->waits;
    }
    pending_.emplace(work->number, work);
    if (work->waits == 0) ready_.emplace(work->number, work);
    return work;
}

void Scheduler::run(const WorkPtr& work) {
    pending_.erase(work->number);
    ready_.erase(work->number);
    work->done = true;
    ++done_;
    const std::function<void()> call = std::move(work->run);
    work->run = nullptr;
    const std::vector<WorkPtr> after = std::move(work->after);
    if (call) {
        work->after = after;
        run_beside_rivals(*work, call);
    }
    for (const WorkPtr& next : after)
        if (--next->waits == 0) ready_.emplace(next->number, next);
    work->after.clear();
    work->before.clear();
}

void Scheduler::run_beside_rivals(const Work& work, const std::function<void()>& call) {
    std::vector<Use> hidden;
    std::string beside;
    for (const Work* rival : rivals_of(work))
        for (const Use& use : rival->uses) {
            for (const Use& own : work.uses)
                if (conflict(own, use))
                    throw Fault(work.what + " and " + rival->what + " use the same memory in no order");
            if (use.writes && work.uses.empty()) {
                hidden.push_back(use);
                beside = " (nothing orders it and " + rival->what + ")";
            }
        }
    try {
        const Hidden guard(std::move(hidden));
        call();
    } catch (const Fault& fault) {
        throw Fault(work.what + ": " + fault.what() + beside);
    }
}

// Of the work to come, what other streams were given and what does not wait for this.
std::vector<const Work*> Scheduler::rivals_of(const Work& work) const {
    std::vector<const Work*> found;
    for (const auto& [number, other] : pending_)
        if (!other->uses.empty() && other->stream != work.stream) found.push_back(other.get());
    if (found.empty()) return found;
    std::unordered_set<const Work*> later{&work};
    std::vector<const Work*> open{&work};
    while (!open.empty()) {
        const Work* next = open.back();
        open.pop_back();
        for (const WorkPtr& other : next->after)
            if (later.insert(other.get()).second) open.push_back(other.get());
    }
    std::erase_if(found, [&](const Work* other) { return later.contains(other); });
    return found;
}

bool Scheduler::may_run_by_itself(const Work& work) const {
    return !work.late || (late_after_ > 0 && done_ - work.seen >= late_after_);
}

// Late work only where nothing else is wanted and ready.
WorkPtr Scheduler::pick(const Wanted& wanted) {
    std::vector<WorkPtr> found, late;
    for (const auto& [number, work] : ready_) {
        if (!wanted(*work)) continue;
        (work->late ? late : found).push_back(work);
        if (preferred_ == kOldest && !work->late) break;
    }
    if (found.empty()) found = std::move(late);
    if (found.empty()) return nullptr;
    if (preferred_ == kAny) return found[random_() % found.size()];
    return preferred_ == kOldest ? found.front() : found.back();
}

void Scheduler::finish(const WorkPtr& work) {
    if (!work || work->done) return;
    const auto needed = needed_for(*work);
    const auto is_needed = [&](const Work& w) { return needed.contains(&w); };
    const auto is_aside = [&](const Work& w) { return !is_needed(w) && may_run_by_itself(w); };
    while (!work->done) {
        WorkPtr next = chance(aside_) ? pick(is_aside) : nullptr;
        if (!next) next = pick(is_needed);
        run(next);
    }
}

void Scheduler::finish_all() {
    while (!pending_.empty()) step();
}

void Scheduler::stir() {
    while (chance(eager_)) {
        const WorkPtr next = pick([&](const Work& w) { return may_run_by_itself(w); });
        if (!next) return;
        run(next);
    }
}

void Scheduler::step() {
    if (const WorkPtr next = pick([](const Work&) { return true; })) run(next);
}

std::vector<std::string> Scheduler::left() const {
    std::vector<std::string> names;
    for (const auto& [number, work] : pending_)
        if (work->run) names.push_back(work->what);
    return names;
}

void Scheduler::drop_all() {
    for (const auto& [number, work] : pending_) {
        work->done = true;
        work->before.clear();
        work->after.clear();
        work->run = nullptr;
    }
    ready_.clear();
    pending_.clear();
}

}  // namespace emulator
