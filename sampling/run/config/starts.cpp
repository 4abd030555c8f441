#include "sampling/run/config/starts.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/config/value.h"
#include "engine/device/buffer.h"
#include "engine/device/stream.h"
#include "engine/files/table.h"
#include "engine/text.h"
#include "sampling/dynamics/schemes.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/config/inputs.h"
#include "sampling/run/config/molecule_starts.h"

namespace microlift {
namespace {

constexpr index kPiece = 1 << 16;  // windows that are looked at together
constexpr std::size_t kShownVariables = 8;
constexpr int kStateDigits = 6;

std::string listed(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size() && i < kShownVariables; ++i)
        text += (i == 0 ? "" : ", ") + printable(names[i], 40);
    return text + (names.size() > kShownVariables ? ", ..." : "");
}

// "x = 0, y = 1"
std::string state_text(const std::vector<std::string>& names, std::span<const double> state) {
    std::vector<std::string> parts;
    for (std::size_t d = 0; d < state.size(); ++d)
        parts.push_back(names[d] + " = " + number(state[d], kStateDigits));
    return listed(parts);
}

// --- the file of states ------------------------------------------------------------------------------

[[noreturn]] void bad_file(const UmbrellaConfig& umbrella, const std::string& wrong,
                           const std::string& right) {
    throw KeyError(kInitial, "key 'umbrella.initial': " + umbrella.initial_file + wrong, right);
}

// The column of each variable. A header says the order; a comment there may be anything else.
std::vector<std::size_t> columns_of(const UmbrellaConfig& umbrella, const Table& table,
                                    const std::vector<std::string>& variables) {
    std::vector<std::size_t> columns(variables.size());
    bool named = table.names.size() == variables.size();
    for (std::size_t d = 0; d < variables.size(); ++d) {
        const auto found = std::find(table.names.begin(), table.names.end(), variables[d]);
        named = named && found != table.names.end();
        columns[d] = static_cast<std::size_t>(found - table.names.begin());
    }
    if (named) return columns;
    if (!table.names.empty() && !table.commented)
        bad_file(umbrella, " has the header " + listed(table.names) + ", the system the variables " +
                               listed(variables),
                 "name each variable once, in any order, or leave the header out");
    for (std::size_t d = 0; d < columns.size(); ++d) columns[d] = d;
    return columns;
}

// The states of the file, columns in the order of the variables.
Table read_states(const UmbrellaConfig& umbrella, const std::vector<std::string>& variables) {
    Table table = of_key(kInitial, [&] { return read_table(umbrella.initial_file); });
    if (at(table.columns) != variables.size())
        bad_file(umbrella,
                 " has " + count_of(at(table.columns), "column") + ", the system " +
                     count_of(variables.size(), "variable"),
                 "give one column for each variable");
    const std::vector<std::size_t> columns = columns_of(umbrella, table, variables);
    const std::vector<double> values = table.values;
    for (std::size_t r = 0; r < at(table.rows); ++r)
        for (std::size_t d = 0; d < columns.size(); ++d)
            table.values[r * columns.size() + d] = values[r * columns.size() + columns[d]];
    return table;
}

std::vector<double> nearest_rows(const UmbrellaConfig& umbrella, const Model& model,
                                 const Grid& grid, std::span<const CvValue> centers) {
    const Table table = read_states(umbrella, model.variables());
    const auto D = at(table.columns), K = at(grid.dims);
    const FormulaSystem& formulas = model.formulas();
    std::vector<double> xi;
    for (std::size_t r = 0; r < at(table.rows); ++r)
        for (std::size_t k = 0; k < K; ++k) {
            const std::span<const double> state(table.values.data() + r * D, D);
            xi.push_back(formulas.graph.evaluate(formulas.cv_nodes[k], state));
            if (!std::isfinite(xi.back()))
                bad_file(umbrella,
                         ": at its state " + state_text(model.variables(), state) + " (row " +
                             std::to_string(r) + ", counted from 0) the collective variable '" +
                             printable(model.cv_names()[k], 80) + "' is " +
                             number(xi.back(), kStateDigits),
                         "leave that state out, or correct it");
        }
    std::vector<double> states;
    for (const CvValue& center : centers) {
        std::size_t best = 0;
        double least = 1e300;
        for (std::size_t r = 0; r < at(table.rows); ++r) {
            double distance = 0;
            for (std::size_t k = 0; k < K; ++k) {
                const double d = nearest_image(xi[r * K + k] - center[k], umbrella.period(k)) /
                                 grid.width(static_cast<int>(k));
                distance += d * d;
            }
            if (distance < least) {
                least = distance;
                best = r;
            }
        }
        states.insert(states.end(), table.values.begin() + static_cast<std::ptrdiff_t>(best * D),
                      table.values.begin() + static_cast<std::ptrdiff_t>((best + 1) * D));
    }
    return states;
}

// --- what has to be finite ---------------------------------------------------------------------------

class StartCheck {
public:
    StartCheck(const RunConfig& run, const Model& model)
        : run_(run), model_(model), formulas_(model.formulas()), dim_(at(model.dim())),
          stream_(Device::cpu(1)) {}

