#include "sampling/run/config/inputs.h"

#include <filesystem>

#include "engine/at.h"
#include "engine/files/files.h"
#include "engine/files/hash.h"
#include "sampling/model/molecule_config.h"

namespace microlift {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 32;

std::string checksum_of_file(const fs::path& file) { return checksum_of(read_file(file, kMostBytes)); }

bool is_file(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

std::string no_file(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored) ? "which is no file" : "which does not exist";
}

std::string initial_name(const std::string& file) {
    return fs::path(file).extension() == ".npy" ? "input_initial.npy" : "input_initial.csv";
}

std::string learned_name(std::size_t k) { return "input_cv_" + std::to_string(k + 1) + ".json"; }

// "input_topology": what a molecule's file is, its content says.
std::string molecule_name(const std::string& key) {
    return "input_" + key.substr(key.find('.') + 1);
}

std::string entry(std::size_t k) { return "cv.variables[" + std::to_string(k) + "]"; }

// Of two different files of that name neither is taken.
void check_one_meant(const std::string& key, const fs::path& beside, const fs::path& here) {
    std::error_code ignored;
    if (fs::equivalent(beside, here, ignored) || checksum_of_file(beside) == checksum_of_file(here)) return;
    throw KeyError(key,
                   "key '" + key + "' names the file '" + here.string() +
                       "', and there are two: in the folder of the configuration, and in the working "
                       "directory",
                   "give the whole path, or remove one of them");
}

struct Search {
    std::string key, given, checksum, copy;  // copy: the run's, with --resume
    bool from_option = false;                // of the command line
};

// The path to use; as given where there is no such file.
std::string found(const Search& search, const fs::path& folder) {
    const fs::path given = search.given, beside = folder / given;
    if (!search.from_option && is_file(beside)) {
        if (search.checksum.empty() && is_file(given)) check_one_meant(search.key, beside, given);
        return beside.string();
    }
    if (!is_file(given) && is_file(search.copy)) return search.copy;
    return search.given;
}

void check_file(const std::string& key, const std::string& file, const std::string& given) {
    if (given.empty()) return;
    check_checksum(key, file, of_key(key.c_str(), [&] { return checksum_of_file(file); }), given);
}

void find_learned(RunConfig& run, std::size_t k, Search search, const fs::path& folder) {
    CvVariable& variable = run.cv.variables[k];
    search.key = entry(k) + ".file";
    variable.file = found(search, folder);
    if (!is_file(variable.file))
        throw KeyError(search.key,
                       "key '" + search.key + "' names the file '" + variable.file +
                           "', " + no_file(variable.file),
                       "give the path of a file that 'microlift learn' wrote");
    check_file(search.key, variable.file, variable.checksum);
}

}  // namespace

std::vector<std::string> molecule_copies(const ConfigValue& system, const fs::path& folder,
                                         const fs::path& dir) {
    std::vector<std::string> changes;
    for (const char* key : {"topology", "coordinates"}) {
        const ConfigValue* given = system.find(key);
        if (given == nullptr || given->kind != ConfigValue::Kind::text) continue;
        const fs::path copy = dir / molecule_name(std::string("system.") + key);
        if (is_file(folder / given->text) || !is_file(copy)) continue;
        changes.push_back("system." + std::string(key) + "=" +
                          toml_string(fs::absolute(copy).string()));
    }
    return changes;
}

void find_inputs(RunConfig& run, const std::string& config_file, const RunOptions& options) {
    const fs::path folder = fs::path(config_file).parent_path();
    const auto search = [&](const std::string& key, const std::string& given,
                            const std::string& checksum, const std::string& name) {
        const ConfigValue* value = run.config.find(key);
        return Search{key, given, checksum,
                      options.resume ? (fs::path(options.out_dir) / name).string() : "",
                      value != nullptr && value->origin.line == 0};
    };
    for (std::size_t k = 0; k < run.cv.variables.size(); ++k) {
        const CvVariable& variable = run.cv.variables[k];
        if (variable.file.empty()) continue;
        run.config.with({entry(k)}, [&] {
            find_learned(run, k, search(entry(k), variable.file, variable.checksum, learned_name(k)),
                         folder);
        });
    }
    UmbrellaConfig& umbrella = run.umbrella;
    if (umbrella.initial_file.empty()) return;
    run.config.with({kInitial}, [&] {
        umbrella.initial_file = found(search(kInitial, umbrella.initial_file, umbrella.initial_checksum,
                                             initial_name(umbrella.initial_file)),
                                      folder);
    });
}

void check_initial_file(const UmbrellaConfig& umbrella) {
    if (umbrella.initial_file.empty()) {
        if (umbrella.initial_checksum.empty()) return;
        throw KeyError("umbrella.initial_checksum",
                       "key 'umbrella.initial_checksum' is given without a file in 'umbrella.initial'",
                       "leave it out");
    }
    if (!is_file(umbrella.initial_file))
        throw KeyError(kInitial,
                       "key 'umbrella.initial' names the file '" + umbrella.initial_file +
                           "', " + no_file(umbrella.initial_file),
                       "give a state such as [-0.5, 1.5], \"line\", or the path of a file");
    check_file(kInitial, umbrella.initial_file, umbrella.initial_checksum);
}

