#include "sampling/bias/bias_config.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "engine/at.h"
#include "sampling/bias/adaptive.h"
#include "sampling/bias/eabf.h"
#include "sampling/dynamics/limits.h"

namespace microlift {
namespace {

constexpr double kMostPoints = 4e6;
constexpr index kFrames = 40;         // of the bias, for convergence.csv and the report
constexpr index kStarts1 = 32, kStarts2 = 12;  // values along each of one or two variables
constexpr double kBeyond = 4;         // widths of a kernel: what lies beyond the range of interest
constexpr double kBeyondShare = 0.1;  // of the range, where the width is not known yet
constexpr double kHighest = 20;       // kT: how far up a wall the grid reaches

const Section<WallConfig> wall_section{"bias.walls[]", {
    key(&WallConfig::variable, "variable", 1, "the collective variable, counted from 1").from(1).to(kMaxCvs),
    optional(&WallConfig::lower, "lower", "-1.0", "value below which the wall pushes back"),
    optional(&WallConfig::upper, "upper", "1.0", "value above which it does"),
    required(&WallConfig::stiffness, "stiffness", "500.0", "stiffness of the wall").above(0).unit("energy/xi^2"),
}};

}  // namespace

const Section<UmbrellaConfig> shared_window_section{"bias", {
    required(&UmbrellaConfig::from, "from", "-3.141592653589793", "where the grid of the bias begins; steered, string: none, the path says it"),
    required(&UmbrellaConfig::to, "to", "3.141592653589793",
             "where it ends, likewise; one period from `from`: all round"),
    key(&UmbrellaConfig::replicas, "walkers", 4096, "trajectories that share the bias; steered: those that go each way; string: of each "
        "point").from(1).to(1e8),
    key(&UmbrellaConfig::equilibrate, "equilibrate", 1000, "steps before the bias acts").from(0).to(kMostSteps),
    key(&UmbrellaConfig::steps, "steps", 200000, "steps with it, while it is made and while it is sampled; steered: of a pull from end to end")
        .from(2).to(kMostSteps),
    key(&UmbrellaConfig::stride, "stride", 100, "steps between stored samples; steered: between looks at work and xi").from(1).to(kMostSteps / 2),
    initial_key(), initial_checksum_key(),
}};

const Section<BiasConfig> bias_section{"bias", {
    enabled(&BiasConfig::enabled, "whether one bias is shared by all walkers, in place of [umbrella]"),
    optional_read_by<BiasConfig>([](BiasConfig&, const ConfigValue&) {}, KeyType::text, "plumed", "\"plumed.dat\"",
             "PLUMED input of a molecule, which then says [cv], method, range and parameters; a run writes the keys "
             "that it stands for into its own configuration"),
    key(&BiasConfig::method, "method", "metadynamics", "how the bias is made"),  // one of a table: bias_readers.cpp
    key(&BiasConfig::bins, "bins", {100}, "bins of its grid").from(8).to(100000),
    key(&BiasConfig::pace, "pace", 100, "steps between updates of the bias").from(1).to(kMostSteps / 2),
    key(&BiasConfig::freeze, "freeze", 0.5,
        "share of the steps after which the bias is frozen; from then on samples are stored")
        .above(0).below(1),
    key(&BiasConfig::target_error, "target_error", 0.0,
        "standard error of the free energy, root mean square over its bins, at which sampling under the frozen bias "
        "ends before all steps are taken; it is looked at whenever there is a quarter more; 0: never")
        .from(0).unit("energy"),
    key(&BiasConfig::height, "height", 1.0,
        "metadynamics: energy that all walkers together deposit at an update, before it is tempered").above(0)
        .unit("energy"),
    key(&BiasConfig::sigma, "sigma", {0.0},
        "metadynamics, OPES: width of a kernel; 0: from the spread within a basin while there is no bias").from(0)
        .unit("xi"),
    key(&BiasConfig::biasfactor, "biasfactor", 0.0,
        "metadynamics, OPES: how much hotter the collective variables are; 0: 10 for metadynamics, "
        "`barrier`/kT for OPES").from(0).to(1e6),
    key(&BiasConfig::barrier, "barrier", 0.0,
        "OPES: highest barrier that the bias is to level; 0: 10 kT").from(0).unit("energy"),
    key(&BiasConfig::full_samples, "full_samples", 200.0,
        "ABF, eABF: samples in a bin before the full force acts").from(1).to(1e12),
    key(&BiasConfig::stiffness, "stiffness", {0.0},
        "eABF: of the spring between xi and what is biased; 0: as wide as two bins. steered, string: of the bias along the path")
        .from(0).unit("energy/xi^2"),
    optional(&BiasConfig::temperatures, "temperatures", "[1.5, 2.0, 3.0]",
             "tempering: rising values of kT above the system's own; the collective variable is the potential").above(0)
        .unit("energy"),
    key(&BiasConfig::draw, "draw", 10, "eABF: steps between draws of what is biased, given xi").from(1).to(kMostSteps / 2),
    optional(&BiasConfig::path, "path", "[-1.0, 1.0]",
             "steered: the points that the centre of the bias goes along, one after the other; walkers go both ways. "
             "string: where it lies at first"),
    key(&BiasConfig::move, "move", 1, "steered: steps between moves of the centre").from(1).to(kMostSteps / 2),
    key(&BiasConfig::heat, "heat", 800.0,
        "steered, string: temperature of the short runs that bring a molecule to the path; at least the system's")
        .from(0).to(1e5).unit("K"),
    key(&BiasConfig::heat_steps, "heat_steps", 20000, "steered, string: steps of these runs; 0: none").from(0).to(kMostSteps),
    key(&BiasConfig::hottest, "hottest", 10.0,
        "population annealing: the temperature where it begins, in that of the system").above(1).to(1e6),
    key(&BiasConfig::rungs, "rungs", 20, "population annealing: temperatures after that one, in equal ratios")
        .from(1).to(10000),
    key(&BiasConfig::anneal, "anneal", 500, "population annealing: steps at each of them").from(1).to(kMostSteps),
    key(&BiasConfig::images, "images", 24, "string: points that it has").from(3).to(1000),
    key(&BiasConfig::iterations, "iterations", 200, "string: times that walkers are held at the points and let go")
        .from(2).to(1e6),
    key(&BiasConfig::lag, "lag", 10, "string: steps for which they are").from(1).to(kMostSteps),
    key(&BiasConfig::smooth, "smooth", 0.02,
        "string: share by which each point moves to the middle of its neighbours, an iteration").from(0).to(1),
}};

const Section<BiasConfig> output_section{"output", {
    key(&BiasConfig::plumed, "plumed", false,
        "with [bias]: whether to write the stored samples as COLVAR and hills as HILLS, in PLUMED's formats"),
    optional_read_by<BiasConfig>([](BiasConfig&, const ConfigValue&) {}, KeyType::texts, "columns",
        "[\"phi\", \"psi\", \"metad.bias\"]",
        "columns of COLVAR behind the time: names of collective variables and of cv.where, and one NAME.bias; all "
        "collective variables and the method's bias if left out"),
}};

void add_bias_keys(Schema& schema) {
    bias_section.add_to(schema);
    shared_window_section.add_to(schema);
    KeySpec walls;
    walls.path = "bias.walls";
    walls.type = KeyType::entries;
    walls.example = "[{ variable = 1, lower = -1.0, upper = 1.0, stiffness = 500.0 }]";
    walls.help = "half parabolas beyond values of a collective variable";
    schema.keys.push_back(std::move(walls));
    wall_section.add_to(schema);
    output_section.add_to(schema);
}

namespace {

// Names of collective variables, of quantities, or the bias.
void check_columns(const Config& config, const ModelConfig& model) {
    if (!config.has("output.columns")) return;
    std::vector<std::string> known;
    for (const CvVariable& variable : model.cv.variables) known.push_back(variable.name);
    if (config.has("cv.where"))
        for (const ConfigValue& entry : config.at("cv.where").items)
            if (const ConfigValue* name = entry.find("name")) known.push_back(name->text);
    index biases = 0;
    for (const ConfigValue& column : config.at("output.columns").items) {
        const bool bias = column.text.ends_with(".bias");
        biases += bias;
        if (bias || std::ranges::find(known, column.text) != known.end()) continue;
        throw KeyError("output.columns", "key 'output.columns' names " + toml_string(column.text) +
                                             ", which is no collective variable and nothing of 'cv.where'",
                       "known are " + join(known, ", ") + ", and a bias, such as \"metad.bias\"");
    }
    if (biases > 1)
        throw KeyError("output.columns", "key 'output.columns' names " + std::to_string(biases) + " biases, and there is one",
                       "leave all but one out");
}

std::vector<WallConfig> read_walls(const Config& config, const UmbrellaConfig& umbrella, int cvs) {
    std::vector<WallConfig> walls;
    if (!config.has("bias.walls")) return walls;
    for (const ConfigValue& entry : config.at("bias.walls").items) {
        const std::string path = "bias.walls[" + std::to_string(walls.size()) + "]";
        if (entry.kind != ConfigValue::Kind::table)
            throw KeyError(path, "key '" + path + "' is no table", "write { variable = 1, upper = 1.0, stiffness = 500.0 }");
        WallConfig wall = wall_section.read(entry);
        if (wall.variable > cvs)
            throw KeyError(path, "key '" + path + ".variable' is " + std::to_string(wall.variable) + ", there " +
                                     (cvs == 1 ? "is one collective variable" : "are two collective variables"),
                           "count them from 1");
        if (!wall.lower && !wall.upper)
            throw KeyError(path, "key '" + path + "' has neither 'lower' nor 'upper'", "give one of them, or both");
        const auto k = at(wall.variable - 1);
        if (wall.lower && wall.upper && !(*wall.lower <= *wall.upper))
            throw KeyError(path, "key '" + path + ".upper' is " + toml_number(*wall.upper) +
                                     ", below 'lower' = " + toml_number(*wall.lower),
                           "let 'lower' be no more than 'upper'");
        if (umbrella.all_round(k) && !(wall.lower && wall.upper))
            throw KeyError(path, "key '" + path + "' ends a variable that goes all round on one side alone",
                           "give 'lower' and 'upper'");
        for (const std::optional<double>& end : {wall.lower, wall.upper})
            if (end && (*end < umbrella.from[k] || *end > umbrella.to[k]))
                throw KeyError(path, "key '" + path + "' has a wall at " + toml_number(*end) +
                                         ", outside the grid of the bias, " + toml_number(umbrella.from[k]) + " to " +
                                         toml_number(umbrella.to[k]),
                               "put it within");
        walls.push_back(wall);
    }
    return walls;
}

bool has_kernels(const BiasConfig& bias) { return bias.method == "metadynamics" || bias.method.starts_with("opes"); }

double spacing(const BiasConfig& bias, const UmbrellaConfig& umbrella, std::size_t k) {
    return (umbrella.to[k] - umbrella.from[k]) / static_cast<double>(bias.bins[k]);
}

// Points beyond either end of the range: room for kernels, and for the walls.
index points_beyond(const BiasConfig& bias, const UmbrellaConfig& umbrella, std::size_t k, double kt) {
    if (umbrella.all_round(k)) return 0;
    const double h = spacing(bias, umbrella, k);
    double room = 0;
    if (has_kernels(bias))
        room = bias.sigma[k] > 0 ? kBeyond * bias.sigma[k] : kBeyondShare * (umbrella.to[k] - umbrella.from[k]);
    for (const WallConfig& wall : bias.walls) {
        if (at(wall.variable - 1) != k) continue;
        const double up = std::sqrt(2 * kHighest * kt / wall.stiffness);
        if (wall.lower) room = std::max(room, umbrella.from[k] - *wall.lower + up);
        if (wall.upper) room = std::max(room, *wall.upper + up - umbrella.to[k]);
    }
    return static_cast<index>(std::ceil(room / h));
}

void check_kernels(const BiasConfig& bias, const UmbrellaConfig& umbrella) {
    if (!has_kernels(bias)) return;
    const bool given = bias.sigma[0] > 0;
    for (std::size_t k = 0; k < bias.sigma.size(); ++k) {
        const double h = spacing(bias, umbrella, k), range = umbrella.to[k] - umbrella.from[k];
        if ((bias.sigma[k] > 0) != given)
            throw KeyError("bias.sigma", "key 'bias.sigma' has a width for one collective variable and 0 for the other",
                           "give both, or neither");
        if (given && bias.sigma[k] < h)
            throw KeyError("bias.sigma",
                           "key 'bias.sigma' is " + toml_number(bias.sigma[k]) + ", less than the spacing " +
                               toml_number(h) + " of the grid",
                           "give more 'bias.bins', or a larger width");
        if (bias.sigma[k] > 0.25 * range)
            throw KeyError("bias.sigma",
                           "key 'bias.sigma' is " + toml_number(bias.sigma[k]) + ", more than a quarter of the range " +
                               toml_number(range),
                           "give a smaller width");
    }
    if (!given && bias.start < 2 * bias.pace)
        throw KeyError("bias.sigma",
                       "the width of kernels is to come from walkers without bias, and 'bias.equilibrate' = " +
                           std::to_string(bias.start) + " has no two updates in it",
                       "give 'bias.sigma', or at least " + std::to_string(2 * bias.pace) + " steps of equilibration");
}

// Abf knows forces by formulas; springs need none.
void check_method(const BiasConfig& bias, const ModelConfig& model) {
    if (bias.method == "abf" && model.molecule)
        throw KeyError("bias.method",
                       "key 'bias.method' is \"abf\", and the mean force along a molecule's collective variables has no "
                       "formula",
                       "use \"eabf\", whose springs need none");
    if (bias.method == "eabf" && bias.pace % bias.draw != 0)
        throw KeyError("bias.draw",
                       "key 'bias.draw' = " + std::to_string(bias.draw) + " does not divide 'bias.pace' = " +
                           std::to_string(bias.pace),
                       "give a number of steps that divides it");
}

std::string without_blanks(std::string text) {
    std::erase_if(text, [](unsigned char c) { return std::isspace(c); });
    return text;
}

// The ladder's bias is a function of the potential alone.
void check_ladder(const BiasConfig& bias, const ModelConfig& model, double kt) {
    if (bias.method != "tempering") return;
    if (model.molecule || model.system.potential.empty() || model.cv.count() != 1 ||
        without_blanks(model.cv.variables[0].formula) != without_blanks(model.system.potential))
        throw KeyError("bias.method",
                       "key 'bias.method' is \"tempering\", whose one collective variable is the potential of a system of "
                       "formulas",
                       "write the formula of 'system.potential' as 'cv.variables', or choose another method");
    double last = kt;
    for (const double higher : bias.temperatures) {
        if (!(higher > last))
            throw KeyError("bias.temperatures",
                           "'bias.temperatures' does not rise from the system's kT = " + toml_number(kt) + ": " +
                               toml_number(higher) + " follows " + toml_number(last),
                           "give values above the system's, the lowest first");
        last = higher;
    }
    if (bias.temperatures.empty())
        throw KeyError("bias.temperatures", "key 'bias.temperatures' is empty, and \"tempering\" is of more than one",
                       "give values of kT above the system's");
}

void check_springs(const BiasConfig& bias, const UmbrellaConfig& umbrella, double kt) {
    for (std::size_t k = 0; k < bias.stiffness.size() && bias.method == "eabf"; ++k) {
        const double h = spacing(bias, umbrella, k);
        if (bias.stiffness[k] > 0 && spring_reach(kt, bias.stiffness[k], h) > kMostReach)
            throw KeyError("bias.stiffness",
                           "key 'bias.stiffness' is " + toml_number(bias.stiffness[k]) + ", whose springs are " +
                               toml_number(std::sqrt(kt / bias.stiffness[k])) + " wide, and points of the grid are " +
                               toml_number(h) + " apart",
                           "give stiffer springs, or fewer 'bias.bins'");
    }
}

void check_phases(const BiasConfig& bias, const UmbrellaConfig& umbrella) {
    const index making = umbrella.equilibrate - bias.start;
    if (umbrella.steps < umbrella.stride || making < bias.pace)
        throw KeyError("bias.steps",
                       "of 'bias.steps' the bias is made in " + std::to_string(making) + " and frozen in " +
                           std::to_string(umbrella.steps) + ", and an update takes " + std::to_string(bias.pace) +
                           ", a sample " + std::to_string(umbrella.stride),
                       "give more steps, or a smaller 'bias.pace' or 'bias.stride'");
}

}  // namespace

BiasConfig read_bias(Config& config, ModelConfig& model, UmbrellaConfig& umbrella) {
    BiasConfig bias = bias_section.read(config);
    bias.enabled = true;
    bias.plumed = output_section.read(config).plumed;
    umbrella = shared_window_section.read(config);
    umbrella.shared = true;
    const int cvs = model.cv.count();
    umbrella.windows.assign(at(cvs), cvs == 1 ? kStarts1 : kStarts2);
    umbrella.stiffness.assign(at(cvs), 0.0);
    spread(config, "bias.bins", bias.bins, cvs);
    spread(config, "bias.sigma", bias.sigma, cvs);
    spread(config, "bias.stiffness", bias.stiffness, cvs);
    config.with({"bias.steps", "bias.stride", "bias.freeze", "bias.equilibrate", "bias.pace"}, [&] {
        const index all = umbrella.steps, samples = all / umbrella.stride;
        if (all % umbrella.stride != 0)
            throw KeyError("bias.stride",
                           "key 'bias.stride' = " + std::to_string(umbrella.stride) +
                               " does not divide 'bias.steps' = " + std::to_string(all),
                           "give a stride that divides the number of steps");
        // Whole strides; what is left is sampled.
        const index making = static_cast<index>(std::llround(bias.freeze * static_cast<double>(samples))) * umbrella.stride;
        bias.start = umbrella.equilibrate;
        umbrella.equilibrate += making;
        umbrella.steps = all - making;
        check_phases(bias, umbrella);
    });
    finish_umbrella(config, model, umbrella);
    config.with({"output.columns", "cv.variables", "cv.where"}, [&] { check_columns(config, model); });
    config.with({"bias.walls", "bias.from", "bias.to", "cv.variables"},
                [&] { bias.walls = read_walls(config, umbrella, cvs); });
    config.with({"bias.sigma", "bias.bins", "bias.from", "bias.to", "bias.pace", "bias.equilibrate", "bias.method",
                 "bias.steps", "bias.stride", "bias.freeze"},
                [&] { check_kernels(bias, umbrella); });
    config.with({"bias.method", "bias.pace", "bias.draw", "system"}, [&] { check_method(bias, model); });
    config.with({"bias.method", "bias.temperatures", "system", "cv.variables"},
                [&] { check_ladder(bias, model, 1 / model.system.beta.value_or(1)); });
    config.with({"bias.method", "bias.stiffness", "bias.bins", "bias.from", "bias.to", "system"},
                [&] { check_springs(bias, umbrella, 1 / model.system.beta.value_or(1)); });
    config.with({"bias.biasfactor"}, [&] {
        if (bias.biasfactor > 0 && bias.biasfactor <= 1)
            throw KeyError("bias.biasfactor",
                           "key 'bias.biasfactor' is " + toml_number(bias.biasfactor) +
                               ", and with 1 or less there is no bias",
                           "give more than 1, for example 10");
    });
    config.with({"bias.bins", "bias.sigma", "bias.from", "bias.to", "bias.walls", "bias.method", "system"}, [&] {
        double points = 1;
        for (std::size_t k = 0; k < bias.bins.size(); ++k)
            points *= static_cast<double>(bias.bins[k] +
                                          2 * points_beyond(bias, umbrella, k, 1 / model.system.beta.value_or(1)));
        if (points > kMostPoints)
            throw KeyError("bias.bins",
                           "the grid of the bias has " + toml_number(points) + " points, with what lies beyond its ends",
                           "give fewer bins, or steeper walls");
    });
    return bias;
}

BiasKind bias_kind(const BiasConfig& bias) {
    return bias.shared() && bias.method != "eabf" ? BiasKind::grid : BiasKind::harmonic;
}

AdaptiveOptions adaptive_options(const BiasConfig& bias, const UmbrellaConfig& umbrella, double kt) {
    AdaptiveOptions o;
    o.kt = kt;
    o.axes.cvs = static_cast<int>(bias.bins.size());
    for (std::size_t k = 0; k < bias.bins.size(); ++k) {
        const index beyond = points_beyond(bias, umbrella, k, kt);
        const double h = spacing(bias, umbrella, k), room = static_cast<double>(beyond) * h;
        o.beyond[k] = beyond;
        o.axes.periodic[k] = umbrella.all_round(k);
        o.axes.from[k] = umbrella.from[k] - room;
        o.axes.to[k] = umbrella.to[k] + room;
        o.axes.points[k] = bias.bins[k] + (o.axes.periodic[k] ? 0 : 1 + 2 * beyond);
        o.sigma[k] = bias.sigma[k];
        o.spring[k] = bias.stiffness[k] > 0 ? bias.stiffness[k] : kt / (4 * h * h);
    }
    const GridAxes& axes = o.axes;
    if (!bias.walls.empty()) o.wall.assign(at(axes.size()), 0.0);
    for (const WallConfig& wall : bias.walls) {
        const auto k = at(wall.variable - 1);
        const double period = umbrella.period(k);
        const index columns = axes.cvs == 2 ? axes.points[1] : 1;
        for (index j = 0; j < axes.size(); ++j) {
            const double xi = axes.from[k] + axes.spacing(static_cast<int>(k)) *
                                                 static_cast<double>(k == 0 ? j / columns : j % columns);
            double above = wall.upper ? std::max(0.0, xi - *wall.upper) : 0.0;
            double below = wall.lower ? std::max(0.0, *wall.lower - xi) : 0.0;
            if (period > 0 && above + below > 0) {  // the nearer wall, round the period
                const double out = above > 0 ? above : period - (*wall.upper - *wall.lower) - below;
                above = std::min(out, period - (*wall.upper - *wall.lower) - out);
                below = 0;
            }
            o.wall[at(j)] += 0.5 * wall.stiffness * (above * above + below * below);
        }
    }
    o.start = bias.start;
    o.end = umbrella.equilibrate;
    o.pace = bias.pace;
    o.frames = std::min(kFrames, std::max<index>(1, o.end / o.pace - o.start / o.pace));
    o.height = bias.height;
    o.barrier = bias.barrier > 0 ? bias.barrier : 10 * kt;
    o.biasfactor = bias.biasfactor > 0 ? bias.biasfactor : bias.method == "metadynamics" ? 10 : o.barrier / kt;
    o.full_samples = bias.full_samples;
    o.draw = bias.draw;
    o.temperatures = bias.temperatures;
    return o;
}

std::string describe_bias(const BiasConfig& bias, const UmbrellaConfig& umbrella, double kt) {
    const AdaptiveOptions o = adaptive_options(bias, umbrella, kt);
    const bool springs = bias.method == "eabf";
    std::string grid = std::to_string(o.axes.points[0]);
    if (o.axes.cvs == 2) grid += " x " + std::to_string(o.axes.points[1]);
    return bias.method + ": without bias for " + std::to_string(o.start) + " steps, made in " +
           std::to_string(o.end / o.pace - o.start / o.pace) + " updates by " + std::to_string(umbrella.replicas) +
           " walkers on " + grid + " points" + (springs ? " that springs bind to" : "") + " until step " +
           std::to_string(o.end) + ", then frozen for " + std::to_string(umbrella.steps) + " steps, which are sampled";
}

}  // namespace microlift
