// Reading the samples that [samples] names.
#include <glob.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>

#include "engine/at.h"
#include "engine/config/section.h"
#include "engine/files/files.h"
#include "engine/files/hash.h"
#include "engine/stop.h"
#include "engine/text.h"
#include "sampling/dynamics/systems.h"
#include "sampling/formula/substitute.h"
#include "sampling/model/model.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/config/samples_config.h"
#include "sampling/samples/files/states_file.h"
#include "sampling/samples/files/window_table.h"

namespace microlift {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostOfCopy = std::size_t{1} << 32;
constexpr index kStatesAtATime = 4096;
constexpr double kElectronVolt = 8.617333262e-5 / kGasConstant;  // eV in a kJ/mol
// Of the range, by which a COLVAR may differ: coordinates of XTC are rounded.
constexpr double kDiffers = 0.02;
// Components of PLUMED's biases, which are no collective variables.
constexpr const char* kNoVariables[] = {"bias", "rbias", "rct", "force2", "work", "zed", "neff", "nker", "acc", "weight"};

// How much of a unit a kJ/mol is; kT: nothing known.
double of_kilojoules(const std::string& unit) {
    return unit == "kcal/mol" ? 1 / 4.184 : unit == "eV" ? kElectronVolt : 1;
}

// A name that formulas may have.
std::string variable_name(const std::string& name) {
    std::string out;
    for (const char c : name)
        out += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
    if (out.empty() || (out[0] >= '0' && out[0] <= '9')) out = "v" + out;
    return out;
}

bool is_variable(const std::string& column) {
    if (column == "time" || column.ends_with("_bias")) return false;
    const std::string part = column.substr(column.rfind('.') + 1);
    return std::ranges::find(kNoVariables, part) == std::end(kNoVariables);
}

// The names in the formulas of the collective variables.
std::vector<std::string> named_by_cvs(const Config& config) {
    std::vector<std::string> names;
    const auto scan = [&](const std::string& formula) {
        (void)with_names(formula, [&](std::string_view name, bool called) {
            if (!called) names.emplace_back(name);
            return std::string();
        });
    };
    for (const char* key : {"cv.variables", "cv.where"}) {
        if (!config.has(key)) continue;
        for (const ConfigValue& entry : config.at(key).items) {
            if (entry.kind == ConfigValue::Kind::text) scan(entry.text);
            const ConfigValue* formula = entry.find("formula");
            if (formula && formula->kind == ConfigValue::Kind::text) scan(formula->text);
        }
    }
    return names;
}

// Numbers within names count as numbers: run2 before run10.
bool comes_before(const std::string& a, const std::string& b) {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    std::size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        if (!digit(a[i]) || !digit(b[j])) {
            if (a[i] != b[j]) return a[i] < b[j];
            ++i, ++j;
            continue;
        }
        const std::size_t from = i, with = j;
        while (i < a.size() && digit(a[i])) ++i;
        while (j < b.size() && digit(b[j])) ++j;
        std::string_view x(a.data() + from, i - from), y(b.data() + with, j - with);
        while (x.size() > 1 && x[0] == '0') x.remove_prefix(1);
        while (y.size() > 1 && y[0] == '0') y.remove_prefix(1);
        if (x != y) return x.size() != y.size() ? x.size() < y.size() : x < y;
    }
    return a.size() - i < b.size() - j;
}

bool is_pattern(const std::string& name) { return name.find_first_of("*?[") != std::string::npos; }

// The files of a pattern, as given relative to the configuration's folder, or else to the working directory.
std::vector<std::string> matches(const fs::path& folder, const std::string& pattern) {
    for (const fs::path& base : {folder, fs::path()}) {
        glob_t found{};
        std::vector<std::string> names;
        if (::glob((base / pattern).c_str(), GLOB_NOSORT, nullptr, &found) == 0)
            for (std::size_t i = 0; i < found.gl_pathc; ++i) names.emplace_back(found.gl_pathv[i]);
        ::globfree(&found);
        std::ranges::sort(names, comes_before);
        if (!names.empty()) return names;
    }
    return {};
}