void name_files_wholly(RunConfig& run) {
    const auto set = [&](const std::string& key, const std::string& file) {
        run.config.set(key, ConfigValue::of(fs::absolute(file).lexically_normal().string()));
    };
    if (run.molecule)
        for (const MoleculeFile& file : molecule_files(run.config, *run.molecule))
            if (!file.file.empty()) set(file.key, file.file);
    const fs::path folder = fs::path(run.config.file()).parent_path();
    // A pattern is no file: where its folder is there it is meant.
    const auto place = [&](const std::string& name) {
        std::error_code ignored;
        return fs::exists((folder / name).parent_path(), ignored) ? folder / name : fs::path(name);
    };
    for (const char* key : {"samples.states", "samples.colvar"}) {
        if (!run.config.has(key)) continue;
        std::vector<std::string> names;
        for (const ConfigValue& item : run.config.at(key).items)
            names.push_back(fs::absolute(place(item.text)).lexically_normal().string());
        run.config.set(key, ConfigValue::of(names));
    }
    for (const char* key : {"samples.windows", "samples.gathered"})
        if (run.config.has(key)) set(key, place(run.config.text(key)).string());
}

std::vector<RunInput> take_inputs(RunConfig& run) {
    std::vector<RunInput> inputs;
    const auto take = [&](const std::string& key, const std::string& file, const std::string& name,
                          const std::string& expected) {
        RunInput input{key, name, read_file(file, kMostBytes), ""};
        input.checksum = checksum_of(input.content);
        if (!expected.empty() && expected != input.checksum)
            throw InputError(file + ": it changed a moment ago; start again when it is finished");
        inputs.push_back(std::move(input));
    };
    Config& config = run.config;
    ConfigValue variables = config.at("cv.variables");
    for (std::size_t k = 0; k < run.cv.variables.size(); ++k) {
        const CvVariable& variable = run.cv.variables[k];
        if (variable.file.empty()) continue;
        take(entry(k) + ".file", variable.file, learned_name(k), variable.checksum);
        variables.items[k].put("file", ConfigValue::of(inputs.back().name));
        variables.items[k].put("checksum", ConfigValue::of(inputs.back().checksum));
    }
    if (!inputs.empty()) config.set("cv.variables", std::move(variables));
    if (run.molecule)
        for (const MoleculeFile& file : molecule_files(config, *run.molecule)) {
            if (file.file.empty()) continue;
            take(file.key, file.file, molecule_name(file.key), file.checksum);
            config.set(file.key, ConfigValue::of(inputs.back().name));
            config.set(std::string(file.key) + "_checksum", ConfigValue::of(inputs.back().checksum));
        }
    if (run.samples.given) {
        const std::vector<std::byte> bytes = format_safetensors(run.samples.given->tensors());
        RunInput input{"samples.states", kGathered, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, ""};
        input.checksum = checksum_of(input.content);
        config.set("samples.gathered", ConfigValue::of(input.name));
        config.set("samples.checksum", ConfigValue::of(input.checksum));
        inputs.push_back(std::move(input));
    }
    if (!run.umbrella.initial_file.empty()) {
        take(kInitial, run.umbrella.initial_file, initial_name(run.umbrella.initial_file),
             run.umbrella.initial_checksum);
        config.set(kInitial, ConfigValue::of(inputs.back().name));
        config.set("umbrella.initial_checksum", ConfigValue::of(inputs.back().checksum));
    }
    return inputs;
}

void check_same_inputs(const std::vector<RunInput>& inputs, const fs::path& dir) {
    for (const RunInput& input : inputs) {
        const fs::path copy = dir / input.name;
        if (is_file(copy) && checksum_of_file(copy) != input.checksum)
            throw InputError(copy.string() + ": the run there began with another file than '" +
                             input.key + "' names now; put that file back to go on, or begin anew "
                             "with --force");
    }
}

void keep_inputs(RunConfig& run, const std::vector<RunInput>& inputs, const fs::path& dir) {
    for (const RunInput& input : inputs) write_file(dir / input.name, input.content);
    for (std::size_t k = 0; k < run.cv.variables.size(); ++k)
        if (!run.cv.variables[k].file.empty())
            run.cv.variables[k].file = (dir / learned_name(k)).string();
    std::string& initial = run.umbrella.initial_file;
    if (!initial.empty()) initial = (dir / initial_name(initial)).string();
}

void check_same_run(const fs::path& file, const std::string& configuration, const RunConfig& run) {
    if (configuration.empty() || configuration == run.checksum()) return;
    throw InputError(file.string() + ": a run of another configuration than config.toml beside it wrote "
                                     "it; put back the file that is missing, or run again");
}

std::vector<std::string> input_names() {
    std::vector<std::string> names{initial_name("a.csv"), initial_name("a.npy")};
    for (std::size_t k = 0; k < at(kMaxCvs); ++k) names.push_back(learned_name(k));
    for (const char* key : {"system.topology", "system.coordinates"}) names.push_back(molecule_name(key));
    names.emplace_back(kGathered);
    return names;
}

}  // namespace microlift
