#include <bit>
#include <cstring>
#include <map>

#include "tests/emulator/fault.h"
#include "tests/emulator/ptx/decode/items.h"
#include "tests/emulator/ptx/decode/kernel.h"
#include "tests/emulator/ptx/decode/layout.h"

namespace emulator {

namespace {

std::uint64_t encode(const Operand& o, Type type) {
    if (o.kind == Operand::Kind::integer) {
        if (type == Type::f32)
            return std::bit_cast<std::uint32_t>(
                static_cast<float>(static_cast<std::int64_t>(o.bits)));
        if (type == Type::f64)
            return std::bit_cast<std::uint64_t>(
                static_cast<double>(static_cast<std::int64_t>(o.bits)));
        if (type == Type::pred) return o.bits ? 0xffffffffu : 0u;
        return width(type) < 8 ? o.bits & ((std::uint64_t{1} << 8 * width(type)) - 1) : o.bits;
    }
    if (width(type) == 4) {
        float single = 0.0f;
        std::uint32_t bits = 0;
        // A NaN keeps its bits only so far as the conversions do; PTX promises no more.
        single = static_cast<float>(o.real);
        std::memcpy(&bits, &single, 4);
        return bits;
    }
    return std::bit_cast<std::uint64_t>(o.real);
}

class Decoder {
public:
    Decoder(const Symbols& symbols, const Entry& entry, Body body)
        : body_(std::move(body)), layout_(symbols, entry, body_) {
        for (const Register& r : body_.registers) draft_.widths.push_back(width(r.type));
    }

    std::unique_ptr<const Program> decode() {
        for (const Statement& s : body_.statements) statement(s);
        Item end;
        end.run = kEnd;
        end.falls_through = false;
        draft_.items.push_back(std::move(end));
        for (const auto& [item, label] : jumps_)
            draft_.items[item].targets.push_back(target(item, label));
        auto program = encode(draft_);
        program->ordered = ordered_;
        program->shared_bytes = layout_.shared_bytes();
        program->local_bytes = (layout_.local_bytes() + 15) / 16 * 16;
        return program;
    }

private:
    [[noreturn]] void fail(const Statement& s, const std::string& why) const {
        throw Fault("PTX line " + std::to_string(s.line) + ": " + why + ": " +
                    std::string(s.opcode));
    }

    std::size_t add(Item item) {
        draft_.items.push_back(std::move(item));
        return draft_.items.size() - 1;
    }
    Place reg(int index) const { return {Place::Kind::reg, index}; }
    Place fresh(std::size_t bytes) {
        draft_.widths.push_back(bytes);
        return reg(static_cast<int>(draft_.widths.size()) - 1);
    }
    Place constant(std::size_t bytes, std::uint64_t bits) {
        const auto [entry, isnew] =
            draft_.constants.try_emplace({bytes, bits}, static_cast<int>(draft_.constants.size()));
        return {Place::Kind::constant, entry->second};
    }
    Place special(std::size_t bytes, std::string_view name) {
        const auto [entry, isnew] =
            draft_.specials.try_emplace({bytes, name}, static_cast<int>(draft_.specials.size()));
        return {Place::Kind::special, entry->second};
    }

    void statement(const Statement& s) {
        if (s.opcode.empty()) {
            Item join;
            join.run = kJoin;
            join.line = s.line;
            labels_[s.label] = add(std::move(join));
            return;
        }
        const Opcode opcode(s.opcode);
        if (opcode.base == "bra" || opcode.base == "brx") return branch(s, opcode);
        const Operation operation = select(opcode, shape(s));
        if (!operation.run) fail(s, "instruction not understood");
        Item item;
        item.run = operation.run;
        item.opcode = s.opcode;
        item.line = s.line;
        item.extra = operation.extra;
        item.kind = operation.kind;
        item.immediate = operation.immediate;
        item.falls_through = opcode.base != "ret" && opcode.base != "exit" && opcode.base != "trap";
        for (std::size_t k = 0; k < s.operands.size(); ++k) {
            if (operation.types.size() <= k) fail(s, "too many operands");
            flatten(s, s.operands[k], operation.types[k], operation.loose, item);
            if (static_cast<int>(k) < operation.outputs) item.outputs = item.places.size();
        }
        if (opcode.base == "ld" || opcode.base == "ldu") used_bytes(s, opcode, item);
        const bool atomic = opcode.base == "atom" || opcode.base == "red";
        ordered_ |= (atomic || operation.kind & kStrongAccess) && !opcode.has("shared");
        guarded(s, operation, std::move(item));
    }

    // A mask of the bytes that are used where these are not all.
    void used_bytes(const Statement& s, const Opcode& opcode, Item& item) {
        const std::size_t bytes = width(opcode.types.back());
        const auto part = [&](std::size_t k) {
            return ((std::uint32_t{1} << bytes) - 1) << k * bytes;
        };
        item.extra = 0;
        for (std::size_t k = 0; k < item.outputs; ++k)
            if (s.operands[0].parts.empty() || s.operands[0].parts[k].kind != Operand::Kind::sink)
                item.extra |= part(k);
        item.extra &= static_cast<std::uint32_t>(s.used_bytes);
    }