// Of `states` or `colvar`: every pattern by its files.
std::vector<std::string> expanded(const char* key, const fs::path& folder, const std::vector<std::string>& given) {
    std::vector<std::string> files;
    for (const std::string& name : given) {
        if (!is_pattern(name)) {
            files.push_back(name);
            continue;
        }
        const std::vector<std::string> found = matches(folder, name);
        if (found.empty())
            throw KeyError(key, "key '" + std::string(key) + "' names '" + name + "', and no file is called so",
                           "give files that are there, as paths from the configuration's folder");
        files.insert(files.end(), found.begin(), found.end());
    }
    return files;
}

fs::path place_of_file(const fs::path& file) {
    std::error_code failed;
    const fs::path whole = fs::weakly_canonical(file, failed);
    return failed ? file : whole;
}

// Rows of one time are of several walkers, each of which is a trajectory.
std::vector<Colvar> by_walker(Colvar all) {
    const index time = all.column("time"), columns = std::ssize(all.names);
    index walkers = 1;
    while (time >= 0 && walkers < all.rows() && all.value(walkers, time) == all.value(0, time)) ++walkers;
    std::vector<Colvar> parts;
    for (index w = 0; w < walkers && walkers > 1; ++w) {
        Colvar& part = parts.emplace_back();
        part.names = all.names;
        part.period = all.period;
        for (index row = w; row < all.rows(); row += walkers) {
            part.lines.push_back(all.lines[at(row)]);
            for (index c = 0; c < columns; ++c) part.values.push_back(all.value(row, c));
        }
    }
    if (parts.empty()) parts.push_back(std::move(all));
    return parts;
}

class Gatherer {
public:
    Gatherer(Config& config, SamplesConfig& samples, ModelConfig& model, const fs::path& folder)
        : config_(config), samples_(samples), model_(model), folder_(folder), alone_(model.system.states_alone) {}

    GivenSamples gather() {
        samples_.states = expanded("samples.states", folder_, samples_.states);
        samples_.colvar = expanded("samples.colvar", folder_, samples_.colvar);
        check_keys();
        check_files("samples.states", samples_.states);
        check_files("samples.colvar", samples_.colvar);
        read_columns();
        read_states();
        take_columns();
        weigh();
        find_windows();
        if (alone_) {
            model_.system.variables = out_.variables;
            fill_periods();
        }
        return std::move(out_);
    }

private:
    std::string found(const std::string& given) const {
        std::error_code ignored;
        const fs::path beside = folder_ / given;
        if (fs::is_regular_file(beside, ignored)) return beside.string();
        return given;
    }

    // Each a file, and another one: a trajectory taken twice would count as two.
    void check_files(const char* key, const std::vector<std::string>& names) const {
        std::map<fs::path, std::string> before;
        for (const std::string& name : names) {
            std::error_code ignored;
            const std::string file = found(name);
            for (const fs::path& path : {folder_ / name, fs::path(name)})
                if (fs::is_directory(path, ignored) && !fs::is_regular_file(file, ignored))
                    throw KeyError(key, "key '" + std::string(key) + "' names '" + printable(name, 200) + "', which is a directory",
                                   "name the files in it, for example by \"" + printable(name, 200) + "/*\"");
            const auto [first, is_new] = before.emplace(place_of_file(file), name);
            if (!is_new)
                throw KeyError(key, "key '" + std::string(key) + "' names " + printable(file, 200) + " twice" +
                                        (first->second == name ? "" : ", also as '" + printable(first->second, 200) + "'"),
                               "name each trajectory once");
        }
    }

    void check_keys() const {
        if (samples_.states.empty() && samples_.colvar.empty())
            throw KeyError("samples.states", "[samples] names neither 'states' nor 'colvar'",
                           "give files, for example states = [\"run1.dcd\", \"run2.dcd\"]");
        if (samples_.states.empty() && !alone_)
            throw KeyError("samples.states", "key 'samples.states' is missing, and a [system] has states",
                           "name them, or leave [system] out: the columns of 'colvar' are then the states");
        if (!samples_.weights.empty() && samples_.colvar.empty())
            throw KeyError("samples.weights", "key 'samples.weights' names columns, and there is no 'samples.colvar'",
                           "give the COLVAR files that have them");
        for (std::size_t i = 0; i < samples_.weights.size(); ++i)
            if (std::count(samples_.weights.begin(), samples_.weights.end(), samples_.weights[i]) > 1)
                throw KeyError("samples.weights", "key 'samples.weights' names the column '" +
                                                      printable(samples_.weights[i], 80) + "' twice",
                               "name each bias once");
        if (!samples_.weights.empty() && !samples_.windows.empty())
            throw KeyError("samples.windows", "there are both 'samples.weights' and 'samples.windows'",
                           "keep one: what is held by umbrellas needs no weights");
        if (!samples_.length_unit.empty() && !model_.molecule)
            throw KeyError("samples.length_unit", "key 'samples.length_unit' is of a molecule's coordinates",
                           "leave it out");
    }

