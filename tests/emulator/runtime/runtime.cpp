#include "tests/emulator/runtime/runtime.h"

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <new>
#include <set>

#include "tests/emulator/coverage/record.h"
#include "tests/emulator/fault.h"
#include "tests/emulator/runtime/status.h"

namespace emulator {

namespace {

thread_local int last_error = 0;
thread_local int told = 0;  // the status that last_text is about
thread_local std::string last_text;
thread_local int current_device = 0;

std::string text_of(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

std::uint64_t number_of(const char* name, std::uint64_t otherwise) {
    const std::string text = text_of(name);
    if (text.empty()) return otherwise;
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(text.c_str(), &end, 10);
    if (*end == '\0') return value;
    std::cerr << "emulated device: " << name << "=" << text << " is no number\n";
    std::exit(2);
}

void say_what_is_left() {
    for (const std::string& what : Runtime::get().streams.scheduler().left())
        std::cerr << "emulated device: never done: " << what << "\n";
    const Coverage covered = coverage();
    const std::set<std::string> executed = covered.executed();
    for (const std::string& opcode : covered.held())
        if (!executed.contains(opcode))
            std::cerr << "emulated device: never executed: " << opcode << "\n";
}

}  // namespace

Options Options::read() {
    Options options;
    options.seed = number_of("EMULATOR_SEED", 0);
    options.threads = static_cast<int>(number_of("EMULATOR_THREADS", 1));
    options.devices = static_cast<int>(number_of("EMULATOR_DEVICES", 1));
    const std::string fault = text_of("EMULATOR_FAULT");
    if (!fault.empty() && fault != "abort" && fault != "report") {
        std::cerr << "emulated device: EMULATOR_FAULT=" << fault << "; use abort or report\n";
        std::exit(2);
    }
    options.go_on = fault == "report";
    options.broken = text_of("EMULATOR_BROKEN") == "1";
    options.notes = text_of("EMULATOR_NOTES") == "1";
    options.coverage = text_of("EMULATOR_COVERAGE");
    options.whole_warps = text_of("EMULATOR_WHOLE_WARPS") == "1";
    return options;
}

Runtime& Runtime::get() {
    static Runtime* runtime = new Runtime;
    return *runtime;
}

Runtime::Runtime() : streams(Options::read().seed), options(Options::read()) {
    if (options.notes) std::atexit(say_what_is_left);
    if (!options.coverage.empty()) std::atexit([] { write_coverage(get().options.coverage, coverage(true)); });
}

int Runtime::guarded(const char* name, const std::function<void()>& body) {
    watch_host_accesses();
    if (sticky_) return last_error = sticky_;
    try {
        streams.scheduler().stir();
        body();
        return 0;
    } catch (const Refusal& refusal) {
        last_text = std::string(name) + ": " + refusal.what();
        if (refusal.status() == Status::not_ready) return static_cast<int>(Status::not_ready);
        return last_error = told = static_cast<int>(refusal.status());
    } catch (const std::bad_alloc&) {
        last_text = std::string(name) + ": the device is full";
        return last_error = told = static_cast<int>(Status::memory_allocation);
    } catch (const Fault& error) {
        return fault(std::string(error.what()) + " (found in " + name + ")");
    }
}

// After a fault nothing works any more, as on a device.
int Runtime::fault(const std::string& message) {
    sticky_ = last_error = static_cast<int>(Status::illegal_address);
    sticky_text_ = "emulated device: " + message;
    std::cerr << sticky_text_ << std::endl;
    if (!options.go_on) std::abort();
    streams.scheduler().drop_all();
    return sticky_;
}

int Runtime::take_error() {
    const int status = peek_error();
    last_error = 0;
    return status;
}

int Runtime::peek_error() const { return sticky_ ? sticky_ : last_error; }

const char* Runtime::error_text(int status) const {
    thread_local std::string text;
    if (sticky_ && status == sticky_) return sticky_text_.c_str();
    text = status_text(status);
    if (status != 0 && status == told) text += " (" + last_text + ")";
    return text.c_str();
}

int Runtime::device() const { return current_device; }

void Runtime::set_device(int ordinal) {
    if (ordinal < 0 || ordinal >= options.devices)
        throw Refusal(Status::invalid_device, std::to_string(ordinal));
    current_device = ordinal;
}

void Runtime::launch(const Launch& launch, Stream& stream) {
    const Kernel& kernel = launch.function->kernel();
    const KernelFacts& known = facts(kernel);
    const auto shape = [](const Dim3& d) {
        return std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z);
    };
    const std::string what = "kernel " + readable(known.name) + " <<<" + shape(launch.grid) + "; " +
                             shape(launch.block) + ">>>";
    const std::uint64_t threads = std::uint64_t{launch.block.x} * launch.block.y * launch.block.z;
    if (threads == 0 || threads > static_cast<unsigned>(known.max_threads) || launch.block.z > 64)
        throw Refusal(threads == 0 || threads > 1024 ? Status::invalid_configuration : Status::invalid_value,
                      what + ": its blocks have 1 to " + std::to_string(known.max_threads) + " threads");
    if (launch.grid.x == 0 || launch.grid.y == 0 || launch.grid.z == 0 || launch.grid.x > 0x7fffffff ||
        launch.grid.y > 65535 || launch.grid.z > 65535)
        throw Refusal(Status::invalid_configuration, what + ": no such grid");
    if (launch.dynamic_shared + known.shared_bytes > static_cast<std::size_t>(launch.function->dynamic_shared))
        throw Refusal(Status::invalid_value, what + ": too much shared memory");
    std::vector<std::byte> parameters(known.parameter_bytes);
    for (std::size_t p = 0; p < known.parameter_sizes.size(); ++p)
        std::memcpy(parameters.data() + known.parameter_offsets[p], launch.arguments[p],
                    known.parameter_sizes[p]);
    const Execution execution{options.threads, options.seed, true, options.whole_warps};
    streams.submit(stream, {what, {}},
                   [&kernel, grid = launch.grid, block = launch.block, shared = launch.dynamic_shared,
                    parameters = std::move(parameters), execution] {
                       execute(kernel, grid, block, shared, parameters, execution);
                   });
}

}  // namespace emulator
