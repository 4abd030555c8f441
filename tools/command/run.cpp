// run, generate and check: everything around the stages themselves.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>

#include "engine/comm/communicator.h"
#include "engine/comm/processors.h"
#include "engine/device/device.h"
#include "engine/files/files.h"
#include "engine/files/log_file.h"
#include "engine/files/status_file.h"
#include "engine/progress.h"
#include "engine/text.h"
#include "sampling/dynamics/mathematics.h"
#include "sampling/model/model.h"
#include "sampling/model/molecule_config.h"
#include "sampling/run/config/bias_readers.h"
#include "sampling/run/config/cost.h"
#include "sampling/run/config/inputs.h"
#include "sampling/run/config/memory.h"
#include "sampling/run/pipeline.h"
#include "sampling/run/stages/bias/advise.h"
#include "sampling/samples/files/states_writer.h"
#include "tools/command/commands.h"
#include "tools/command/growing_report.h"

namespace microlift {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 24;

// Of a run that was stopped before it wrote anything the lock is left, and perhaps a temporary file.
bool holds_nothing(const fs::path& dir) {
    for (const fs::directory_entry& entry : fs::directory_iterator(dir)) {
        const std::string name = entry.path().filename().string();
        if (name != ".lock" && name.rfind(".config.toml.", 0) != 0) {
            return false;
        }
    }
    return true;
}

// What a run would replace has to be files; a directory of the same name is not the run's.
void check_replaceable(const fs::path& dir) {
    for (const std::string& name : run_files()) {
        std::error_code ignored;
        const fs::file_status status = fs::status(dir / name, ignored);
        if (fs::exists(status) && !fs::is_regular_file(status)) {
            throw InputError((dir / name).string() +
                             ": it is no file, and a run writes one of that name; move it away, or "
                             "choose another directory");
        }
    }
}

// Refuses before anything is written.
void check_out_dir(const RunOptions& options) {
    const fs::path dir = options.out_dir;
    if (!fs::exists(dir)) {
        std::error_code ignored;
        if (fs::is_symlink(fs::symlink_status(dir, ignored))) {
            throw InputError(options.out_dir + ": it is a link to '" +
                             fs::read_symlink(dir, ignored).string() +
                             "', which does not exist; make that directory, or remove the link");
        }
        return;
    }
    if (!fs::is_directory(dir)) {
        throw InputError(options.out_dir + ": it is a file; give a directory for the results");
    }
    if (!options.force && !options.resume && !holds_nothing(dir)) {
        throw InputError(options.out_dir +
                         ": the directory is not empty; choose another, go on with --resume, or "
                         "replace its results with --force");
    }
    if (options.resume && !fs::exists(dir / "config.toml") && !holds_nothing(dir)) {
        throw InputError(options.out_dir +
                         ": there is no run to go on with, and the directory is not empty; give the "
                         "directory of a run, or begin one elsewhere");
    }
    check_replaceable(dir);
}

void check_same_config(const RunConfig& run, const fs::path& dir) {
    const fs::path file = dir / "config.toml";
    if (!fs::exists(file)) {
        return;  // stopped before anything was written
    }
    if (read_file(file, kMaxConfigBytes) != run.config.to_toml()) {
        throw InputError(file.string() +
                         ": the run there has another configuration; give the same one to go on, "
                         "or begin anew with --force");
    }
}

std::string gigabytes(double bytes) {
    char text[40];
    if (bytes < 1e8) {
        std::snprintf(text, sizeof text, "%.1f MB", bytes / 1e6);
    } else {
        std::snprintf(text, sizeof text, "%.2f GB", bytes / 1e9);
    }
    return text;
}

// What the run is going to write against what there is, the files that it replaces or goes on with counted in.
void check_disk(const RunConfig& run, const fs::path& dir) {
    double free = free_disk_bytes(dir.string());
    for (const std::string& name : run_files()) {
        std::error_code missing;
        const std::uintmax_t bytes = fs::file_size(dir / name, missing);
        if (!missing) free += static_cast<double>(bytes);
    }
    const double needed = run_cost(run).disk_bytes;
    if (needed > free)
        throw InputError(dir.string() + ": the run writes up to " + gigabytes(needed) + ", and its file system has " +
                         gigabytes(free) + " free; free some space, choose another directory, or store fewer samples "
                         "(a larger umbrella.stride)");
}

// Those who look at a run from outside: its status and its log.
class Watch {
public:
    Watch(const fs::path& dir, const RunConfig& run, const RunOptions& options, Progress& progress)
        : progress_(progress), log_(dir / kLogName), status_(dir / kStatusName, known(run, options)) {
        progress_.add(log_);
        progress_.add(status_);
        Communicator::world().before_end(
            [this](int status, const std::string& message) { finish("failed", message, status); });
        log_.write(std::string(options.resume ? "goes on" : "begins") + ": microlift " MICROLIFT_VERSION ", configuration " +
                   run.checksum());
    }
    ~Watch() {
        Communicator::world().before_end({});
        progress_.forget(log_);
        progress_.forget(status_);
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    void finish(const std::string& state, const std::string& message, int exit_status) {
        log_.write(state + (message.empty() ? "" : ": " + message));
        status_.finish(state, message, exit_status);
    }

private:
    static Json known(const RunConfig& run, const RunOptions& options) {
        Json known = Json::object();
        known["version"] = MICROLIFT_VERSION;
        known["configuration"] = run.checksum();
        known["resumed"] = options.resume;
        if (options.wall_time > 0) known["wall_time"] = options.wall_time;
        return known;
    }
    Progress& progress_;
    LogFile log_;
    StatusFile status_;
};

// Processes on one machine take a GPU each, or their part of the processors where nobody bound them to some.
RunOptions own_part(const RunOptions& given) {
    Communicator& world = Communicator::world();
    RunOptions own = given;
    if (world.alone()) return own;
    const Processors found = usable_processors();
    const bool bound = world.most(found.key) != world.least(found.key);
    const int gpus = own.device == "auto" || own.device == "cuda" ? Device::cuda_count() : 0;
    if (gpus > 0) own.device = "cuda:" + std::to_string(world.local_rank() % gpus);
    if (own.threads == 0) own.threads = bound ? found.count : std::max(1, found.count / world.local_size());
    own.report = own.report && world.first();
    return own;
}

// The run and its report.
void run_stages(const RunConfig& run, const RunOptions& options, Progress& progress) {
    try {
        std::optional<GrowingReport> pages;
        // Until it is thinned at the end, samples.h5 has other rows than the files beside it name.
        if (options.report && run.output.thin == 1) pages.emplace(options.out_dir, progress);
        run_pipeline(run, options, progress);
    } catch (const KeyError& error) {
        throw run.config.located(error);
    }
    progress.end();
    if (!options.report) {
        return;
    }
    try {
        write_report(options.out_dir);
    } catch (const InputError& error) {
        // The results are there; only their pictures are not.
        progress.warn(std::string("no report.html: ") + error.what());
    }
}

// Files of an earlier run, in a directory that exists from now on. Between what the first process writes and what
// all read they wait for one another.
void prepare_out_dir(RunConfig& run, const RunOptions& options, std::optional<DirectoryLock>& lock) {
    Communicator& world = Communicator::world();
    const fs::path dir = options.out_dir;
    check_out_dir(options);
    world.wait_for_all();
    if (world.first()) {
        std::error_code problem;
        fs::create_directories(dir, problem);
        if (problem) throw_write_error(dir, problem.value());
        lock.emplace(dir);
    }
    const std::vector<RunInput> inputs = take_inputs(run);
    world.wait_for_all();
    if (options.resume) {
        check_same_inputs(inputs, dir);
        check_same_config(run, dir);
    }
    check_disk(run, dir);
    world.wait_for_all();
    if (options.force && world.first()) {
        for (const std::string& name : run_files()) {
            fs::remove(dir / name);
        }
    }
    write_file(dir / "config.toml", run.config.to_toml());
    keep_inputs(run, inputs, dir);
    world.wait_for_all();
}

}  // namespace

void run_configuration(const std::string& config_file, const std::optional<std::string>& text,
                       const RunOptions& given, Progress& progress) {
    if (given.wall_time > 0) set_wall_time(given.wall_time);
    const RunOptions options = own_part(given);
    const Device device = Device::pick(options.device, options.threads);
    const double memory =
        device.is_cpu() ? available_memory_bytes() : static_cast<double>(device.memory_bytes());
    RunConfig run = text ? check_run_config(*text, config_file, options, memory)
                         : check_run_config(config_file, options, memory);
    if (!options.resume) portable_mathematics(options.math, device);  // or refused, before anything is written
    std::optional<DirectoryLock> lock;
    prepare_out_dir(run, options, lock);
    if (!Communicator::world().first()) return run_stages(run, options, progress);
    Watch watch(options.out_dir, run, options, progress);
    try {
        run_stages(run, options, progress);
    } catch (const Interrupted& stopped) {
        watch.finish("stopped", stopped.what(), stopped.exit_code());
        throw;
    } catch (const Error& error) {
        watch.finish("failed", error.what(), error.exit_code());
        throw;
    } catch (const std::exception& error) {
        watch.finish("failed", error.what(), 1);
        throw;
    }
    watch.finish("finished", "", 0);
}

void command_run(const std::string& config_file, const RunOptions& options) {
    ProgressListener nobody;
    std::optional<Progress> progress;
    if (Communicator::world().first())
        progress.emplace(options.quiet);
    else
        progress.emplace(nobody);  // the first speaks
    run_configuration(config_file, {}, options, *progress);
}

void command_generate(const GenerateOptions& options) {
    if (!fs::is_directory(options.dir)) {
        throw InputError(options.dir +
                         ": there is no such directory; give the directory of a run");
    }
    if (!StatesWriter::writes(options.out_file)) {
        throw InputError("-o " + options.out_file +
                         ": not the name of a .npy file, nor of atoms' .dcd or .pdb; write for example -o states.npy");
    }
    const DirectoryLock lock(options.dir, DirectoryLock::Use::reading);
    Progress progress(options.quiet);
    generate_states(options, progress);
    progress.end();
}

void command_learn(const LearnOptions& options) {
    if (!fs::is_directory(options.dir)) {
        throw InputError(options.dir +
                         ": there is no such directory; give the directory of a run");
    }
    const DirectoryLock lock(options.dir, options.out_file.empty() ? DirectoryLock::Use::alone
                                                                   : DirectoryLock::Use::reading);
    Progress progress(options.quiet);
    std::cout << printable(learn_from_run(options, progress), kWholeText, Controls::escape);
    progress.end();
}

namespace {

// The most at once, where, and of what.
std::string describe_memory(const RunConfig& run, const Model& model, const RunOptions& options) {
    const RunMemory memory = run_memory(run, model, Device::pick("cpu", options.threads), resident_bytes());
    const StageMemory& greatest = memory.greatest();
    return gigabytes(memory.most()) + " at the most, in '" + greatest.stage + "': the program " +
           gigabytes(memory.process) + ", samples " + gigabytes(memory.samples) + ", this stage " +
           gigabytes(greatest.bytes);
}

}  // namespace

void command_check(const std::string& config_file, const RunOptions& options, bool advise) {
    RunConfig run = check_run_config(config_file, options, available_memory_bytes());
    if (advise) check_advisable(run);
    const RunCost cost = run_cost(run);
    const Model model(run);
    // Comments, so that the whole output is a configuration.
    // Nobody knows where what is printed will lie.
    name_files_wholly(run);
    std::cout << run.config.to_toml() << "\n# trajectories: " << format_count(cost.trajectories)
              << "\n# samples stored: " << format_count(cost.samples)
              << "\n# force evaluations: " << (run.rates.enabled ? "about " : "") << format_count(cost.force_evaluations)
              << "\n# memory: " << describe_memory(run, model, options) << "\n# disk: up to "
              << gigabytes(cost.disk_bytes) << "\n";
    // Only where it matters: what is free changes from one moment to the next.
    if (const double free = free_disk_bytes("."); cost.disk_bytes > free)
        std::cout << "# warning: the file system here has " << gigabytes(free) << " free\n";
    if (run.bias.enabled)
        std::cout << "# bias: " << bias_reader(run.bias.method).describe(run.bias, run.umbrella, model.kt()) << "\n";
    if (run.rates.enabled) std::cout << "# rates: " << describe_rates(run.rates) << "\n";
    if (!model.gradient()) std::cout << "# energies: in the unit where " << model.energy_unit() << "\n";
    if (const std::string remark = model.bias_remark(); !remark.empty())
        std::cout << "# warning: " << remark << "\n";
    if (!advise) return;
    std::cout << std::flush;
    for (const std::string& line : advice(run, options)) std::cout << "# " << line << "\n";
}

}  // namespace microlift
