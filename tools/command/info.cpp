// systems, info, bench, and the list of keys.

#include <iostream>

#include "bench/bench.h"
#include "engine/comm/communicator.h"
#include "engine/device/cpu.h"
#include "engine/device/device.h"
#include "nn/layers/cudnn.h"
#include "sampling/bias/plumed/actions.h"
#include "sampling/dynamics/systems.h"
#include "tools/command/commands.h"

namespace microlift {

namespace {

std::string join(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) {
        out += (out.empty() ? "" : ", ") + part;
    }
    return out;
}

// Those of the CUDA toolkit that this build uses, and what became of the one that is loaded at need.
std::vector<std::string> cuda_libraries() {
    if (!kHaveCuda) return {"none of CUDA's"};
    std::vector<std::string> names{"cuBLASLt", "NVRTC", "Thrust"};
    if (!cudnn_built_in())
        names.push_back("no cuDNN in this build");
    else
        names.push_back(cudnn_version().empty() ? "cuDNN (not found)" : "cuDNN " + cudnn_version());
    return names;
}

}  // namespace

void command_plumed() { std::cout << plumed_actions_markdown(); }
void command_keys() { std::cout << run_schema("", true).markdown(); }

void command_info() {
    const std::string mpi = Communicator::library();
    std::cout << "microlift " << MICROLIFT_VERSION << "\n"
              << "compiler   "
#if defined(__clang__)
              << "clang " << __clang_version__
#else
              << "gcc " << __VERSION__
#endif
              << "\n"
              << "CUDA       " << (kHaveCuda ? "built in" : "not built in") << "\n"
              << "libraries  " << join(cuda_libraries()) << "\n"
              << "MPI        " << (mpi.empty() ? "not built in" : mpi) << "\n"
              << "CPU level  " << cpu_level() << " (built: " << join(cpu_levels()) << ")\n"
              << "lanes      " << cpu_lanes() << " floats a SIMD register\n"
              << "precision  states float32; estimators float64\n"
              << "device     cpu: " << Device::cpu().description() << "\n";
    const int count = Device::cuda_count();
    for (int i = 0; i < count; ++i) {
        std::cout << "device     cuda:" << i << ": ";
        try {
            std::cout << Device::cuda(i).description() << "\n";
        } catch (const DeviceError& error) {
            std::cout << "does not work: " << error.what() << "\n";
        }
    }
    if (count == 0) {
        std::cout << "device     cuda: none found\n";
    }
}

void command_bench(const BenchOptions& options) { run_benchmarks(options); }

namespace {

void describe(const SystemInfo& info) {
    std::cout << info.name << ": " << info.description << "\n\n"
              << "  variables           " << join(info.variables) << "\n";
    if (info.gradient()) {
        std::cout << "  potential           " << info.potential << "\n"
                  << "  beta                " << toml_number(info.beta) << " by default, 1/energy\n";
    } else {
        for (std::size_t i = 0; i < info.variables.size(); ++i) {
            std::cout << "  d " << info.variables[i] << " = (" << info.drift[i] << ") dt + ("
                      << info.diffusion[i] << ") dW" << i + 1 << "\n";
        }
    }
    if (!info.observe.empty()) {
        std::cout << "  observed            " << join(info.observe) << "\n";
    }
    std::cout << "  collective variable " << info.cv << "\n"
              << "  starts at           " << toml_value(ConfigValue::of(info.initial)) << "\n";
    if (!info.parameters.empty()) {
        std::cout << "\n  parameters, keys of [system]:\n";
    }
    for (const ParameterInfo& parameter : info.parameters) {
        std::cout << "  " << parameter.name << " = " << toml_number(parameter.value) << "  "
                  << parameter.meaning;
        if (!parameter.unit.empty()) {
            std::cout << ", " << parameter.unit;
        }
        std::cout << "\n";
    }
}

}  // namespace

void command_systems(const std::string& name, bool markdown) {
    if (!name.empty()) {
        describe(find_system(name));
        return;
    }
    if (markdown) {
        std::cout << "| system | what it is | variables | parameters |\n| --- | --- | --- | --- |\n";
    }
    for (const SystemInfo& info : system_registry()) {
        std::string parameters;
        for (const ParameterInfo& parameter : info.parameters) {
            parameters += (parameters.empty() ? "" : ", ") + parameter.name + " = " +
                          toml_number(parameter.value);
        }
        if (markdown) {
            std::cout << "| `" << info.name << "` | " << info.description << " | "
                      << join(info.variables) << " | " << parameters << " |\n";
            continue;
        }
        std::cout << info.name << std::string(info.name.size() < 16 ? 16 - info.name.size() : 1, ' ')
                  << info.description << "\n"
                  << std::string(16, ' ') << "variables " << join(info.variables)
                  << "; collective variable " << info.cv;
        if (!parameters.empty()) {
            std::cout << "; " << parameters;
        }
        std::cout << "\n";
    }
}

}  // namespace microlift
