// The loop around a fuzzer where there is no libFuzzer: mutates its seeds for a while, from a fixed seed.
//   fuzz_NAME [--seconds S] [--seed N] [FILE…]     FILE: an input to run once
// A finding ends the process; the input lies in ./crash-NAME then.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/fuzz.h"

namespace {

std::string input, crash_file;

void run(const std::string& text) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

void save_input() {
    std::FILE* file = std::fopen(crash_file.c_str(), "wb");
    if (!file) return;
    std::fwrite(input.data(), 1, input.size(), file);
    std::fclose(file);
}

void on_crash(int signal) {
    save_input();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

class Mutator {
public:
    explicit Mutator(unsigned long long seed) : random_(seed) {}
    std::string next(const std::vector<std::string>& pool) {
        std::string text = pool[below(pool.size())];
        for (std::size_t k = 1 + below(6); k > 0; --k) change(text, pool);
        if (text.size() > kMost) text.resize(kMost);
        return text;
    }
    std::size_t below(std::size_t n) { return n ? random_() % n : 0; }

private:
    static constexpr std::size_t kMost = 1 << 16;
    void change(std::string& text, const std::vector<std::string>& pool) {
        static constexpr const char* kWords[] = {
            "-1", "0", "1e308", "nan", "inf", "4294967296", "9223372036854775807", "1e-320", "[", "]",
            "{", "}", "\"", ",", "\n", "=", "(", ")", "-", "e", "'", "\\", "\xef\xbb\xbf", "true"};
        const std::size_t at = below(text.size() + 1);
        switch (below(7)) {
            case 0: if (at < text.size()) text[at] = static_cast<char>(random_()); break;
            case 1: if (at < text.size()) text[at] ^= static_cast<char>(1u << below(8)); break;
            case 2: text.erase(at, 1 + below(8)); break;
            case 3: text.insert(at, 1 + below(4), static_cast<char>(random_())); break;
            case 4: text.insert(at, kWords[below(std::size(kWords))]); break;
            case 5: {
                const std::string& other = pool[below(pool.size())];
                const std::size_t from = below(other.size() + 1);
                text = text.substr(0, at) + other.substr(from);
                break;
            }
            default: text.insert(at, text.substr(below(text.size() + 1), below(32)));
        }
    }
    std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
    double seconds = 2;
    unsigned long long seed = 1;
    crash_file = "crash-" + std::filesystem::path(argv[0]).filename().string();
    for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL}) std::signal(signal, on_crash);
    bool files = false;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            seconds = std::atof(argv[++i]);
        } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = std::strtoull(argv[++i], nullptr, 10);
        } else {
            std::ifstream file(argv[i], std::ios::binary);
            input.assign(std::istreambuf_iterator<char>(file), {});
            run(input);
            files = true;
        }
    }
    if (files) return 0;
    const std::vector<std::string> seeds = fuzz_seeds();
    std::set_terminate([] {
        save_input();
        std::abort();
    });
    for (const std::string& text : seeds) run(input = text);
    Mutator mutator(seed);
    long long runs = 0;
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds) {
        run(input = mutator.next(seeds));
        ++runs;
    }
    std::printf("%zu seeds, %lld mutations, no finding\n", seeds.size(), runs);
    return runs > 0 ? 0 : 1;
}