    // --- COLVAR files

    void read_columns() {
        for (const std::string& name : samples_.colvar) {
            check_stop();
            const std::string file = found(name);
            of_key("samples.colvar", [&] {
                for (Colvar& part : by_walker(read_colvar(TextFile(file)))) colvar_.push_back(std::move(part));
                colvar_files_.resize(colvar_.size(), file);
                if (colvar_.back().names != colvar_.front().names)
                    throw InputError(file + ": its columns are others than those of " + colvar_files_.front() +
                                     "; give files of the same columns");
            });
            const Colvar& read = colvar_.back();
            if (samples_.states.empty() && samples_.colvar_first >= read.rows())
                throw KeyError("samples.colvar_first", file + " has " + count_of(at(read.rows()), "row") +
                                                           ", and 'samples.colvar_first' is " +
                                                           std::to_string(samples_.colvar_first),
                               "give a row that is there, counted from 0");
        }
    }

    index row_of(index state) const { return samples_.colvar_first + state * samples_.colvar_stride; }

    // As many rows as states.
    void check_rows(std::size_t i, const std::string& file, index states) const {
        if (i >= colvar_.size()) return;
        const index rows = colvar_[i].rows();
        const index fit = rows > samples_.colvar_first ? (rows - 1 - samples_.colvar_first) / samples_.colvar_stride + 1 : 0;
        if (fit == states) return;
        throw KeyError("samples.colvar",
                       colvar_files_[i] + " has " + count_of(at(rows), "row") + ", of which " + std::to_string(fit) +
                           " are told to be of states, and " + file + " has " +
                           count_of(at(states), "state"),
                       "give a row for each state, or say by 'samples.colvar_first' and 'samples.colvar_stride' which "
                       "rows are of states");
    }

    // --- states

    void read_states() {
        if (!alone_) own_ = out_.variables = symbols_of(model_.system).variables;
        for (std::size_t i = 0; i < colvar_.size() && samples_.states.empty(); ++i) take_rows_of_columns(i);
        for (const std::string& name : samples_.states)
            of_key("samples.states", [&] { read_file(found(name)); });
        if (!colvar_.empty() && colvar_.size() != out_.lengths.size())
            throw KeyError("samples.colvar",
                           "key 'samples.colvar' names " + count_of(samples_.colvar.size(), "file") + ", and 'samples.states' has " +
                               (out_.lengths.size() == 1 ? "one trajectory"
                                                         : std::to_string(out_.lengths.size()) + " trajectories"),
                           "give one for each trajectory, in the same order");
    }

    // A trajectory of so many states.
    void note(const std::string& states, index all) {
        const std::size_t i = out_.lengths.size();
        SamplesConfig::Origin& origin = samples_.origins.emplace_back();
        origin.states = states;
        if (i < colvar_files_.size()) origin.colvar = colvar_files_[i];
        origin.first = static_cast<index>(std::floor(samples_.discard * static_cast<double>(all)));
        out_.lengths.push_back(all - origin.first);
        for (index s = origin.first; s < all && i < colvar_.size(); ++s)
            origin.lines.push_back(colvar_[i].lines[at(row_of(s))]);
    }

    void take_rows_of_columns(std::size_t i) {
        const index rows = colvar_[i].rows();
        note("", (rows - 1 - samples_.colvar_first) / samples_.colvar_stride + 1);
    }

