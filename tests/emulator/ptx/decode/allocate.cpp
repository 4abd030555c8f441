#include <algorithm>
#include <map>
#include <numeric>

#include "tests/emulator/ptx/decode/items.h"

namespace emulator {

namespace {

using Set = std::vector<std::uint64_t>;
bool test(const Set& s, std::size_t i) {
    return s[i / 64] >> (i % 64) & 1;
}
void put(Set& s, std::size_t i) {
    s[i / 64] |= std::uint64_t{1} << (i % 64);
}

struct Stretch {  // a basic block
    std::size_t begin, end;
    std::vector<std::size_t> next;
    Set reads, writes, in, out;  // reads: before any write
};

bool ends_stretch(const Item& item) {
    return !item.targets.empty() || !item.falls_through;
}

std::vector<Stretch> stretches(const std::vector<Item>& items, std::size_t registers) {
    std::vector<bool> leads(items.size() + 1, false);
    leads[0] = true;
    for (std::size_t k = 0; k < items.size(); ++k) {
        for (const std::size_t t : items[k].targets) leads[t] = true;
        if (ends_stretch(items[k])) leads[k + 1] = true;
    }
    std::vector<Stretch> result;
    std::vector<std::size_t> of(items.size() + 1, 0);
    for (std::size_t k = 0; k < items.size(); ++k) {
        if (leads[k]) {
            const Set none((registers + 63) / 64, 0);
            result.push_back({k, k, {}, none, none, none, none});
        }
        of[k] = result.size() - 1;
        result.back().end = k + 1;
    }
    for (Stretch& s : result) {
        const Item& last = items[s.end - 1];
        for (const std::size_t t : last.targets) s.next.push_back(of[t]);
        if (last.falls_through && s.end < items.size()) s.next.push_back(of[s.end]);
    }
    return result;
}

void uses(const std::vector<Item>& items, Stretch& s) {
    for (std::size_t k = s.begin; k < s.end; ++k) {
        const Item& item = items[k];
        for (std::size_t p = 0; p < item.places.size(); ++p) {
            if (item.places[p].kind != Place::Kind::reg || (p < item.outputs && !item.keeps))
                continue;
            const auto r = static_cast<std::size_t>(item.places[p].index);
            if (!test(s.writes, r)) put(s.reads, r);
        }
        for (std::size_t p = 0; p < item.outputs; ++p)
            if (item.places[p].kind == Place::Kind::reg)
                put(s.writes, static_cast<std::size_t>(item.places[p].index));
    }
}

void flow(std::vector<Stretch>& all) {
    for (bool changed = true; changed;) {
        changed = false;
        for (auto s = all.rbegin(); s != all.rend(); ++s) {
            for (std::size_t w = 0; w < s->in.size(); ++w) {
                std::uint64_t out = 0;
                for (const std::size_t n : s->next) out |= all[n].in[w];
                const std::uint64_t in = s->reads[w] | (out & ~s->writes[w]);
                changed |= in != s->in[w];
                s->out[w] = out;
                s->in[w] = in;
            }
        }
    }
}

struct Interval {
    std::size_t from = SIZE_MAX, to = 0;
    void cover(std::size_t at) {
        from = std::min(from, at);
        to = std::max(to, at);
    }
};

// An instruction reads at 2k and writes at 2k + 1, several outputs at 2k.
std::vector<Interval> intervals(const std::vector<Item>& items, const std::vector<Stretch>& all,
                                std::size_t registers) {
    std::vector<Interval> result(registers);
    for (const Stretch& s : all) {
        for (std::size_t r = 0; r < registers; ++r) {
            if (test(s.in, r)) result[r].cover(2 * s.begin);
            if (test(s.out, r)) result[r].cover(2 * s.end - 1);
        }
    }
    for (std::size_t k = 0; k < items.size(); ++k) {
        const Item& item = items[k];
        for (std::size_t p = 0; p < item.places.size(); ++p) {
            if (item.places[p].kind != Place::Kind::reg) continue;
            Interval& interval = result[static_cast<std::size_t>(item.places[p].index)];
            const bool written = p < item.outputs;
            if (!written || item.keeps || item.outputs > 1) interval.cover(2 * k);
            if (written) interval.cover(2 * k + 1);
        }
    }
    return result;
}

}  // namespace

Allocation allocate(const std::vector<Item>& items, const std::vector<std::size_t>& widths) {
    std::vector<Stretch> all = stretches(items, widths.size());
    for (Stretch& s : all) uses(items, s);
    flow(all);
    const std::vector<Interval> interval = intervals(items, all, widths.size());
    std::vector<std::size_t> order(widths.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](auto a, auto b) { return interval[a].from < interval[b].from; });
    Allocation result;
    result.slot.assign(widths.size(), 0);
    struct Pool {
        std::vector<std::uint32_t> free;
        std::multimap<std::size_t, std::uint32_t> busy;  // by the end of the interval
    };
    std::map<std::size_t, Pool> pools;
    for (const std::size_t r : order) {
        if (interval[r].from == SIZE_MAX) continue;
        Pool& pool = pools[widths[r]];
        while (!pool.busy.empty() && pool.busy.begin()->first < interval[r].from) {
            pool.free.push_back(pool.busy.begin()->second);
            pool.busy.erase(pool.busy.begin());
        }
        if (pool.free.empty()) {
            pool.free.push_back(static_cast<std::uint32_t>(result.bytes));
            result.bytes += widths[r] * kLanes;
        }
        result.slot[r] = pool.free.back();
        pool.free.pop_back();
        pool.busy.emplace(interval[r].to, result.slot[r]);
    }
    return result;
}

}  // namespace emulator
