#include "tests/emulator/coverage/record.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/emulator/fault.h"

namespace emulator {

namespace {

const char kSuffix[] = ".covered";

}  // namespace

void write_coverage(const std::string& folder, const Coverage& coverage) {
    std::filesystem::create_directories(folder);
    const std::filesystem::path file = std::filesystem::path(folder) / (std::to_string(getpid()) + kSuffix);
    std::ofstream out(file);
    for (const auto& [key, entry] : coverage.entries) {
        if (!entry.launched()) continue;
        std::string bits;
        for (const bool executed : entry.executed) bits += executed ? '1' : '0';
        out << key.first << " " << key.second << " " << entry.times << " " << bits << "\n";
    }
    out << "end\n";
    if (!out.flush()) throw Fault(file.string() + " cannot be written");
}

bool read_coverage(const std::string& folder, Coverage& into) {
    bool any = false;
    std::error_code none;
    for (const auto& file : std::filesystem::directory_iterator(folder, none)) {
        if (file.path().extension() != kSuffix) continue;
        std::ifstream in(file.path());
        std::string name, bits;
        std::uint64_t digest = 0, times = 0;
        while (in >> name && name != "end") {
            if (!(in >> digest >> times >> bits) || bits.find_first_not_of("01") != bits.npos)
                throw Fault(file.path().string() + " is no record of what was executed");
            Coverage::Entry& entry = into.entries[{name, digest}];
            if (entry.executed.empty()) {
                entry.opcodes.resize(bits.size());
                entry.executed.resize(bits.size());
            }
            if (entry.executed.size() != bits.size())
                throw Fault(file.path().string() + ": another length of " + name);
            entry.times += times;
            for (std::size_t k = 0; k < bits.size(); ++k)
                if (bits[k] == '1') entry.executed[k] = true;
        }
        if (name != "end") throw Fault(file.path().string() + " ends early");
        any = true;
    }
    return any;
}

}  // namespace emulator
