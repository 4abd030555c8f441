#include "tests/emulator/ptx/decode/items.h"
#include "tests/emulator/ptx/decode/program.h"

namespace emulator {

namespace {

void jump(const Item& item, std::size_t from, Instruction& i, Program& program) {
    if (item.targets.empty()) return;
    const auto by = [&](std::size_t to) {
        return static_cast<std::int32_t>(to) - static_cast<std::int32_t>(from);
    };
    i.immediate = by(item.targets[0]);
    if (item.run == kBranch || item.run == kBranchIf) return;
    auto table = std::make_unique<std::int32_t[]>(item.targets.size());
    for (std::size_t k = 0; k < item.targets.size(); ++k) table[k] = by(item.targets[k]);
    i.immediate = reinterpret_cast<std::int64_t>(table.get());
    i.extra = static_cast<std::uint32_t>(item.targets.size());
    program.tables.push_back(std::move(table));
}

}  // namespace

std::unique_ptr<Program> encode(const Draft& draft) {
    auto program = std::make_unique<Program>();
    const Allocation allocation = allocate(draft.items, draft.widths);
    program->live_bytes = program->file_bytes = allocation.bytes;
    std::vector<std::uint32_t> constant_slots(draft.constants.size()),
        special_slots(draft.specials.size());
    const auto room = [&](std::size_t bytes) {
        program->file_bytes = (program->file_bytes + 63) / 64 * 64;
        const auto slot = static_cast<std::uint32_t>(program->file_bytes);
        program->file_bytes += bytes * kLanes;
        return slot;
    };
    for (const auto& [key, index] : draft.constants) {
        const std::uint32_t slot = constant_slots[static_cast<std::size_t>(index)] =
            room(key.first);
        program->constants.push_back({slot, static_cast<std::uint32_t>(key.first), key.second});
    }
    for (const auto& [key, index] : draft.specials) {
        const std::uint32_t slot = special_slots[static_cast<std::size_t>(index)] = room(key.first);
        program->specials.push_back({slot, key.second});
    }
    for (std::size_t k = 0; k < draft.items.size(); ++k) {
        const Item& item = draft.items[k];
        Instruction i;
        i.run = item.run;
        i.immediate = item.immediate;
        i.line = static_cast<std::uint32_t>(item.line);
        i.extra = item.extra;
        i.kind = item.kind;
        const std::size_t n = item.places.size();
        auto list = std::make_unique<std::uint32_t[]>(n);
        for (std::size_t p = 0; p < n; ++p) {
            const Place& place = item.places[p];
            const auto index = static_cast<std::size_t>(place.index);
            list[p] = place.kind == Place::Kind::reg        ? allocation.slot[index]
                      : place.kind == Place::Kind::constant ? constant_slots[index]
                                                            : special_slots[index];
            if (p < std::size(i.slot)) i.slot[p] = list[p];
        }
        if (n > std::size(i.slot)) {
            i.more = list.get();
            program->lists.push_back(std::move(list));
        }
        jump(item, k, i, *program);
        program->code.push_back(i);
        program->opcodes.push_back(item.opcode);
    }
    program->entered.assign(program->code.size() + 1, 0);
    return program;
}

}  // namespace emulator