    void read_file(const std::string& name) {
        StatesFile file(name, own_, model_.molecule.get(), true);
        if (own_.empty()) {
            own_ = file.variables();
            for (const std::string& variable : own_) out_.variables.push_back(variable_name(variable));
        }
        const auto kind = fs::path(name).extension();
        const bool angstrom = samples_.length_unit == "angstrom" && (kind == ".npy" || kind == ".csv");
        const auto n = std::ssize(out_.variables);
        std::vector<double> rows;
        for (const StatesFile::Part& part : file.parts()) {
            check_rows(out_.lengths.size(), name, part.count);
            note(name, part.count);
            for (index first = samples_.origins.back().first; first < part.count; first += kStatesAtATime) {
                check_stop();
                const index count = std::min(kStatesAtATime, part.count - first);
                file.read(part, first, count, rows);
                for (index j = 0; j < count * n; ++j) {
                    const auto value = static_cast<float>(angstrom ? 0.1 * rows[at(j)] : rows[at(j)]);
                    if (!std::isfinite(value))
                        throw InputError(name + ": state " + std::to_string(part.first + (first + j / n) * part.stride) +
                                         " (counted from 0) has " + out_.variables[at(j % n)] + " = " +
                                         number(rows[at(j)], 6) +
                                         ", which is not finite in single precision; leave the state out");
                    states_.push_back(value);
                }
            }
            if (file.samples()) take_bias(file, part);
        }
    }

    // Of another run's samples: the window that a trajectory was in, or its weights.
    void take_bias(const StatesFile& file, const StatesFile::Part& part) {
        const SamplesInfo& info = file.samples()->info();
        const index K = std::ssize(info.cvs), all = file.count();
        if (info.blocks.empty())
            throw InputError(file.file().string() + ": it does not say which samples are of one trajectory, as files of an "
                                                    "earlier version; run its configuration again");
        const bool windows = info.cvs == cv_names() && std::ssize(info.stiffness) == K && K <= kMaxCvs &&
                             std::ranges::all_of(info.stiffness, [](double s) { return s > 0; });
        if (windows) {
            auto& own = own_windows_.emplace_back();
            for (index k = 0; k < K; ++k) {
                own.center[at(k)] = info.centers[at(part.window * K + k)];
                own.stiffness[at(k)] = info.stiffness[at(k)];
            }
            return;
        }
        if (!info.weighted)
            throw InputError(file.file().string() + ": its samples have neither weights nor windows of these collective "
                                                    "variables; add [estimate] to its configuration and run it again");
        if (weights_of_.first != file.file()) {
            weights_of_ = {file.file(), std::vector<double>(at(all))};
            file.samples()->read(0, all, nullptr, nullptr, nullptr, weights_of_.second.data());
        }
        for (index s = samples_.origins.back().first; s < part.count; ++s)
            own_weights_.push_back(std::max(weights_of_.second[at(part.first + s * part.stride)], -1e30));  // or none
    }

    std::vector<std::string> cv_names() const {
        std::vector<std::string> names;
        if (!config_.has("cv.variables")) return names;
        for (const ConfigValue& entry : config_.at("cv.variables").items) {
            const ConfigValue* name = entry.kind == ConfigValue::Kind::text ? &entry : entry.find("name");
            if (!name && entry.kind == ConfigValue::Kind::table) name = entry.find("formula");
            names.push_back(name && name->kind == ConfigValue::Kind::text ? name->text : "");
        }
        return names;
    }

    // --- columns that become variables, or that the system's own collective variables are compared with

    void take_columns() {
        std::vector<index> taken;
        const std::vector<std::string> wanted = named_by_cvs(config_);
        if (!colvar_.empty()) {
            const Colvar& first = colvar_.front();
            for (std::size_t c = 0; c < first.names.size(); ++c) {
                const std::string name = variable_name(first.names[c]);
                const bool there = std::ranges::find(out_.variables, name) != out_.variables.end();
                if (there || !alone_) continue;
                if (samples_.states.empty() ? is_variable(first.names[c]) && !is_weight(first.names[c])
                                            : std::ranges::find(wanted, name) != wanted.end())
                    add_variable(name, static_cast<index>(c), taken);
            }
        }
        if (out_.variables.empty())
            throw KeyError("samples.colvar", colvar_files_.front() + " has no column of a collective variable",
                           "give COLVAR files with the variables that [cv] names");
        interleave(taken);
        if (!alone_) keep_beside();
    }

