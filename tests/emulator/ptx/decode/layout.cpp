#include "tests/emulator/ptx/decode/layout.h"

#include <set>

namespace emulator {

namespace {

std::size_t round_up(std::size_t x, std::size_t to) {
    return (x + to - 1) / to * to;
}

void names(const Operand& o, std::set<std::string_view>& into) {
    if (o.kind == Operand::Kind::name) into.insert(o.name);
    for (const Operand& part : o.parts) names(part, into);
}

}  // namespace

Layout::Layout(const Symbols& symbols, const Entry& entry, const Body& body) : symbols_(symbols) {
    for (const Variable& v : entry.parameters) places_[v.name] = v.place;
    for (const Variable& v : body.variables)
        if (!v.is_extern) place(v);
    std::set<std::string_view> used;
    for (const Statement& s : body.statements)
        for (const Operand& o : s.operands) names(o, used);
    const Variable* dynamic = nullptr;
    for (const std::string_view name : used) {
        const Variable* v = symbols.variable(name);
        if (!v || v->space != Space::shared) continue;
        if (v->is_extern)
            dynamic = v;
        else
            place(*v);
    }
    for (const Variable& v : body.variables)
        if (v.is_extern) dynamic = &v;
    // What is sized at the launch begins after the rest.
    if (dynamic) {
        shared_bytes_ = round_up(shared_bytes_, std::max<std::size_t>(dynamic->align, 16));
        places_[dynamic->name] = shared_bytes_;
    }
}

void Layout::place(const Variable& v) {
    std::size_t& bytes = v.space == Space::shared ? shared_bytes_ : local_bytes_;
    bytes = round_up(bytes, v.align);
    places_[v.name] = bytes;
    bytes += v.bytes;
}

std::optional<std::uint64_t> Layout::value(std::string_view name) const {
    if (const auto found = places_.find(name); found != places_.end()) return found->second;
    if (const std::uint64_t address = symbols_.address(name)) return address;
    return {};
}

}  // namespace emulator