    void windows();
    // States one after the other, as they stand in the key.
    void states(const std::string& key, const std::vector<double>& states);

private:
    std::vector<float> floats(const std::string& key, std::span<const double> state) const;
    void move_to_centers(std::span<const CvValue> centers, std::vector<float>& x);
    void check(const std::string& key, const std::string& where, const float* state);
    void fail(const std::string& key, const std::string& what, const std::string& where,
              std::span<const double> state) const;
    std::string force_fault(std::size_t d, std::span<const double> state) const;
    std::string cv_fault(std::size_t output) const;
    std::string describe(std::size_t output, std::span<const double> state) const;

    const RunConfig& run_;
    const Model& model_;
    const FormulaSystem& formulas_;
    const std::size_t dim_;
    Stream stream_;
};

std::vector<float> StartCheck::floats(const std::string& key, std::span<const double> state) const {
    std::vector<float> x;
    for (std::size_t d = 0; d < dim_; ++d) {
        x.push_back(static_cast<float>(state[d]));
        if (!std::isfinite(x.back()))
            throw KeyError(key,
                           "key '" + key + "': " + model_.variables()[d] + " = " +
                               number(state[d], kStateDigits) + " is beyond single precision",
                           "give states within 3.4e38, or choose other units");
    }
    return x;
}

void StartCheck::fail(const std::string& key, const std::string& what, const std::string& where,
                      std::span<const double> state) const {
    const bool from_zero = key == kInitial && run_.umbrella.initial_line;
    throw KeyError(key,
                   "key '" + key + "': " + what + " " + where +
                       state_text(model_.variables(), state) +
                       (from_zero ? " (\"line\" begins at the state zero)" : ""),
                   key == kInitial ? "give a state where all of them are finite, for example initial = "
                                     "[...], or a file of such states"
                                   : "give a state where they are");
}

// Which formula, by which variable, and what is wrong with it there.
std::string StartCheck::force_fault(std::size_t d, std::span<const double> state) const {
    const std::string& by = model_.variables()[d];
    const double exact = formulas_.graph.evaluate(formulas_.drift_nodes[d], state);
    if (!formulas_.gradient)
        return "'system.drift[" + std::to_string(d) + "]', the drift of " + by + "," +
               (std::isfinite(exact) ? " is beyond single precision" : " is not finite");
    const double energy = formulas_.graph.evaluate(formulas_.potential_node, state);
    if (!std::isfinite(energy)) return "'system.potential' is " + number(energy, kStateDigits);
    return "the force on " + by + ", from 'system.potential'," +
           (std::isfinite(exact) ? " is beyond single precision" : " is not finite");
}

// Of an output of the program of the collective variables: values, then gradients.
std::string StartCheck::cv_fault(std::size_t output) const {
    const std::size_t K = formulas_.cvs.size();
    const std::size_t k = output < K ? output : (output - K) / dim_;
    const std::string name = "the collective variable '" + printable(model_.cv_names()[k], 80) + "'";
    return (output < K ? name
                       : "the derivative of " + name + " by " +
                             model_.variables()[(output - K) % dim_]) +
           " is not finite";
}

std::string StartCheck::describe(std::size_t output, std::span<const double> state) const {
    if (output < dim_) return force_fault(output, state);
    for (std::size_t k = 0; k < formulas_.cvs.size(); ++k) {
        const FormulaSystem::Cv& cv = formulas_.cvs[k];
        if (cv.value_output >= 0 && output == at(cv.value_output)) return cv_fault(k);
        if (cv.pull_output < 0) continue;
        if (output >= at(cv.pull_output) && output < at(cv.pull_output) + dim_)
            return cv_fault(formulas_.cvs.size() + k * dim_ + output - at(cv.pull_output));
    }
    return "the noise, 'system.diffusion', is not finite";
}

void StartCheck::check(const std::string& key, const std::string& where, const float* state) {
    const std::vector<double> exact(state, state + dim_);
    for (const Program* program : {&formulas_.force, &formulas_.noise_slope}) {
        const bool slope = program == &formulas_.noise_slope;
        if (slope && run_.integrator.scheme != "milstein") continue;
        std::vector<float> values(program->outputs.size());
        execute_scalar(*program, state, values.data());
        for (std::size_t o = 0; o < values.size(); ++o)
            if (!std::isfinite(values[o]))
                fail(key,
                     slope ? "the derivative of the noise, 'system.diffusion', is not finite"
                           : describe(o, exact),
                     where, exact);
    }
}

// As sampling does for "line".
void StartCheck::move_to_centers(std::span<const CvValue> centers, std::vector<float>& x) {
    const auto n = static_cast<index>(centers.size());
    const auto K = at(model_.n_cvs());
    Buffer<float> states(stream_.device(), static_cast<index>(x.size()));
    Buffer<float> aims(stream_.device(), static_cast<index>(K) * n);
    std::vector<float> columns(x.size()), aim(K * centers.size());
    for (std::size_t w = 0; w < centers.size(); ++w) {
        for (std::size_t d = 0; d < dim_; ++d) columns[d * at(n) + w] = x[w * dim_ + d];
        for (std::size_t k = 0; k < K; ++k) aim[k * at(n) + w] = static_cast<float>(centers[w][k]);
    }
    copy_to_device(stream_, states.span(), columns.data());
    copy_to_device(stream_, aims.span(), aim.data());
    model_.project(stream_, aims.span(), n, n, states.span(), n, kLineSteps);
    const std::vector<float> moved = to_host(stream_, Span<const float>(states.span()));
    for (std::size_t w = 0; w < centers.size(); ++w)
        for (std::size_t d = 0; d < dim_; ++d) x[w * dim_ + d] = moved[d * at(n) + w];
}

void StartCheck::windows() {
    const std::vector<CvValue> all = umbrella_centers(run_.umbrella);
    const Grid grid = run_.grid();
    const auto pieces = all.size();
    for (std::size_t first = 0; first < pieces; first += at(kPiece)) {
        const std::span<const CvValue> centers =
            std::span(all).subspan(first, std::min(at(kPiece), pieces - first));
        const std::vector<double> given = given_states(run_.umbrella, model_, grid, centers);
        std::vector<float> x;
        for (std::size_t w = 0; w < centers.size(); ++w) {
            const std::vector<float> state = floats(kInitial, std::span(given).subspan(w * dim_, dim_));
            x.insert(x.end(), state.begin(), state.end());
        }
        if (run_.umbrella.initial_line) {
            // The step there needs ξ and its gradient, all else is of where it leads.
            const std::vector<double> zero(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(dim_));
            std::vector<float> values(formulas_.cv.outputs.size());
            execute_scalar(formulas_.cv, x.data(), values.data());
            for (std::size_t o = 0; o < values.size(); ++o)
                if (!std::isfinite(values[o])) fail(kInitial, cv_fault(o), "at ", zero);
            move_to_centers(centers, x);
        }
        for (std::size_t w = 0; w < centers.size(); ++w) {
            check(kInitial, "where window " + std::to_string(first + w) + " begins, at ",
                  x.data() + w * dim_);
        }
    }
}

void StartCheck::states(const std::string& key, const std::vector<double>& states) {
    for (std::size_t first = 0; first + dim_ <= states.size(); first += dim_) {
        const std::vector<float> x = floats(key, std::span(states).subspan(first, dim_));
        check(key, "at ", x.data());
    }
}

}  // namespace

