#include "tests/emulator/ptx/decode/kernel.h"

#include <algorithm>
#include <utility>

#include "tests/emulator/ptx/decode/opcode.h"

namespace emulator {

namespace {

// Whether instruction k is the first of a run that is entered at its start alone.
bool begins(const Program& program, std::size_t k) {
    if (k == 0 || program.code[k].run == kJoin) return true;
    const Handler before = program.code[k - 1].run;
    return before == kBranch || before == kBranchIf;
}

}  // namespace

Kernel::~Kernel() = default;

const Program& Kernel::program() const {
    const std::lock_guard lock(mutex_);
    if (program_) return *program_;
    program_ = decode(symbols_, entry_, parse_body(entry_.body, entry_.line));
    facts_.name = name();
    for (const Variable& v : entry_.parameters) {
        facts_.parameter_offsets.push_back(v.place);
        facts_.parameter_sizes.push_back(v.bytes);
        facts_.parameter_bytes = v.place + v.bytes;
    }
    facts_.shared_bytes = program_->shared_bytes;
    facts_.local_bytes = program_->local_bytes;
    facts_.max_threads = std::min(entry_.max_threads, 1024);
    facts_.registers =
        std::min<int>(255, 10 + static_cast<int>(program_->live_bytes / (4 * kLanes)));
    return *program_;
}

const KernelFacts& Kernel::facts() const {
    program();
    return facts_;
}

const KernelFacts& facts(const Kernel& kernel) {
    return kernel.facts();
}

std::string_view Kernel::line(int number) const {
    std::string_view text = ptx_;
    for (int k = 1; k < number; ++k)
        text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    text = text.substr(0, text.find('\n'));
    const std::size_t begin = text.find_first_not_of(" \t");
    return begin == text.npos ? std::string_view{} : text.substr(begin);
}

bool Kernel::launched() const {
    const std::lock_guard lock(mutex_);
    return program_ && program_->entered[0] > 0;
}

void Kernel::cover(Coverage& into) const {
    const std::lock_guard lock(mutex_);
    Coverage::Entry found;
    if (!program_) {
        for (const Statement& s : parse_body(entry_.body, entry_.line).statements)
            if (!s.opcode.empty()) found.opcodes.emplace_back(s.opcode);
        found.executed.resize(found.opcodes.size());
    } else {
        std::uint64_t lanes = 0;
        for (std::size_t k = 0; k < program_->code.size(); ++k) {
            if (begins(*program_, k)) lanes = program_->entered[k];
            if (program_->opcodes[k].empty()) continue;
            found.opcodes.emplace_back(program_->opcodes[k]);
            found.executed.push_back(lanes);
        }
    }
    into.add(name(), std::move(found));
}

std::unique_ptr<Block> Kernel::take_block() const {
    const std::lock_guard lock(mutex_);
    if (kept_.empty()) return std::make_unique<Block>();
    auto block = std::move(kept_.back());
    kept_.pop_back();
    return block;
}

void Kernel::keep_block(std::unique_ptr<Block> block) const {
    const std::lock_guard lock(mutex_);
    for (std::size_t k = 0; k < block->entered.size(); ++k)
        program_->entered[k] += std::exchange(block->entered[k], 0);
    if (kept_.size() < 4) kept_.push_back(std::move(block));
}

}  // namespace emulator
