// Fuzzes going on from a checkpoint whose checksum is right and whose content is not: refused with an
// InputError, or the run goes on to its end or to an error of its own; nothing else.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "engine/progress.h"
#include "sampling/run/checkpoint.h"
#include "sampling/run/pipeline.h"
#include "tests/fuzz/fuzz.h"

namespace microlift {

namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = R"(
seed = 5
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*y^2 + 0.3*x*y"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
scheme = "mala"
dt = 2e-3
compile_after = -1
[umbrella]
from = -1.0
to = 1.0
windows = 4
stiffness = 15.0
replicas = 8
equilibrate = 40
steps = 400
stride = 20
[estimate]
bins = 8
[generator]
generator_widths = [4]
critic_widths = [4]
batch = 8
iterations = 6
validate_every = 3
[lifting]
values = 2
states = 100
heal_steps = 4
[coupling]
rounds = 1
windows = 2
replicas = 4
equilibrate = 20
steps = 100
iterations = 4
)";

const RunConfig& config() {
    static const RunConfig made = parse_run_config(kConfig, "fuzz.toml");
    return made;
}

RunOptions options() {
    RunOptions o;
    static const std::string dir =
        (fs::temp_directory_path() / ("microlift_fuzz_" + std::to_string(::getpid()))).string();
    o.out_dir = dir;
    o.device = "cpu";
    o.threads = 1;
    o.quiet = true;
    fs::create_directories(dir);
    return o;
}

// Every checkpoint that a run writes, and one of a run that a signal stopped in its first round.
std::vector<Store> make_stores() {
    std::cout.setstate(std::ios::failbit);  // runs that go on to their end sum up
    std::vector<Store> stores;
    const RunOptions o = options();
    const fs::path file = fs::path(o.out_dir) / "checkpoint.h5";
    for (const bool stopped : {true, false}) {
        const pid_t child = fork();
        if (child == 0) {
            install_signal_handlers();
            if (stopped) raise(SIGTERM);
            Progress progress(true);
            try {
                run_pipeline(config(), o, progress);
            } catch (const Interrupted&) {
            }
            _exit(0);
        }
        struct stat seen {};
        const auto look = [&] {
            struct stat now {};
            if (::stat(file.c_str(), &now) != 0 || now.st_ino == seen.st_ino) return;
            seen = now;
            stores.push_back(Store::load(file));
        };
        while (waitpid(child, nullptr, WNOHANG) == 0) look();
        look();
        fs::remove(file);
    }
    if (stores.size() < 3) std::abort();
    return stores;
}

template <class T>
void put_changed(Store& store, const std::string& name, Choices& choices) {
    const auto old = store.get<T>(name);
    std::vector<T> values(old.begin(), old.end());
    std::vector<index> shape = store.info(name).shape;
    switch (choices.below(5)) {
        case 0: values.clear(); shape.assign(shape.size(), 0); break;
        case 1: if (!values.empty()) values.pop_back(); shape = {static_cast<index>(values.size())}; break;
        case 2: values.push_back(T{}); shape = {static_cast<index>(values.size())}; break;
        default:
            if (values.empty()) break;
            const std::size_t at = choices.below(values.size());
            if constexpr (std::is_floating_point_v<T>)
                values[at] = static_cast<T>(choices.number());
            else
                values[at] = static_cast<T>(choices.whole());
    }
    store.put(name, std::move(values), shape);
}

void change(Store& store, Choices& choices) {
    const std::vector<std::string> names = store.names();
    const std::size_t which = choices.below(names.size() + 3);
    if (which >= names.size()) {
        static constexpr const char* kMetrics[] = {
            "{}", "[]", R"({"stages":5})", R"({"stages":{"sample":{"seconds":"x"}}})", R"({"warnings":5})",
            R"({"coupling":3})", R"({"coupling":{"rounds":"x"}})", R"({"lifting":[]})", R"({"windows":1})"};
        static constexpr const char* kStages[] = {"sample", "train", "estimate", "done", "", "couple"};
        if (choices.byte() % 2)
            store.attributes["metrics"] = kMetrics[choices.below(std::size(kMetrics))];
        else
            store.attributes["stage"] = kStages[choices.below(std::size(kStages))];
        return;
    }
    const std::string& name = names[which];
    switch (store.info(name).type) {
        case DType::f32: put_changed<float>(store, name, choices); break;
        case DType::f64: put_changed<double>(store, name, choices); break;
        case DType::i64: put_changed<long long>(store, name, choices); break;
        case DType::u8: put_changed<std::uint8_t>(store, name, choices); break;
    }
}

}  // namespace

void fuzz_one(const std::uint8_t* data, std::size_t size);

}  // namespace microlift

std::vector<std::string> fuzz_seeds() {
    return {std::string("\0", 1), std::string("\1\0\4\3\0\2\1\5", 8), std::string(24, '\x11'),
            std::string("\1\0\x20\0\4\0\7\2", 8), std::string("\0\0\x12\0\3\0\1\x8", 8)};
}

void microlift::fuzz_one(const std::uint8_t* data, std::size_t size) {
    static const std::vector<Store> stores = make_stores();
    Choices choices(data, size);
    Store store = stores[choices.byte() % stores.size()];
    for (int k = 0; k < 3 && choices.more(); ++k) change(store, choices);
    RunOptions resumed = options();
    store.save(fs::path(resumed.out_dir) / "checkpoint.h5");
    resumed.resume = true;
    Progress progress(true);
    try {
        run_pipeline(config(), resumed, progress);
    } catch (const Error&) {
    }
    fs::remove_all(resumed.out_dir);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    microlift::fuzz_one(data, size);
    return 0;
}