    void add_variable(const std::string& name, index column, std::vector<index>& taken) {
        out_.variables.push_back(name);
        taken.push_back(column);
        column_of_[name] = column;
    }

    bool is_weight(const std::string& column) const {
        return std::ranges::find(samples_.weights, column) != samples_.weights.end();
    }

    // The rows of the states, each with its columns behind it.
    void interleave(const std::vector<index>& taken) {
        const auto n = std::ssize(out_.variables), own = n - std::ssize(taken);
        out_.state.reserve(at(out_.rows() * n));
        index row = 0;
        for (std::size_t i = 0; i < out_.lengths.size(); ++i)
            for (index s = 0; s < out_.lengths[i]; ++s, ++row) {
                for (index d = 0; d < own; ++d) out_.state.push_back(states_[at(row * own + d)]);
                for (const index column : taken) {
                    const auto value = static_cast<float>(value_of(i, s, column));
                    if (!std::isfinite(value))
                        throw KeyError("samples.colvar", place(i, s) + ": '" + colvar_[i].names[at(column)] +
                                                             "' is beyond single precision",
                                       "choose other units");
                    out_.state.push_back(value);
                }
            }
        states_ = {};
    }

    double value_of(std::size_t i, index kept, index column) const {
        return colvar_[i].value(row_of(samples_.origins[i].first + kept), column);
    }
    std::string place(std::size_t i, index kept) const {
        return colvar_files_[i] + ":" + std::to_string(samples_.origins[i].lines[at(kept)]);
    }

    void keep_beside() {
        if (colvar_.empty()) return;
        const Colvar& first = colvar_.front();
        for (std::size_t c = 0; c < first.names.size(); ++c) {
            if (!is_variable(first.names[c]) || is_weight(first.names[c])) continue;
            SamplesConfig::Beside& beside = samples_.beside.emplace_back();
            beside.name = first.names[c];
            for (std::size_t i = 0; i < out_.lengths.size(); ++i)
                for (index s = 0; s < out_.lengths[i]; ++s) beside.value.push_back(value_of(i, s, static_cast<index>(c)));
        }
    }

    // PLUMED says of each variable whether it goes round.
    void fill_periods() {
        if (colvar_.empty() || !config_.has("cv.variables")) return;
        ConfigValue entries = config_.at("cv.variables");
        for (ConfigValue& entry : entries.items) {
            const ConfigValue* given = entry.kind == ConfigValue::Kind::text ? &entry : entry.find("formula");
            if (!given || given->kind != ConfigValue::Kind::text || !column_of_.contains(given->text)) continue;
            const auto& period = colvar_.front().period[at(column_of_.at(given->text))];
            const ConfigValue* own = entry.find("period");
            if (!period || (own && config_.given("cv.variables") && own->as_number() > 0)) continue;
            if (entry.kind == ConfigValue::Kind::text) {
                ConfigValue table;
                table.kind = ConfigValue::Kind::table;
                table.origin = entry.origin;
                table.put("formula", ConfigValue::of(entry.text));
                for (const Key<CvVariable>& key : cv_section.keys())
                    if (!key.spec.fallback.empty()) table.put(last_part(key.spec.path), default_value(key.spec));
                entry = std::move(table);
            }
            entry.put("period", ConfigValue::of(period->second - period->first));
        }
        config_.set("cv.variables", std::move(entries));
    }

    // --- the bias

    // What an energy of the files' unit is in the model's.
    double energy_factor() const {
        const double kt = 1 / model_.system.beta.value_or(1);
        if (samples_.energy_unit == "kT") return kt;
        if (alone_ || !model_.molecule) return 1;  // the model's unit is theirs
        return 1 / of_kilojoules(samples_.energy_unit);
    }

