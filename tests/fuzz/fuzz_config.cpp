// Fuzzes the configuration reader: TOML text to resolved configuration and back, and --set.
// An input that is refused has to be refused with an InputError; one that is taken has to resolve
// to a fixed point.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sampling/run/config/run_config.h"
#include "tests/fuzz/fuzz.h"

std::vector<std::string> fuzz_seeds() {
    const std::string plain =
        "seed = 1\n[system]\nvariables = [\"x\", \"y\"]\npotential = \"(x^2-1)^2 + y^2\"\nbeta = 2.0\n"
        "[cv]\nvariables = [\"x\"]\n[umbrella]\nfrom = -1\nto = 1\nwindows = 5\nstiffness = 20\n"
        "[estimate]\nbins = 10\n[generator]\n[closure]\n";
    return {plain, "--set umbrella.steps=2000\n" + plain,
            "[system]\nname = \"muller_brown\"\n[umbrella]\nfrom = -1.5\nto = 1.2\nwindows = 9\nstiffness = 500\n"};
}

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
