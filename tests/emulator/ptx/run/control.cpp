// Paths of a warp: the lanes at the lowest instruction run first, and meet the others where these
// wait.
#include <algorithm>
#include <cstdint>
#include <string>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

void Warp::set_active(std::uint32_t lanes) {
    active = lanes;
    full = lanes == kAllLanes;
    for (int l = 0; l < kLanes; ++l) mask[l] = lanes >> l & 1 ? ~0u : 0u;
}

namespace {

const Instruction* past_all() {
    return reinterpret_cast<const Instruction*>(~std::uintptr_t{0});
}

void find_next(Warp& w) {
    w.next = past_all();
    for (const Group& g : w.groups)
        if (!g.members) w.next = std::min(w.next, g.at);
}

void put(Warp& w, const Instruction* at, std::uint32_t lanes, std::uint32_t members) {
    for (Group& g : w.groups) {
        if (g.at == at && !g.members == !members) {
            g.lanes |= lanes;
            g.members |= members;
            return;
        }
    }
    w.groups.push_back({at, lanes, members});
    if (!members) w.next = std::min(w.next, at);
}

// Takes the groups at `at` out; their lanes.
std::uint32_t take(Warp& w, const Instruction* at, bool waiting) {
    std::uint32_t lanes = 0;
    std::erase_if(w.groups, [&](const Group& g) {
        if (g.at != at || waiting != (g.members != 0)) return false;
        lanes |= g.lanes;
        return true;
    });
    find_next(w);
    return lanes;
}

[[noreturn]] void fail_waiting(const Warp& w) {
    std::string text = "lanes of a warp wait for lanes that do not come:";
    for (const Group& g : w.groups) {
        char lanes[64];
        std::snprintf(lanes, sizeof lanes, " lanes 0x%08x at ", g.lanes);
        text += lanes + where(w, g.at) + ";";
    }
    fault(w, w.groups[0].at, std::countr_zero(w.groups[0].lanes), text);
}

// No lane is active: the group that is first goes on.
const Instruction* resume(Warp& w) {
    if (w.next != past_all()) {
        const Instruction* at = w.next;
        w.set_active(take(w, at, false));
        return at;
    }
    if (w.groups.empty()) {
        w.set_active(0);
        return nullptr;
    }
    // Lanes that have returned are waited for no more.
    for (const Group& g : w.groups) {
        if ((g.members & w.alive & ~g.lanes) == 0) {
            const Instruction* at = g.at;
            w.set_active(take(w, at, true));
            return at;
        }
    }
    fail_waiting(w);
}

// The active lanes go on at `at`, unless others stand there or before it.
const Instruction* settle(Warp& w, const Instruction* at) {
    if (at > w.next) {
        const std::uint32_t lanes = w.active;
        const Instruction* first = w.next;
        w.set_active(take(w, first, false));
        put(w, at, lanes, 0);
        return first;
    }
    if (at == w.next) w.set_active(w.active | take(w, at, false));
    return at;
}

const Instruction* join(Warp& w, const Instruction* i) {
    if (i >= w.next) return settle(w, i);  // and again
    count_lanes(w, i, w.active);
    return i + 1;
}

const Instruction* branch(Warp& w, const Instruction* i) {
    const Instruction* to = i + i->immediate;
    return to < w.next ? to : settle(w, to);
}

std::uint32_t holding(Warp& w, const Instruction* i) {
    const std::uint32_t* p = w.at<std::uint32_t>(i->slot[0]);
    std::uint32_t bits = 0;
    for (int l = 0; l < kLanes; ++l) bits |= (p[l] & 1u) << l;
    return (i->extra ? ~bits : bits) & w.active;
}

const Instruction* branch_if(Warp& w, const Instruction* i) {
    const std::uint32_t taken = holding(w, i), not_taken = w.active & ~taken;
    const Instruction *target = i + i->immediate, *to = target;
    if (not_taken) {
        to = i + 1;
        if (to->run != join) count_lanes(w, to, not_taken);
        if (taken) {
            const bool back = target < to;
            put(w, back ? to : target, back ? not_taken : taken, 0);
            w.set_active(back ? taken : not_taken);
            to = back ? target : to;
        }
    }
    return to < w.next ? to : settle(w, to);
}

const Instruction* branch_table(Warp& w, const Instruction* i) {
    const std::uint32_t* index = w.at<std::uint32_t>(i->slot[0]);
    const auto* table = reinterpret_cast<const std::int32_t*>(i->immediate);
    each_active(w, [&](int l) {
        if (index[l] >= i->extra)
            fault(w, i, l, "index " + std::to_string(index[l]) + " is not in the branch's table");
        put(w, i + table[index[l]], 1u << l, 0);
    });
    return resume(w);
}

const Instruction* guard(Warp& w, const Instruction* i) {
    const std::uint32_t all = w.active, lanes = holding(w, i);
    if (lanes == all) return i[1].run(w, i + 1);
    if (lanes == 0) return i + 2;
    w.set_active(lanes);
    i[1].run(w, i + 1);
    w.set_active(all);
    return i + 2;
}

const Instruction* leave(Warp& w, const Instruction*) {
    w.alive &= ~w.active;
    return resume(w);
}

const Instruction* invert(Warp& w, const Instruction* i) {
    const std::uint32_t* a = w.at<std::uint32_t>(i->slot[1]);
    each_lane(w, w.at<std::uint32_t>(i->slot[0]), [&](int l) { return ~a[l]; });
    return i + 1;
}

const Instruction* trap(Warp& w, const Instruction* i) {
    fault(w, i, std::countr_zero(w.active), "the kernel traps");
}

const Instruction* call(Warp& w, const Instruction* i) {
    fault(w, i, std::countr_zero(w.active),
          "a function is called, which is not part of this device (an assertion?)");
}

const Instruction* nothing(Warp&, const Instruction* i) {
    return i + 1;
}

// --- barriers
// -------------------------------------------------------------------------------------

// bar.sync id[, threads]: all of the warp, then the block brings the warps together.
const Instruction* barrier(Warp& w, const Instruction* i) {
    const Instruction* other = nullptr;
    if (!together(w, i, kAllLanes, other)) return other;
    const int lane = std::countr_zero(w.active);
    const std::uint32_t* slots = i->slot + (i->extra & 15u);
    w.barrier = i;
    w.barrier_id = static_cast<int>(w.at<std::uint32_t>(slots[0])[lane]) & 15;
    w.barrier_count = i->extra & 16u ? static_cast<int>(w.at<std::uint32_t>(slots[1])[lane]) : 0;
    return nullptr;
}

const Instruction* arrive(Warp& w, const Instruction* i) {
    const Instruction* other = nullptr;
    if (!together(w, i, kAllLanes, other)) return other;
    w.block->arrived[w.at<std::uint32_t>(i->slot[0])[std::countr_zero(w.active)] & 15] += kLanes;
    return i + 1;
}

// bar.warp.sync members
const Instruction* warp_barrier(Warp& w, const Instruction* i) {
    const Instruction* other = nullptr;
    std::uint32_t members = 0;
    each_active(w, [&](int l) { members |= w.at<std::uint32_t>(i->slot[0])[l]; });
    return together(w, i, members, other) ? i + 1 : other;
}

}  // namespace