std::vector<CvValue> umbrella_centers(const UmbrellaConfig& umbrella) {
    if (!umbrella.centers.empty()) return umbrella.centers;
    const bool plane = umbrella.windows.size() == 2;
    const auto centre = [&](std::size_t k, index i) {
        return umbrella.windows[k] == 1
                   ? 0.5 * (umbrella.from[k] + umbrella.to[k])
                   : umbrella.from[k] +
                         (umbrella.to[k] - umbrella.from[k]) * static_cast<double>(i) /
                             static_cast<double>(umbrella.windows[k] - (umbrella.all_round(k) ? 0 : 1));
    };
    std::vector<CvValue> centers;
    for (index i = 0; i < umbrella.windows[0]; ++i)
        for (index j = 0; j < (plane ? umbrella.windows[1] : 1); ++j)
            centers.push_back({centre(0, i), plane ? centre(1, j) : 0.0});
    return centers;
}

GridAxes umbrella_axes(const UmbrellaConfig& umbrella) {
    GridAxes axes;
    axes.cvs = static_cast<int>(umbrella.windows.size());
    for (std::size_t k = 0; k < umbrella.windows.size(); ++k) {
        axes.from[k] = umbrella.from[k];
        axes.to[k] = umbrella.to[k];
        axes.points[k] = umbrella.windows[k];
        axes.periodic[k] = umbrella.all_round(k);
    }
    return axes;
}

