// Fuzzes the configuration reader: TOML text to resolved configuration and back, and --set.
// An input that is refused has to be refused with an InputError; one that is taken has to resolve
// to a fixed point.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sampling/run/run_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    std::string text(reinterpret_cast<const char*>(data), size);
    // A first line "--set KEY=VALUE" is an option.
    RunOptions options;
    if (text.rfind("--set ", 0) == 0) {
        const std::size_t end = text.find('\n');
        options.set.push_back(text.substr(6, end == std::string::npos ? end : end - 6));
        text = end == std::string::npos ? "" : text.substr(end + 1);
    }
    try {
        const std::string once = parse_run_config(text, "fuzz.toml", options).config.to_toml();
        const std::string again = parse_run_config(once, "again.toml").config.to_toml();
        if (again != once) {
            std::abort();
        }
    } catch (const InputError& error) {
        const std::string message = error.what();
        // A line for each fault; none of them is of what was resolved.
        for (std::size_t at = 0; at <= message.size();) {
            const std::size_t end = std::min(message.find('\n', at), message.size());
            if (end == at || message.compare(at, 10, "again.toml") == 0) {
                std::abort();
            }
            at = end + 1;
        }
    }
    return 0;
}