    void weigh() {
        if (samples_.weights.empty()) {
            if (samples_.windows.empty() && own_weights_.empty()) return;
            if (samples_.windows.empty() && std::ssize(own_weights_) == out_.rows()) out_.log_weight = own_weights_;
            else if (samples_.windows.empty())
                throw KeyError("samples.states", "some of the files have weights, and others have none",
                               "give those of one kind");
            return;
        }
        const double per_kt = energy_factor() * model_.system.beta.value_or(1);
        std::vector<index> columns;
        for (const std::string& name : samples_.weights) {
            columns.push_back(colvar_.front().column(name));
            if (columns.back() >= 0) continue;
            std::string names;
            for (const std::string& known : colvar_.front().names) names += (names.empty() ? "" : ", ") + known;
            throw KeyError("samples.weights",
                           "key 'samples.weights' names the column '" + printable(name, 80) + "', which " +
                               colvar_files_.front() + " does not have",
                           "its columns are " + printable(names, 400));
        }
        for (std::size_t i = 0; i < out_.lengths.size(); ++i)
            for (index s = 0; s < out_.lengths[i]; ++s) {
                double energy = 0;
                for (const index column : columns) energy += value_of(i, s, column);
                const double weight = energy * per_kt;
                if (!std::isfinite(static_cast<float>(weight)))
                    throw KeyError("samples.weights", place(i, s) + ": the energy of the bias is " + number(energy, 6),
                                   "give energies that are finite");
                out_.log_weight.push_back(weight);
            }
    }

    // Trajectories under the same umbrella share a window; without umbrellas all do.
    void find_windows() {
        const std::vector<std::string> cvs = cv_names();
        if (samples_.windows.empty() && samples_.weights.empty() && !own_windows_.empty()) {
            if (own_windows_.size() != out_.lengths.size())
                throw KeyError("samples.states", "some of the files are of windows, and others are not",
                               "give those of one kind, or all windows in 'samples.windows'");
            for (const WindowRow& row : own_windows_) add_window(row.center, row.stiffness);
            return;
        }
        if (samples_.windows.empty()) {
            out_.window.assign(out_.lengths.size(), 0);
            out_.center.emplace_back();
            out_.stiffness.emplace_back();
            return;
        }
        if (cvs.empty() || cvs.size() > at(kMaxCvs)) return;  // said of [cv]
        of_key("samples.windows", [&] { take_windows(TextFile(found(samples_.windows)), cvs); });
    }

    void take_windows(const TextFile& file, const std::vector<std::string>& cvs) {
        const std::vector<WindowRow> rows = read_window_table(file, cvs);
        std::map<fs::path, index> lines;
        for (const WindowRow& row : rows) {
            if (row.file.empty()) continue;
            const auto [first, is_new] = lines.emplace(place_of_file(found(row.file)), row.line);
            if (!is_new)
                file.refuse(row.line - 1, "there is a window of '" + printable(row.file, 80) + "' in line " +
                                              std::to_string(first->second) + ", too; give each file one row");
        }
        const auto trajectories = out_.lengths.size();
        if (rows.size() != trajectories && rows.front().file.empty())
            file.refuse("it has " + count_of(rows.size(), "window") + " for " + count_of(trajectories, "trajectory") +
                        "; give a row for each");
        const double factor = energy_factor();
        for (std::size_t i = 0; i < trajectories; ++i) {
            const WindowRow& row = row_for(file, rows, i);
            std::array<double, kMaxCvs> stiffness = row.stiffness;
            for (double& s : stiffness) s *= factor;
            add_window(row.center, stiffness);
        }
    }

    // Of the next trajectory.
    void add_window(const std::array<double, kMaxCvs>& center, const std::array<double, kMaxCvs>& stiffness) {
        std::size_t w = 0;
        while (w < out_.center.size() && !(out_.center[w] == center && out_.stiffness[w] == stiffness)) ++w;
        if (w == out_.center.size()) {
            out_.center.push_back(center);
            out_.stiffness.push_back(stiffness);
        }
        out_.window.push_back(static_cast<index>(w));
    }