std::vector<CvValue> window_centers(const UmbrellaConfig& umbrella) {
    if (!umbrella.shared) return umbrella_centers(umbrella);
    CvValue middle{};
    for (std::size_t k = 0; k < umbrella.from.size(); ++k) middle[k] = 0.5 * (umbrella.from[k] + umbrella.to[k]);
    return {middle};
}

std::vector<double> given_states(const UmbrellaConfig& umbrella, const Model& model,
                                 const Grid& grid, std::span<const CvValue> centers) {
    if (!umbrella.initial_file.empty()) return nearest_rows(umbrella, model, grid, centers);
    std::vector<double> state = umbrella.initial_state;
    if (state.empty() && model.molecule()) state = model.molecule()->position;
    state.resize(at(model.dim()), 0.0);
    std::vector<double> states;
    for (std::size_t w = 0; w < centers.size(); ++w)
        states.insert(states.end(), state.begin(), state.end());
    return states;
}

void check_starts(Checks& checks, const RunConfig& run, const Model& model) {
    if (model.molecule()) {
        checks.with({"umbrella", "system"}, [&] { check_molecule_starts(run, model); });
        return;
    }
    StartCheck starts(run, model);
    checks.with({"umbrella", "cv.variables"}, [&] { starts.windows(); });
    if (!run.closure.enabled) return;
    checks.with({"closure.passage_state"},
                [&] { starts.states("closure.passage_state", run.closure.passage_state); });
    checks.with({"closure.committor_points"},
                [&] { starts.states("closure.committor_points", run.closure.committor_points); });
}

}  // namespace microlift
