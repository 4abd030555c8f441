#include "tests/emulator/ptx.h"

namespace emulator {

std::uint64_t digest(const std::vector<std::string>& opcodes) {
    std::uint64_t sum = 14695981039346656037u;  // FNV-1a
    for (const std::string& opcode : opcodes)
        for (std::size_t k = 0; k <= opcode.size(); ++k)
            sum = (sum ^ static_cast<unsigned char>(opcode.c_str()[k])) * 1099511628211u;
    return sum;
}

void Coverage::add(const std::string& name, Entry entry) {
    const std::uint64_t sum = digest(entry.opcodes);
    const auto [found, isnew] = entries.try_emplace({name, sum}, std::move(entry));
    if (isnew) return;
    for (std::size_t k = 0; k < entry.executed.size(); ++k) found->second.executed[k] += entry.executed[k];
}

std::set<std::string> Coverage::held() const {
    std::set<std::string> all;
    for (const auto& [key, entry] : entries) all.insert(entry.opcodes.begin(), entry.opcodes.end());
    return all;
}

std::set<std::string> Coverage::executed() const {
    std::set<std::string> all;
    for (const auto& [key, entry] : entries)
        for (std::size_t k = 0; k < entry.opcodes.size(); ++k)
            if (entry.executed[k]) all.insert(entry.opcodes[k]);
    return all;
}

}  // namespace emulator
