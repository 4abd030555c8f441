#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <new>
#include <optional>

#include "engine/config/names.h"
#include "engine/config/section.h"
#include "engine/comm/communicator.h"
#include "engine/device/cpu.h"
#include "engine/files/left.h"
#include "engine/progress.h"
#include "engine/stop_together.h"
#include "engine/text.h"
#include "tools/command/commands.h"

namespace microlift {
namespace {

constexpr int kInternalError = 1;

const char* const kDescription =
    "microlift runs biased ensembles of stochastic trajectories, estimates the free energy along\n"
    "collective variables, trains a conditional generator that lifts coarse values back to\n"
    "fine-scale states, and closes the reduced model.";
const char* const kFooter =
    "Start with:  microlift run tools/examples/muller_brown.toml -o out\n"
    "Exit status: 0 done; 2 wrong input; 3 device missing or failed; 4 the numbers went wrong;\n"
    "             130/143 stopped by a signal after writing a checkpoint (go on with --resume);\n"
    "             75 the same at the end of --wall-time.";

std::vector<double> parse_values(const std::string& option, const std::string& text) {
    std::vector<double> values;
    const char* at = text.data();
    const char* end = at + text.size();
    for (;;) {
        double value = 0.0;
        const auto parsed = std::from_chars(at, end, value);
        if (parsed.ec != std::errc() || !(value - value == 0.0) ||
            (parsed.ptr != end && *parsed.ptr != ',')) {
            throw InputError(option + " " + text + ": not a list of numbers; write for example " +
                             option + " -0.5 or " + option + " 0.3,1.2");
        }
        values.push_back(value);
        if (parsed.ptr == end) {
            return values;
        }
        at = parsed.ptr + 1;
    }
}

constexpr std::uint64_t kMostSeed = 9200000000000000000u;  // as the key 'seed'

std::uint64_t parse_seed(const std::string& text) {
    std::uint64_t seed = 0;
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, seed);
    if (parsed.ec != std::errc() || parsed.ptr != end || seed > kMostSeed) {
        throw InputError("--seed " + text + ": not a seed; give an integer from 0 to 9.2e18");
    }
    return seed;
}

// "2h30m", "90s", "1d", or seconds.
double parse_duration(const std::string& option, const std::string& text) {
    double seconds = 0;
    const char* at = text.data();
    const char* end = at + text.size();
    bool bare = false, sound = at != end;
    while (sound && at != end) {
        double number = 0;
        const auto parsed = std::from_chars(at, end, number);
        sound = parsed.ec == std::errc() && number >= 0 && number < 1e9 && !bare;
        const char unit = parsed.ptr == end ? 0 : *parsed.ptr;
        const double factor = unit == 'd' ? 86400 : unit == 'h' ? 3600 : unit == 'm' ? 60 : unit == 's' || unit == 0 ? 1 : 0;
        bare = unit == 0;
        sound = sound && factor > 0 && !(bare && at != text.data());  // "1h5" may be minutes or seconds
        seconds += number * factor;
        at = parsed.ptr + (unit == 0 ? 0 : 1);
    }
    if (!sound || !(seconds >= 1))
        throw InputError(option + " " + text + ": not a time; write for example " + option + " 2h30m, or seconds, 1 at the least");
    return seconds;
}

void add_seed_option(CLI::App& app, std::optional<std::uint64_t>& seed, const char* help) {
    app.add_option_function<std::string>(
           "--seed", [&seed](const std::string& text) { seed = parse_seed(text); }, help)
        ->type_name("N");
}

// What the user typed, before any of it is acted on.
struct CommandLine {
    RunOptions run;
    GenerateOptions generate;
    LearnOptions learn;
    EvaluateOptions evaluate;
    std::string config_file;
    std::string report_dir;
    std::string system_name;
    std::string at;
    BenchOptions bench;
    std::optional<std::uint64_t> seed;
    bool plumed = false;
    bool markdown = false;
    bool keys = false, advise = false;
    std::string status_dir;
    bool status_json = false;
};

constexpr int kMaxThreads = 4096;

void add_device_options(CLI::App& app, std::string& device, int& threads, std::string& math) {
    app.add_option("--device", device,
                   "auto (a CUDA device if one works, else the CPU), cpu, cuda or cuda:N")
        ->type_name("NAME")
        ->capture_default_str();
    app.add_option("--threads", threads, "threads of the CPU backend; 0: one for each core")
        ->type_name("N")
        ->check(CLI::Range(0, kMaxThreads));
    app.add_option("--math", math,
                   "mathematics of trajectories and networks: fast (a CUDA device's own functions, the default "
                   "there) or portable (the same bits on every machine; all that the CPU has)")
        ->type_name("NAME");
}

void add_set_options(CLI::App& app, CommandLine& line) {
    app.add_option("--set", line.run.set,
                   "replaces a key of the configuration, for example --set umbrella.steps=2000; "
                   "any number of times")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    add_seed_option(app, line.seed, "replaces the seed of the configuration");
}

// The keys of [learn], as options.
void add_learn_options(CLI::App& app, LearnOptions& to) {
    for (const Key<LearnConfig>& key : learn_section.keys()) {
        std::string option = last_part(key.spec.path);
        if (option == "enabled") continue;
        std::replace(option.begin(), option.end(), '_', '-');
        option = "--" + option;
        const std::string help = key.spec.help + (key.spec.unit.empty() ? "" : " (" + key.spec.unit + ")");
        if (key.spec.type == KeyType::boolean) {
            app.add_flag_callback(option, [&to, &key] { key.read(to, ConfigValue::of(true)); }, help);
            continue;
        }
        const auto set = [&to, &key, option](const std::string& text) {
            learn_section.set(to, key, text, option + " " + text);
        };
        app.add_option_function<std::string>(option, set, help)
            ->type_name("VALUE")
            ->default_str(key.spec.fallback);
    }
}

void describe(CLI::App& app, CommandLine& line) {
    app.set_version_flag("--version", "microlift " MICROLIFT_VERSION);
    app.require_subcommand(1);
    app.footer(kFooter);
    app.get_formatter()->column_width(30);

    CLI::App* run = app.add_subcommand(
        "run", "Runs what the configuration names: sample, estimate, train, couple, close, report.\n"
               "Results go to files in DIR; standard output holds a short summary.");
    run->add_option("CONFIG", line.config_file, "configuration file (TOML)")->required();
    run->add_option("-o,--out", line.run.out_dir, "directory for the results")
        ->type_name("DIR")
        ->required();
    add_device_options(*run, line.run.device, line.run.threads, line.run.math);
    add_set_options(*run, line);
    CLI::Option* resume =
        run->add_flag("--resume", line.run.resume, "goes on from the last checkpoint in DIR");
    run->add_flag("--force", line.run.force,
                  "replaces the results of an earlier run in DIR; other files there stay")
        ->excludes(resume);
    run->add_option_function<std::string>(
           "--wall-time", [&line](const std::string& text) { line.run.wall_time = parse_duration("--wall-time", text); },
           "ends with a checkpoint before so much time is over (2h30m, or seconds), with exit status 75")
        ->type_name("TIME");
    run->add_flag("--quiet", line.run.quiet, "shows no progress");
    run->add_flag("!--no-report", line.run.report,
                  "draws no report.html; 'microlift report DIR' can do it later");

    CLI::App* generate = app.add_subcommand(
        "generate", "Lifts: draws fine-scale states that have the given value of the collective\n"
                    "variables, from the generator that a run has trained.");
    generate->add_option("DIR", line.generate.dir, "directory of the run")->required();
    generate
        ->add_option("--at", line.at, "value of the collective variable, or of both: V1,V2")
        ->type_name("V[,V2]")
        ->required();
    generate->add_option("-n,--count", line.generate.count, "number of states")
        ->type_name("N")
        ->check(CLI::Range(1LL, 1000000000000LL))
        ->required();
    generate->add_option("-o,--out", line.generate.out_file,
                         "file for the states: .npy, one state a row; of a molecule also .dcd or .pdb")
        ->type_name("FILE")
        ->required();
    generate->add_option("--heal", line.generate.heal_steps,
                         "relaxes each state with this many steps of restrained dynamics")
        ->type_name("STEPS")
        ->check(CLI::Range(0LL, 1000000000000LL));
    add_seed_option(*generate, line.seed, "seed of the states; that of the run if left out");
    add_device_options(*generate, line.generate.device, line.generate.threads, line.generate.math);
    generate->add_flag("--quiet", line.generate.quiet, "shows no progress");

    CLI::App* learn = app.add_subcommand(
        "learn", "Learns coarse variables from the samples of a run: a diffusion map, whose\n"
                 "coordinates a later run takes as collective variables.");
    learn->add_option("DIR", line.learn.dir, "directory of the run")->required();
    learn
        ->add_option("-o,--out", line.learn.out_file,
                     "file for the coordinates; DIR/diffusion_map.json if left out")
        ->type_name("FILE.json");
    add_learn_options(*learn, line.learn);
    add_seed_option(*learn, line.seed, "seed; that of the run if left out");
    add_device_options(*learn, line.learn.device, line.learn.threads, line.learn.math);
    learn->add_flag("--quiet", line.learn.quiet, "shows no progress");

    CLI::App* evaluate = app.add_subcommand(
        "evaluate", "Computes energies, forces and collective variables of given states.");
    evaluate->add_option("CONFIG", line.evaluate.config_file, "configuration file (TOML)")->required();
    evaluate
        ->add_option("--states", line.evaluate.states_file,
                     "states: .npy, one a row; of a molecule also (n, atoms, 3), DCD, XTC or PDB")
        ->type_name("FILE")
        ->required();
    evaluate->add_option("-o,--out", line.evaluate.out_file, "file for the results, HDF5")
        ->type_name("OUT.h5")
        ->required();
    evaluate
        ->add_option("--set", line.evaluate.set,
                     "replaces a key of the configuration, for example --set system.salt=0.1; any "
                     "number of times")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
    evaluate
        ->add_option("--device", line.evaluate.device,
                     "auto (a CUDA device if one works, else the CPU), cpu, cuda or cuda:N")
        ->type_name("NAME")
        ->capture_default_str();
    evaluate
        ->add_option("--threads", line.evaluate.threads,
                     "threads of the CPU backend; 0: one for each core")
        ->type_name("N")
        ->check(CLI::Range(0, kMaxThreads));

    CLI::App* status = app.add_subcommand(
        "status", "Says what a run is doing: stage, rate, time left, figures so far; from its files alone,\n"
                  "also of a run on another node, and of one that has ended.");
    status->add_option("DIR", line.status_dir, "directory of the run")->required();
    status->add_flag("--json", line.status_json, "as JSON");

    CLI::App* report =
        app.add_subcommand("report", "Writes DIR/report.html anew: one page with all pictures.");
    report->add_option("DIR", line.report_dir, "directory of the run")->required();

    CLI::App* check = app.add_subcommand(
        "check", "Checks a configuration and runs nothing. Prints it with all defaults filled in,\n"
                 "the memory, and the force evaluations that its biased runs will take.");
    check->add_option("CONFIG", line.config_file, "configuration file (TOML)");
    check->add_flag("--keys", line.keys, "lists every key with its values, default and meaning");
    check->add_flag("--advise", line.advise,
                    "runs a pilot of some seconds under one bias, and says what it found and which method fits");
    check->add_flag("--plumed", line.plumed, "lists every action and key of PLUMED inputs, and what becomes of it");
    add_set_options(*check, line);

    CLI::App* systems = app.add_subcommand(
        "systems", "Lists the built-in systems, or describes one: its formulas, variables,\n"
                   "parameters with defaults and units, and collective variables.");
    systems->add_option("NAME", line.system_name, "a system");
    systems->add_flag("--markdown", line.markdown, "as a table for a README");

    app.add_subcommand("info", "Shows the build, the devices, the lane width and the precision.");

    CLI::App* bench =
        app.add_subcommand("bench", "Measures throughput; every timed run checks its own physics.");
    CLI::Option* names = bench->add_option("NAME", line.bench.names,
                                           "what to measure, NAME or NAME:key=value,…; everything if left out");
    CLI::Option* json = bench->add_option("--json", line.bench.json_file, "writes the figures to this file")
                            ->type_name("FILE");
    CLI::Option* compare = bench->add_option("--compare", line.bench.compare,
                                             "sets the figures beside those of a file that --json wrote")
                               ->type_name("FILE");
    bench->add_option("--with", line.bench.with, "compares the figures of this file, and runs nothing")
        ->type_name("FILE")
        ->needs(compare)
        ->excludes(names)
        ->excludes(json);
    bench->add_option("--fail-below", line.bench.fail_below,
                      "exit status 4 where a rate is less than this share of the compared one, as 0.9")
        ->type_name("SHARE")
        ->check(CLI::PositiveNumber)
        ->needs(compare);
    add_device_options(*bench, line.bench.device, line.bench.threads, line.bench.math);
}

void act(const CLI::App& app, CommandLine& line) {
    line.run.seed = line.generate.seed = line.learn.seed = line.seed;
    if (app.got_subcommand("run")) {
        install_signal_handlers();
        command_run(line.config_file, line.run);
    } else if (app.got_subcommand("generate")) {
        install_signal_handlers();
        line.generate.at = parse_values("--at", line.at);
        command_generate(line.generate);
    } else if (app.got_subcommand("learn")) {
        install_signal_handlers();
        command_learn(line.learn);
    } else if (app.got_subcommand("evaluate")) {
        install_signal_handlers();
        command_evaluate(line.evaluate);
    } else if (app.got_subcommand("status")) {
        command_status(line.status_dir, line.status_json);
    } else if (app.got_subcommand("report")) {
        command_report(line.report_dir);
    } else if (app.got_subcommand("check")) {
        if (line.keys) {
            command_keys();
        } else if (line.plumed) {
            command_plumed();
        } else if (line.config_file.empty()) {
            throw InputError("CONFIG is required; see 'microlift check --help'");
        } else {
            command_check(line.config_file, line.run, line.advise);
        }
    } else if (app.got_subcommand("systems")) {
        command_systems(line.system_name, line.markdown);
    } else if (app.got_subcommand("info")) {
        command_info();
    } else if (app.got_subcommand("bench")) {
        install_signal_handlers();
        command_bench(line.bench);
    }
}

void refuse_unknown_command(const CLI::App& app, int argc, char** argv) {
    if (argc < 2 || argv[1][0] == '-') {
        return;
    }
    const std::string name = argv[1];
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        names.push_back(command->get_name());
    }
    std::string known;
    for (const std::string& each : names) {
        if (each == name) {
            return;
        }
        known += (known.empty() ? "" : ", ") + each;
    }
    const std::string near = nearest_name(name, names);
    throw InputError("unknown command '" + name + "'; " +
                     (near.empty() ? "the commands are " + known : "did you mean '" + near + "'?"));
}