bool together(Warp& w, const Instruction* at, std::uint32_t members, const Instruction*& next) {
    std::uint32_t waiting = 0;
    if (!w.groups.empty()) {
        for (const Group& g : w.groups)
            if (g.at == at && g.members) members |= g.members;
        waiting = take(w, at, true);
    }
    if (waiting) w.set_active(w.active | waiting);
    if ((members & w.alive & ~w.active) == 0) {
        ++w.syncs;
        return true;
    }
    put(w, at, w.active, members);
    next = resume(w);
    return false;
}

const Handler kJoin = join, kGuard = guard, kBranch = branch, kBranchIf = branch_if, kEnd = leave,
              kNot = invert;

Operation select_control(const Opcode& o, const Shape& shape) {
    Operation op;
    op.outputs = 0;
    op.parts_ways = true;
    op.types.assign(shape.operands(), Type::u32);
    if (o.base == "ret" || o.base == "exit") op.run = leave;
    if (o.base == "brx") op.run = branch_table;
    if (o.base == "trap" || o.base == "brkpt") op.run = trap;
    if (o.base == "call") op.run = call;
    if (o.base == "membar" || o.base == "fence" || o.base == "nanosleep" || o.base == "pmevent" ||
        o.base == "griddepcontrol") {  // launches are in order here
        op.run = nothing;
        op.parts_ways = false;
    }
    if ((o.base != "bar" && o.base != "barrier") || o.has("cluster")) return op;
    if (o.has("warp")) {
        op.run = warp_barrier;
    } else if (o.has("arrive")) {
        op.run = arrive;
    } else if (o.has("red")) {  // bar.red.or.pred d, id, [threads,] [!]p
        const bool counted = shape.operands() == 4;
        op.run = barrier;
        op.outputs = 1;
        op.types[0] = o.has("popc") ? Type::u32 : Type::pred;
        op.types.back() = Type::pred;
        op.extra = 1u | (counted ? 16u : 0u) | (o.has("popc") ? 32u : o.has("and") ? 64u : 128u);
    } else if (o.has("sync")) {
        op.run = barrier;
        op.extra = shape.operands() == 2 ? 16u : 0u;
    }
    return op;
}

}  // namespace emulator