    const WindowRow& row_for(const TextFile& file, const std::vector<WindowRow>& rows, std::size_t i) const {
        if (rows.front().file.empty()) return rows[i];
        std::vector<std::string> own;
        for (const std::string& name : {samples_.origins[i].states, samples_.origins[i].colvar})
            if (!name.empty()) own.push_back(name);
        const auto fits = [&](const auto& same, std::ptrdiff_t after = 0) {
            return std::ranges::find_if(rows.begin() + after, rows.end(), [&](const WindowRow& row) {
                return std::ranges::any_of(own, [&](const std::string& name) { return same(row.file, name); });
            });
        };
        const auto exact = fits([&](const std::string& a, const std::string& b) {
            return !a.empty() && place_of_file(found(a)) == place_of_file(b);
        });
        if (exact != rows.end()) return *exact;
        const auto by_name = [](const fs::path& a, const fs::path& b) { return a.filename() == b.filename(); };
        const auto named = fits(by_name);
        if (named != rows.end()) {
            if (const auto other = fits(by_name, named - rows.begin() + 1); other != rows.end())
                file.refuse(other->line - 1, "this row and that of line " + std::to_string(named->line) + " may both be of '" +
                                                 printable(own.front(), 80) + "'; name the files as in 'samples.states'");
            return *named;
        }
        file.refuse("it has no window of '" + printable(own.front(), 80) + "'; name the files as in 'samples.states', or leave the "
                    "column 'file' out");
    }

    Config& config_;
    SamplesConfig& samples_;
    ModelConfig& model_;
    const fs::path& folder_;
    const bool alone_;
    GivenSamples out_;
    std::vector<Colvar> colvar_;
    std::vector<std::string> colvar_files_, own_;
    std::vector<float> states_;  // (row, own variable)
    std::map<std::string, index> column_of_;
    std::vector<WindowRow> own_windows_;  // of another run's trajectories,
    std::vector<double> own_weights_;     // or of their rows
    std::pair<fs::path, std::vector<double>> weights_of_;
};

// kT of states without a system, and what energies are in.
void set_temperature(const SamplesConfig& samples, ModelConfig& model) {
    SystemConfig& system = model.system;
    std::string unit = samples.energy_unit;
    if (!system.states_alone) {
        if (samples.temperature && !model.molecule)
            throw KeyError("samples.temperature", "key 'samples.temperature' is given, and [system] has its own",
                           "leave it out: 'system.beta' says it");
        if (!unit.empty() && unit != "kT" && !model.molecule)
            throw KeyError("samples.energy_unit", "key 'samples.energy_unit' is of molecules, and of states without a [system]",
                           "leave it out: energies are in the unit of the potential");
        if (samples.temperature && std::fabs(*samples.temperature * kGasConstant * *system.beta - 1) > 1e-6)
            throw KeyError("samples.temperature",
                           "key 'samples.temperature' is " + toml_number(*samples.temperature) +
                               ", and [system] is at " + number(1 / (kGasConstant * *system.beta), 6) + " K",
                           "set system.temperature to that of the samples");
        return;
    }
    if (unit.empty()) unit = samples.temperature ? "kJ/mol" : "kT";
    if (unit == "kT" && samples.energy_unit.empty() && (!samples.weights.empty() || !samples.windows.empty()))
        throw KeyError("samples.temperature", "key 'samples.temperature' is missing, without which a bias has no weight",
                       "give it, or energy_unit = \"kT\"");
    if (unit != "kT" && !samples.temperature)
        throw KeyError("samples.temperature", "key 'samples.temperature' is missing, and energies are in " + unit,
                       "give it, or energy_unit = \"kT\"");
    system.energy_unit = unit;
    system.beta = unit == "kT" ? 1.0 : 1 / (kGasConstant * of_kilojoules(unit) * *samples.temperature);
}

// The copy that a run keeps.
std::shared_ptr<const GivenSamples> read_gathered(const SamplesConfig& samples, const fs::path& file) {
    const std::string bytes = read_file(file, kMostOfCopy);
    check_checksum("samples.gathered", file.string(), checksum_of(bytes), samples.checksum);
    return std::make_shared<const GivenSamples>(GivenSamples::of(
        parse_safetensors(std::as_bytes(std::span(bytes.data(), bytes.size())), file.string()), file.string()));
}

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

bool any_gone(const SamplesConfig& samples, const fs::path& folder) {
    const auto gone = [&](const std::string& file) {
        if (is_pattern(file)) return matches(folder, file).empty();
        return !file.empty() && !is_there(folder / file) && !is_there(file);
    };
    return std::ranges::any_of(samples.states, gone) || std::ranges::any_of(samples.colvar, gone) || gone(samples.windows);
}

}  // namespace