// A file opened later would get the number of a standard stream that is closed, and what is said its text.
void open_standard_streams() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) _exit(kInternalError);
}

// A configuration may have several faults, one a line.
void tell(const std::string& message) {
    std::cout.flush();
    for (std::size_t at = 0; at <= message.size();) {
        const std::size_t end = std::min(message.find('\n', at), message.size());
        const std::string line = printable(message.substr(at, end - at), kWholeText, Controls::escape);
        std::fprintf(stderr, "microlift: %s\n", line.c_str());
        at = end + 1;
    }
}

// Of the processes of a run the first alone writes files and speaks; nothing else is shared out.
void take_part(const CLI::App& app) {
    const Communicator& world = Communicator::world();
    if (world.alone()) return;
    if (!app.got_subcommand("run"))
        throw InputError("only 'microlift run' is shared out to several processes; start it without mpirun");
    if (world.first()) return;
    leave_files_to_another();
    stop_silently();
}

int run_command_line(int argc, char** argv) {
    ignore_write_signals();
    CLI::App app(kDescription, "microlift");
    CommandLine line;
    describe(app, line);
    if (argc < 2) {
        std::cout << app.help();
        return 2;
    }
    try {
        refuse_unknown_command(app, argc, argv);
        app.parse(argc, argv);
        take_part(app);
        act(app, line);
    } catch (const Interrupted& stopped) {
        if (app.got_subcommand("run")) throw;
        throw Error("stopped by signal " + std::to_string(stopped.signal()), stopped.exit_code());
    } catch (const CLI::Success& request) {
        app.exit(request, std::cout, std::cerr);  // --help, --version
    } catch (const CLI::ParseError& error) {
        std::string command = "microlift";
        for (const CLI::App* used : app.get_subcommands()) {
            command += " " + used->get_name();
        }
        throw InputError(std::string(error.what()) + "; see '" + command + " --help'");
    }
    std::cout.flush();
    if (!std::cout || std::fflush(stdout) != 0) {
        throw InputError("cannot write to standard output; free some space, or write elsewhere");
    }
    return 0;
}

}  // namespace
}  // namespace microlift

int main(int argc, char** argv) {
    microlift::open_standard_streams();
    std::string message;
    int status = 0;
    microlift::Communicator& world = microlift::Communicator::world();
    world.tell_through(microlift::tell);
    try {
        microlift::check_cpu_level();
        world.begin();
        status = microlift::run_command_line(argc, argv);
        world.finish();
        return status;
    } catch (const microlift::Error& error) {
        message = error.what();
        status = error.exit_code();
    } catch (const std::bad_alloc&) {
        message = "there is not enough memory; take fewer windows, replicas or samples";
        status = 2;
    } catch (const std::filesystem::filesystem_error& error) {
        message = std::string("cannot use ") + error.path1().string() + ": " +
                  error.code().message() + "; check the path";
        status = 2;
    } catch (const std::exception& error) {
        message = std::string("internal error: ") + error.what() + "; please report it";
        status = microlift::kInternalError;
    }
    world.fail(status, message);
    return status;
}