    void guarded(const Statement& s, const Operation& operation, Item item) {
        if (s.guard < 0) {
            add(std::move(item));
            return;
        }
        Item guard;
        guard.line = s.line;
        guard.places = {reg(s.guard)};
        if (!operation.parts_ways) {
            guard.run = kGuard;
            guard.extra = s.guard_negated;
            item.keeps = true;
            add(std::move(guard));
            add(std::move(item));
            return;
        }
        guard.run = kBranchIf;
        guard.extra = !s.guard_negated;
        const std::size_t at = add(std::move(guard));
        add(std::move(item));
        Item join;
        join.run = kJoin;
        join.line = s.line;
        draft_.items[at].targets = {add(std::move(join))};
    }

    void branch(const Statement& s, const Opcode& opcode) {
        Item item;
        item.opcode = s.opcode;
        item.line = s.line;
        if (opcode.base == "brx") {
            if (s.guard >= 0 || s.operands.size() != 2) fail(s, "instruction not understood");
            item.run = select(opcode, shape(s)).run;
            item.places = {reg(s.operands[0].reg)};
            item.falls_through = false;
            const std::size_t at = add(std::move(item));
            for (const Body::Targets& t : body_.targets)
                if (t.name == s.operands[1].name)
                    for (const std::string_view label : t.labels) jumps_.emplace_back(at, label);
            return;
        }
        if (s.operands.size() != 1) fail(s, "a branch has one target");
        item.run = s.guard < 0 ? kBranch : kBranchIf;
        item.falls_through = s.guard >= 0;
        item.extra = s.guard_negated;
        if (s.guard >= 0) item.places = {reg(s.guard)};
        jumps_.emplace_back(add(std::move(item)), s.operands[0].name);
    }

    std::size_t target(std::size_t item, std::string_view label) const {
        const auto found = labels_.find(label);
        if (found == labels_.end())
            throw Fault("PTX line " + std::to_string(draft_.items[item].line) + ": no label " +
                        std::string(label));
        return found->second;
    }

    Shape shape(const Statement& s) const {
        const auto width_of = [&](const Operand& o) {
            return o.kind == Operand::Kind::reg ? draft_.widths[static_cast<std::size_t>(o.reg)]
                                                : std::size_t{0};
        };
        Shape result;
        for (const Operand& o : s.operands) {
            auto& widths = result.widths.emplace_back();
            if (o.parts.empty()) widths.push_back(width_of(o));
            for (const Operand& part : o.parts) widths.push_back(width_of(part));
        }
        return result;
    }

    // Appends the places of an operand.
    void flatten(const Statement& s, const Operand& o, Type type, bool loose, Item& item) {
        using Kind = Operand::Kind;
        switch (o.kind) {
            case Kind::reg: {
                const std::size_t bytes = draft_.widths[static_cast<std::size_t>(o.reg)];
                if (bytes != width(type) && !(loose && bytes >= width(type)))
                    fail(s, "register " + std::string(o.name) + " is not as wide as its type");
                item.places.push_back(o.negated ? negated(o, s.line) : reg(o.reg));
                break;
            }
            case Kind::integer:
            case Kind::real:
                item.places.push_back(
                    constant(std::max<std::size_t>(width(type), 2), encode(o, type)));
                break;
            case Kind::name: item.places.push_back(named(s, o, type)); break;
            case Kind::address: address(s, o, item); break;
            case Kind::list:
                for (const Operand& part : o.parts) flatten(s, part, type, loose, item);
                break;
            case Kind::pair:
                flatten(s, o.parts[0], type, loose, item);
                flatten(s, o.parts[1], Type::pred, loose, item);
                break;
            case Kind::sink: item.places.push_back(fresh(std::max<std::size_t>(width(type), 2)));
        }
    }

    Place named(const Statement& s, const Operand& o, Type type) {
        if (o.name == "WARP_SZ") return constant(width(type), kLanes);
        if (o.name[0] == '%') return special(width(type), o.name);
        if (const auto value = layout_.value(o.name))
            return constant(width(type), *value + static_cast<std::uint64_t>(o.offset));
        if (s.opcode.starts_with("call")) return constant(8, 0);
        fail(s, "no variable " + std::string(o.name));
    }

    void address(const Statement& s, const Operand& o, Item& item) {
        const Operand& base = o.parts[0];
        item.immediate = o.offset;
        if (base.kind == Operand::Kind::reg) {
            item.places.push_back(reg(base.reg));
        } else if (base.kind == Operand::Kind::name && s.opcode.find(".param") != s.opcode.npos &&
                   !layout_.value(base.name)) {
            item.places.push_back(constant(8, 0));  // of a call, which faults before this is used
        } else {
            item.places.push_back(base.kind == Operand::Kind::name ? named(s, base, Type::u64)
                                                                   : constant(8, base.bits));
        }
    }

    Place negated(const Operand& o, int line) {
        Item item;
        item.run = kNot;
        item.line = line;
        item.places = {fresh(4), reg(o.reg)};
        item.outputs = 1;
        const Place place = item.places[0];
        add(std::move(item));
        return place;
    }

    Body body_;
    Layout layout_;
    bool ordered_ = false;
    Draft draft_;
    std::map<std::string_view, std::size_t> labels_;
    std::vector<std::pair<std::size_t, std::string_view>> jumps_;
};

}  // namespace

std::unique_ptr<const Program> decode(const Symbols& symbols, const Entry& entry, Body body) {
    return Decoder(symbols, entry, std::move(body)).decode();
}

}  // namespace emulator