void gather_samples(Config& config, SamplesConfig& samples, ModelConfig& model, const fs::path& folder,
                    const fs::path& dir) {
    set_temperature(samples, model);
    fs::path copy = samples.gathered.empty() ? fs::path() : folder / samples.gathered;
    if (!copy.empty() && !is_there(copy) && is_there(samples.gathered)) copy = samples.gathered;
    if (copy.empty() && !dir.empty() && any_gone(samples, folder) && is_there(dir / kGathered)) copy = dir / kGathered;
    if (copy.empty()) {
        samples.given = std::make_shared<const GivenSamples>(Gatherer(config, samples, model, folder).gather());
        return;
    }
    samples.given = of_key("samples.gathered", [&] { return read_gathered(samples, copy); });
    if (model.system.states_alone) {
        model.system.variables = samples.given->variables;
        return;
    }
    if (samples.given->variables != symbols_of(model.system).variables)
        throw KeyError("samples.gathered", copy.string() + " holds samples of another system", "give those of this one");
}

void check_given_cvs(const SamplesConfig& samples, const ModelConfig& config, const Model& model,
                     const UmbrellaConfig& umbrella) {
    const GivenSamples& given = *samples.given;
    const index n = given.rows(), D = model.dim();
    const int K = model.n_cvs();
    Stream stream(Device::cpu(1));
    const index outputs = K * (1 + D), most = std::min(n, kStatesAtATime);
    Buffer<float> x(stream.device(), D * most), xi(stream.device(), outputs * most);
    std::vector<const SamplesConfig::Beside*> beside;
    for (const CvVariable& cv : config.cv.variables) {
        const auto found = std::ranges::find_if(samples.beside, [&](const SamplesConfig::Beside& b) {
            return b.name == cv.name || variable_name(b.name) == cv.name;
        });
        beside.push_back(found == samples.beside.end() ? nullptr : &*found);
    }
    std::vector<float> columns(at(D * most));
    std::size_t trajectory = 0;
    index kept = 0;
    for (index first = 0; first < n; first += most) {
        check_stop();
        const index count = std::min(most, n - first);
        for (index s = 0; s < count; ++s)
            for (index d = 0; d < D; ++d) columns[at(d * most + s)] = given.state[at((first + s) * D + d)];
        copy_to_device(stream, x.span(), columns.data());
        model.evaluate_cvs(stream, std::as_const(x).span(), most, count, xi.span(), most);
        const std::vector<float> values = to_host(stream, std::as_const(xi).span());
        for (index s = 0; s < count; ++s, ++kept) {
            if (kept == given.lengths[trajectory]) ++trajectory, kept = 0;
            const auto where = [&] {
                if (samples.origins.empty()) return "row " + std::to_string(first + s);
                const SamplesConfig::Origin& origin = samples.origins[trajectory];
                const std::string line = origin.lines.empty() ? "" : origin.colvar + ":" + std::to_string(origin.lines[at(kept)]);
                if (origin.states.empty()) return line;
                return (line.empty() ? "" : line + ", ") + origin.states + ", state " +
                       std::to_string(origin.first + kept) + " (counted from 0)";
            };
            for (int k = 0; k < K; ++k) {
                const auto value = static_cast<double>(values[at(k * most + s)]);
                const std::string& name = model.cv_names()[at(k)];
                if (!std::isfinite(value))
                    throw KeyError("samples.states",
                                   where() + ": the collective variable '" + printable(name, 80) + "' is not finite",
                                   "leave the state out, or choose another variable");
                if (!beside[at(k)]) continue;
                const double told = beside[at(k)]->value[at(first + s)];
                const double range = umbrella.to[at(k)] - umbrella.from[at(k)];
                if (std::fabs(nearest_image(value - told, model.turn(k))) <= kDiffers * range) continue;
                throw KeyError("samples.colvar",
                               where() + ": '" + printable(name, 80) + "' is " + number(told, 6) +
                                   " in the COLVAR and " + number(value, 6) + " of the state",
                               "check the atoms, the units, and that each row belongs to its state "
                               "('samples.colvar_first', 'samples.colvar_stride')");
            }
        }
    }
}

}  // namespace microlift
