// The configuration: every key refuses a wrong type and a value out of range and says which key it
// was; resolving is a fixed point.

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "engine/config/names.h"
#include "engine/config/section.h"
#include "engine/files/files.h"
#include "nn/generators/registry.h"
#include "sampling/dynamics/systems.h"
#include "sampling/model/model.h"
#include "sampling/rates/methods.h"
#include "sampling/run/config/bias_readers.h"
#include "sampling/run/config/cost.h"
#include "sampling/run/config/run_config.h"

using namespace microlift;

namespace {

const char* const kBase = R"toml(seed = 1
[system]
name = "muller_brown"
[cv]
variables = ["x"]
[integrator]
dt = 1e-4
[umbrella]
from = -1.5
to = 1.2
windows = 28
stiffness = 500.0
[estimate]
[generator]
[coupling]
[closure]
)toml";

const char* const kShared = R"toml(seed = 1
[system]
name = "muller_brown"
[cv]
variables = ["x"]
[integrator]
dt = 1e-4
[bias]
from = -1.5
to = 1.2
[estimate]
)toml";

// Of samples made elsewhere, without a system.
const std::string& given_text() {
    static const std::string text = [] {
        const std::string file =
            (std::filesystem::temp_directory_path() / ("microlift_given_" + std::to_string(::getpid()) + ".csv")).string();
        std::ofstream out(file);
        out << "x,y\n";
        for (int i = 0; i < 200; ++i) out << 0.01 * i - 1 << ',' << 0.1 * (i % 7) << '\n';
        return "seed = 1\n[samples]\nstates = [\"" + file +
               "\"]\ntemperature = 300.0\nfrom = -1.0\nto = 1.0\n[cv]\nvariables = [\"x\"]\n[estimate]\n[generator]\n";
    }();
    return text;
}
const char* const kRates = R"toml(seed = 1
[system]
name = "muller_brown"
[cv]
variables = ["x"]
[integrator]
dt = 1e-4
[rates]
from = -0.5
to = 0.6
)toml";

// The base that has the tables of a key.
std::string base_of(const KeySpec& spec) {
    if (spec.section() == "samples") return given_text();
    if (spec.section() == "bias" || spec.section() == "output") return kShared;
    return spec.section() == "rates" ? kRates : kBase;
}

const char* const kFormula = R"toml([system]
variables = ["x", "y"]
drift = ["-x + y*a", "-(y - x)/eps"]
diffusion = ["0.1", "1/sqrt(eps)"]
parameters = { eps = 0.01, a = 1 }
[cv]
variables = [{ formula = "x", period = 6.5, name = "phi", unit = "rad" }]
[integrator]
dt = 1e-3
[umbrella]
from = -1
to = 1
windows = 5
stiffness = 3
)toml";

const char* const kMolecule = R"toml([system]
variables = ["ax", "ay", "az", "bx", "by", "bz", "cx", "cy", "cz", "dx", "dy", "dz"]
potential = "ax^2"
beta = 1
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
[umbrella]
from = -1
to = 1
windows = 5
stiffness = 30
)toml";

RunConfig parse(const std::string& text, std::vector<std::string> set = {}) {
    RunOptions options;
    options.set = std::move(set);
    return parse_run_config(text, "run.toml", options);
}

// The message of the refusal; empty if there was none.
std::string refusal(const std::string& text, std::vector<std::string> set = {}) {
    try {
        parse(text, std::move(set));
    } catch (const InputError& error) {
        CHECK(error.exit_code() == 2);
        return error.what();
    }
    return "";
}

constexpr double kEndlessMemory = 1e300;

// What `check` says; empty if nothing.
std::string check_refusal(const std::string& text, std::vector<std::string> set = {},
                          double memory = kEndlessMemory) {
    RunOptions options;
    options.set = std::move(set);
    try {
        check_run_config(text, "run.toml", options, memory);
    } catch (const InputError& error) {
        CHECK(error.exit_code() == 2);
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// One message: what is wrong; what would be right.
void check_message(const std::string& message, const std::string& path) {
    CAPTURE(message);
    CHECK(contains(message, "'" + path + "'"));
    CHECK(contains(message, "; "));
    CHECK(!contains(message, "\n"));
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

// A file that has this one line for the key, in a base where the key makes sense.
std::string with_key(const KeySpec& spec, const std::string& value) {
    const std::string entry = "cv.variables[].", quantity = "cv.where[].", wall = "bias.walls[].";
    if (spec.path.rfind(wall, 0) == 0) {
        const std::string name = spec.path.substr(wall.size());
        std::string table = "{ " + name + " = " + value;
        if (name != "stiffness") table += ", stiffness = 10.0";
        if (name != "lower") table += ", lower = -1.0";
        return replaced(kShared, "to = 1.2", "to = 1.2\nwalls = [" + table + " }]");
    }
    if (spec.path.rfind(quantity, 0) == 0) {
        const std::string name = spec.path.substr(quantity.size());
        std::string table = "{ " + name + " = " + value;
        if (name != "name") table += ", name = \"q\"";
        if (name != "kind") table += ", kind = \"distance\"";
        if (name != "atoms") table += ", atoms = [0, 1]";
        return replaced(kMolecule, "[\"x\"]", "[\"q\"]\nwhere = [" + table + " }]");
    }
    if (spec.path.rfind(entry, 0) == 0) {
        const std::string name = spec.path.substr(entry.size());
        std::string table = "{ " + name + " = " + value;
        if (spec.path == "cv.variables[].kind" && value == "\"diffusion_map\"") {
            table += std::string(", file = \"") + MICROLIFT_SOURCE_DIR + "/README.md\"";
        } else if (spec.path == "cv.variables[].kind" && value == "\"dihedral\"") {
            return replaced(kMolecule, "[\"x\"]", "[" + table + ", atoms = [0, 1, 2, 3] }]");
        } else if (spec.path == "cv.variables[].kind" && value == "\"angle\"") {
            return replaced(kMolecule, "[\"x\"]", "[" + table + ", atoms = [0, 1, 2] }]");
        } else if (spec.path == "cv.variables[].kind" && value == "\"distance\"") {
            return replaced(kMolecule, "[\"x\"]", "[" + table + ", atoms = [0, 1] }]");
        } else if (name == "atoms") {
            table += ", kind = \"dihedral\"";
        } else if (name != "formula") {
            table += ", formula = \"x\"";
        }
        return replaced(kBase, "[\"x\"]", "[" + table + " }]");
    }
    const std::string base =
        spec.path == "system.parameters.*" ? kFormula
        : spec.path == "generator.architecture"
            ? replaced(kBase, "[generator]", "[generator]\nkind = \"flow\"\nring = true")
        : spec.path == "umbrella.store" && value == "\"histogram\""
            ? replaced(kBase, "[estimate]\n[generator]\n[coupling]\n[closure]\n",
                       "[estimate]\nmethod = \"wham\"\n")
        : spec.path == "bias.method" && (value == "\"steered\"" || value == "\"string\"")
            ? replaced(kShared, "from = -1.5\nto = 1.2", "path = [-1.5, 1.2]\nstiffness = 100.0")
            : base_of(spec);
    ConfigValue root = parse_toml(base, "run.toml");
    std::string path = spec.path;
    if (path.back() == '*') {
        path = path.substr(0, path.size() - 1) + "eps";
    }
    // As TOML text again, so that the file's own positions are tested.
    const std::size_t dot = path.find('.');
    const std::string section = dot == std::string::npos ? "" : path.substr(0, dot);
    const std::string name = dot == std::string::npos ? path : path.substr(dot + 1);
    ConfigValue* table = section.empty() ? &root : root.find(section);
    if (table == nullptr) {
        ConfigValue empty;
        empty.kind = ConfigValue::Kind::table;
        table = &root.put(section, std::move(empty));
    }
    std::string text;
    const auto is_key = [&](const std::string& key) {
        return key == name || name.rfind(key + ".", 0) == 0;
    };
    for (std::size_t i = 0; i < root.keys.size(); ++i) {
        if (root.items[i].kind != ConfigValue::Kind::table && !(section.empty() && is_key(root.keys[i]))) {
            text += root.keys[i] + " = " + toml_value(root.items[i]) + "\n";
        }
    }
    if (section.empty()) {
        text += name + " = " + value + "\n";
    }
    for (std::size_t i = 0; i < root.keys.size(); ++i) {
        if (root.items[i].kind != ConfigValue::Kind::table) {
            continue;
        }
        text += "[" + root.keys[i] + "]\n";
        const bool mine = root.keys[i] == section;
        for (std::size_t j = 0; j < root.items[i].keys.size(); ++j) {
            if (!mine || !is_key(root.items[i].keys[j])) {
                text += root.items[i].keys[j] + " = " + toml_value(root.items[i].items[j]) + "\n";
            }
        }
        if (mine) {
            text += name + " = " + value + "\n";
        }
    }
    return text;
}

std::string shown_path(const KeySpec& spec) {
    return spec.path == "system.parameters.*" ? "system.parameters.eps" : spec.path;
}

Schema schema_with_system() {
    Schema schema = run_schema("muller_brown");
    return schema;
}

}  // namespace

TEST_CASE("config: the base files of these tests are good") {
    CHECK(refusal(kBase) == "");
    CHECK(refusal(kFormula) == "");
    CHECK(refusal(kRates) == "");
}

TEST_CASE("config: every key refuses every wrong type and names itself") {
    int refused = 0;
    for (const KeySpec& spec : schema_with_system().keys) {
        CAPTURE(spec.path);
        std::vector<std::string> wrong;
        switch (spec.type) {
            case KeyType::boolean: wrong = {"1", "\"yes\"", "[true]", "{ a = 1 }", "0.5"}; break;
            case KeyType::integer: wrong = {"1.5", "\"7\"", "true", "[7]", "{ a = 1 }", "1e3"}; break;
            case KeyType::number: wrong = {"\"7\"", "true", "[7]", "{ a = 1 }", "inf", "nan"}; break;
            case KeyType::text: wrong = {"1", "true", "[\"x\"]", "{ a = 1 }", "\"\"", "1.5"}; break;
            case KeyType::integers:
                wrong = {"1.5", "\"7\"", "true", "[]", "[8, 1.5]", "[8, \"x\"]", "[[7]]"};
                break;
            case KeyType::numbers:
                wrong = {"\"7\"", "true", "[]", "[7, true]", "[7, \"x\"]", "nan", "[inf]", "[[7]]"};
                break;
            case KeyType::texts: wrong = {"1", "\"x\"", "[]", "[1]", "[\"\"]", "true"}; break;
            case KeyType::names: wrong = {"1", "\"\"", "[]", "[1]", "[\"\"]", "true"}; break;
            case KeyType::rows:
                wrong = {"1", "\"x\"", "[]", "[1]", "[[\"a\", \"b\"]]", "[[\"a\"], \"b\"]"};
                break;
            case KeyType::state: wrong = {"1", "[]", "[\"x\"]", "true", "[nan]", "\"\""}; break;
            case KeyType::place: wrong = {"[1]", "true", "[\"x\"]", "nan", "\"\"", "{ a = 1 }"}; break;
            case KeyType::entries: wrong = {"1", "\"x\"", "[]", "[1]", "[[\"x\"]]", "true"}; break;
        }
        wrong.push_back("1979-05-27");
        for (const std::string& value : wrong) {
            CAPTURE(value);
            const std::string message = refusal(with_key(spec, value));
            check_message(message, shown_path(spec));
            CHECK(contains(message, "must be " + spec.expects()));
            CHECK(contains(message, "run.toml:"));
            ++refused;
        }
    }
    CHECK(refused > 350);
}

TEST_CASE("config: every bound and every choice is refused one step beyond, and taken at its edge") {
    int bounds = 0;
    for (const KeySpec& spec : schema_with_system().keys) {
        CAPTURE(spec.path);
        const bool whole = spec.type == KeyType::integer || spec.type == KeyType::integers;
        const auto show = [&](double x) {
            return whole ? std::to_string(static_cast<long long>(x)) : toml_number(x);
        };
        const auto beyond = [&](double bound, bool excluded, double direction) {
            if (excluded) {
                return bound;
            }
            return whole ? bound + direction
                         : std::nextafter(bound, direction * HUGE_VAL);
        };
        if (std::isfinite(spec.least)) {
            ++bounds;
            check_message(refusal(with_key(spec, show(beyond(spec.least, spec.least_excluded, -1)))),
                          shown_path(spec));
        }
        if (std::isfinite(spec.most) && spec.most < 9e18) {
            ++bounds;
            check_message(refusal(with_key(spec, show(beyond(spec.most, spec.most_excluded, 1)))),
                          shown_path(spec));
        }
        if (!spec.choices.empty()) {
            check_message(refusal(with_key(spec, "\"no_such_thing\"")), shown_path(spec));
            for (const std::string& choice : spec.choices) {
                if (spec.path == "system.kind") {  // a run takes no molecule, by files or not
                    check_message(refusal(with_key(spec, toml_string(choice))), "system.name");
                    continue;
                }
                if (spec.path == "samples.length_unit") {  // of molecules alone
                    CHECK(refusal(with_key(spec, toml_string(choice))) != "");
                    continue;
                }
                if (spec.path == "cv.where[].kind") continue;  // each goes with other keys, as of cv.variables
                if (choice == "coordination" || choice == "gyration" || choice == "rmsd") {  // of molecules alone
                    CHECK(refusal(with_key(spec, toml_string(choice))) != "");
                    continue;
                }
                if (spec.path == "bias.method" && choice == "tempering") {  // its variable is the potential
                    CHECK(contains(refusal(with_key(spec, toml_string(choice))), "system.potential"));
                    continue;
                }
                CHECK(refusal(with_key(spec, toml_string(choice))) == "");
            }
        }
        // The least value itself is not refused for its range.
        if (std::isfinite(spec.least) && !spec.least_excluded) {
            const std::string message = refusal(with_key(spec, show(spec.least)));
            CAPTURE(message);
            CHECK(!contains(message, "must be"));
        }
    }
    CHECK(bounds > 60);
}

TEST_CASE("config: required keys that are missing are named") {
    for (const KeySpec& spec : schema_with_system().keys) {
        if (!spec.required || spec.path.find("[]") != std::string::npos) {
            continue;
        }
        const std::string line = spec.name() + " = ";
        std::string text = base_of(spec);
        const std::size_t at = text.find("\n" + line) + 1;
        REQUIRE(at > 0);
        text.erase(at, text.find('\n', at) + 1 - at);
        const std::string message = refusal(text);
        check_message(message, spec.path);
        CHECK(contains(message, "is missing"));
    }
    check_message(refusal(replaced(kBase, "[\"x\"]", "[{ period = 1.0 }]")),
                  "cv.variables[].formula");
}

TEST_CASE("config: messages have the place, and say what would be right") {
    CHECK(refusal(replaced(kBase, "windows = 28", "windows = -3")) ==
          "run.toml:11:1: key 'umbrella.windows' must be an integer ≥ 2 and ≤ 1000000, or an array "
          "of such, found -3; for example windows = 28");
    CHECK(refusal(replaced(kBase, "windows = 28", "window = 28")) ==
          "run.toml:11:1: unknown key 'umbrella.window'; did you mean 'umbrella.windows'?");
    CHECK(refusal(replaced(kBase, "[umbrella]", "[umbrela]")) ==
          "run.toml:8:1: unknown key 'umbrela'; did you mean 'umbrella'?");
    CHECK(contains(refusal(replaced(kBase, "[estimate]", "[estimate]\nzzzzzzzz = 1")),
                   "known in [estimate] are bins, blocks, enabled"));
    CHECK(contains(refusal(replaced(kBase, "[estimate]", "[estimate]\nstride = 1")),
                   "did you mean 'umbrella.stride'?"));
    CHECK(refusal(replaced(kBase, "\"muller_brown\"", "\"muller_browm\"")) ==
          "run.toml:3:1: key 'system.name' is \"muller_browm\", which is no built-in system; did you "
          "mean \"muller_brown\"?");
    CHECK(contains(refusal(replaced(kBase, "dt = 1e-4", "dt = 1e-4\nscheme = \"baob\"")),
                   "did you mean \"baoab\"?"));
    CHECK(contains(refusal(replaced(kBase, "dt = 1e-4", "dt = ")), "run.toml:7:"));
    CHECK(contains(refusal("a = \"unfinished\n"), "valid TOML"));
    CHECK(contains(refusal(replaced(kBase, "dt = 1e-4", "dt = 1e-4\ndt = 2e-4")), "run.toml:8:"));
    CHECK(contains(refusal(replaced(kBase, "seed = 1", "system = 1")), "run.toml:"));
    CHECK(contains(refusal("\xff\xfe"), "run.toml:1:1"));
    CHECK(contains(refusal("\"system.name\" = \"muller_brown\"\n" + std::string(kBase)),
                   "unknown key"));
}

TEST_CASE("config: keys that contradict each other") {
    check_message(refusal(replaced(kBase, "to = 1.2", "to = -1.5")), "umbrella.to");
    check_message(refusal(replaced(kBase, "from = -1.5", "from = [-1.5, 0.0]")), "umbrella.from");
    check_message(refusal(replaced(kBase, "from = -1.5", "from = -1.5\nsteps = 1000\nstride = 7")),
                  "umbrella.stride");
    check_message(refusal(replaced(kBase, "from = -1.5", "from = -1.5\nsteps = 100\nexchange = 101")),
                  "umbrella.exchange");
    check_message(refusal(replaced(kBase, "from = -1.5", "from = -1.5\ninitial = [1.0]")),
                  "umbrella.initial");
    check_message(check_refusal(replaced(kBase, "from = -1.5", "from = -1.5\ninitial = \"no.npy\"")),
                  "umbrella.initial");
    check_message(refusal(replaced(kBase, "windows = 28", "windows = 1000000\nreplicas = 100000")),
                  "umbrella.replicas");
    CHECK(contains(refusal(replaced(kBase, "windows = 28", "windows = 1000000\nreplicas = 100000")),
                   "2147483647"));
    check_message(refusal(replaced(kBase, "from = -1.5", "from = -1.5\nsteps = 1000000000000\nstride = 1")),
                  "umbrella.stride");
    // Two collective variables: broadcast, but never a third.
    CHECK(refusal(replaced(kBase, "[\"x\"]", "[\"x\", \"y\"]")) == "");
    check_message(refusal(replaced(kBase, "[\"x\"]", "[\"x\", \"y\", \"x*y\"]")), "cv.variables");
    check_message(refusal(replaced(replaced(kBase, "[\"x\"]", "[\"x\", \"y\"]"), "[estimate]",
                                   "[estimate]\nmethod = \"umbrella_integration\"")),
                  "estimate.method");
    check_message(refusal(replaced(replaced(kBase, "[generator]\n", ""), "[coupling]",
                                   "[coupling]\nrounds = 1")),
                  "coupling.rounds");
    check_message(refusal(kBase, {"coupling.exchange=150"}), "coupling.exchange");
    check_message(refusal(kBase, {"coupling.rounds=1", "coupling.steps=99"}), "coupling.steps");
    check_message(refusal(replaced(kBase, "[\"x\"]", "[\"x\", \"y\"]"), {"coupling.exchange=100"}),
                  "coupling.exchange");
    // Convolutions: of flows, on a ring, of an odd number of sites.
    check_message(refusal(kBase, {"generator.architecture=conv"}), "generator.architecture");
    check_message(refusal(kBase, {"generator.architecture=conv", "generator.kind=flow"}),
                  "generator.architecture");
    check_message(refusal(kBase, {"generator.architecture=conv", "generator.ring=true"}),
                  "generator.architecture");
    CHECK(refusal(kBase, {"generator.architecture=conv", "generator.kind=flow",
                          "generator.ring=true", "generator.generator_widths=[32, 32]"}) == "");
    check_message(refusal(kBase, {"generator.architecture=conv", "generator.kind=flow",
                                  "generator.ring=true", "generator.generator_widths=[20]"}),
                  "generator.generator_widths");
    check_message(refusal(kBase, {"generator.kernel=4"}), "generator.kernel");
    // [system]: a built-in or formulas, whole.
    const std::string formula = kFormula;
    check_message(refusal(replaced(formula, "variables = [\"x\", \"y\"]",
                                   "variables = [\"x\", \"y\"]\nname = \"muller_brown\"")),
                  "system.variables");
    check_message(refusal(replaced(formula, "variables = [\"x\", \"y\"]\n", "")), "system.variables");
    check_message(refusal(replaced(formula, "[\"x\", \"y\"]", "[\"x\", \"x\"]")), "system.variables");
    check_message(refusal(replaced(formula, "[\"x\", \"y\"]", "[\"x\", \"2y\"]")), "system.variables");
    check_message(refusal(replaced(formula, "[\"x\", \"y\"]", "[\"x\", \"y\", \"z\"]")),
                  "system.drift");
    check_message(refusal(replaced(formula, "[\"0.1\", \"1/sqrt(eps)\"]", "[\"0.1\"]")),
                  "system.diffusion");
    check_message(refusal(replaced(formula, "diffusion = [\"0.1\", \"1/sqrt(eps)\"]\n", "")),
                  "system.diffusion");
    check_message(refusal(replaced(formula, "drift =", "potential = \"x^2\"\ndrift =")),
                  "system.drift");
    CHECK(contains(refusal(replaced(formula, "a = 1", "x = 1")), "has the name of a variable"));
    CHECK(contains(refusal(replaced(replaced(formula, "drift = [\"-x + y*a\", \"-(y - x)/eps\"]\n",
                                             "potential = \"x^2\"\n"),
                                    "diffusion = [\"0.1\", \"1/sqrt(eps)\"]\n", "")),
                   "'system.beta' is missing"));
    CHECK(contains(refusal(replaced(formula, "drift = [\"-x + y*a\", \"-(y - x)/eps\"]\n", "")),
                   "neither which built-in nor which formulas"));
    check_message(refusal(replaced(kBase, "name = \"muller_brown\"",
                                   "name = \"fast_slow\"\nbeta = 1.0")),
                  "system.beta");
}

TEST_CASE("config: a scheme that does not go with the system is refused at its line") {
    const auto model_refusal = [](const std::string& text) { return check_refusal(text); };
    const auto with = [](const std::string& scheme, const std::string& diffusion) {
        return replaced(replaced(kFormula, "[\"0.1\", \"1/sqrt(eps)\"]", diffusion), "dt = 1e-3",
                        "dt = 1e-3\nscheme = \"" + scheme + "\"");
    };
    const std::string constant = "[\"0.1\", \"1\"]", own = "[\"0.1\", \"1 + y^2\"]",
                      other = "[\"0.1\", \"1 + x^2\"]",
                      matrix = "[[\"0.1\", \"0\"], [\"0\", \"1 + y^2\"]]",
                      constant_matrix = "[[\"0.1\", \"0\"], [\"0.2\", \"1\"]]";
    for (const auto& [scheme, diffusion] :
         {std::pair{"heun", constant}, {"heun", constant_matrix}, {"milstein", constant},
          {"milstein", constant_matrix}, {"milstein", own}, {"leimkuhler_matthews", constant},
          {"euler_maruyama", other}}) {
        CAPTURE(scheme);
        CAPTURE(diffusion);
        CHECK(model_refusal(with(scheme, diffusion)) == "");
    }
    for (const auto& [scheme, diffusion, right] :
         {std::tuple{"heun", own, "use 'euler_maruyama' or 'milstein'"},
          {"heun", other, "use 'euler_maruyama'"}, {"heun", matrix, "use 'euler_maruyama'"},
          {"leimkuhler_matthews", own, "use 'euler_maruyama' or 'milstein'"},
          {"milstein", other, "use 'euler_maruyama'"}, {"milstein", matrix, "use 'euler_maruyama'"},
          {"mala", constant, "use 'euler_maruyama' or 'leimkuhler_matthews'"},
          {"baoab", other, "use 'euler_maruyama'"}}) {
        CAPTURE(scheme);
        CAPTURE(diffusion);
        const std::string message = model_refusal(with(scheme, diffusion));
        check_message(message, "integrator.scheme");
        CHECK(message.rfind("run.toml:10:1: ", 0) == 0);
        CHECK(contains(message, std::string("'") + scheme + "'"));
        CHECK(message.substr(message.find("; ") + 2) == right);
    }
    for (const char* scheme : {"heun", "milstein", "mala"})
        CHECK(model_refusal(replaced(kBase, "dt = 1e-4", "dt = 1e-4\nscheme = \"" +
                                                             std::string(scheme) + "\"")) == "");
}

TEST_CASE("config: a model is made from structs, without a file") {
    ModelConfig config;
    config.system.name = "muller_brown";
    config.cv.variables.push_back(cv_section.defaults());
    config.cv.variables[0].formula = "x + y";
    config.integrator = integrator_section.defaults();
    config.integrator.dt = 1e-4;
    CHECK(config.integrator.scheme == "leimkuhler_matthews");
    CHECK(config.integrator.philox_rounds == 10);
    const Model model(config);
    CHECK(model.dim() == 2);
    CHECK(model.gradient());
    Checks checks;  // the first error ends them
    CHECK_NOTHROW(check_formulas(checks, config));
    config.cv.variables[0].formula = "x + z";
    try {
        check_formulas(checks, config);
        FAIL("a wrong formula was taken");
    } catch (const KeyError& error) {
        CHECK(error.key() == "cv.variables[0]");
        CHECK(contains(error.wrong(), "'z'"));
        CHECK(error.exit_code() == 2);
    }
    CHECK_THROWS_AS(Model{config}, KeyError);
    CHECK(LearnOptions().points == 5000);
}

TEST_CASE("config: built-in systems bring keys of their own") {
    const std::string channel = replaced(kBase, "\"muller_brown\"", "\"channel\"\nk = 100");
    const RunConfig run = parse(channel);
    REQUIRE(run.system.parameters.size() == 1);
    CHECK(run.system.parameters[0].first == "k");
    CHECK(run.system.parameters[0].second == 100.0);
    CHECK(run.system.beta.value() == 3.0);
    for (const SystemInfo& info : system_registry()) {
        for (const ParameterInfo& parameter : info.parameters) {
            const std::string name = "\"" + info.name + "\"\n" + parameter.name + " = ";
            const std::string path = "system." + parameter.name;
            check_message(refusal(replaced(kBase, "\"muller_brown\"", name + "\"a\"")), path);
            check_message(refusal(replaced(kBase, "\"muller_brown\"", name + "inf")), path);
        }
    }
    CHECK(contains(refusal(replaced(kBase, "\"muller_brown\"", "\"muller_brown\"\nk = 100")),
                   "unknown key 'system.k'"));
}

TEST_CASE("config: --set replaces keys, and its errors name the option") {
    const RunConfig run = parse(kBase, {"umbrella.windows=40", "integrator.scheme=baoab",
                                        "umbrella.initial=[0.5, 1]", "closure.enabled=false",
                                        "generator.kind=\"flow\"", "seed=7"});
    CHECK(run.umbrella.windows == std::vector<long long>{40});
    CHECK(run.integrator.scheme == "baoab");
    CHECK(run.umbrella.initial_state == std::vector<double>{0.5, 1.0});
    CHECK(!run.closure.enabled);
    CHECK(run.generator.kind == "flow");
    CHECK(run.seed == 7);
    CHECK(parse(kFormula, {"system.parameters.eps=0.5"}).system.parameters[1].second == 0.5);
    CHECK(refusal(kBase, {"umbrella.windows=abc"}).rfind("--set umbrella.windows=abc: key ", 0) == 0);
    CHECK(contains(refusal(kBase, {"umbrella.window=3"}), "did you mean 'umbrella.windows'?"));
    for (const char* bad : {"umbrella.windows", "=3", "umbrella.windows=", "a b=1", "..=1", "seed=1\nb=2",
                            "seed.a=1", "umbrella.windows=[1", "umbrella.windows=-", "a.=1",
                            "umbrella.windows.x=2"}) {
        CAPTURE(bad);
        const std::string message = refusal(kBase, {bad});
        CAPTURE(message);
        CHECK(message.rfind("--set ", 0) == 0);
        CHECK(!contains(message, "\n"));
    }
    RunOptions options;
    options.seed = 12345;
    CHECK(parse_run_config(kBase, "run.toml", options).seed == 12345);
    options.seed = ~std::uint64_t{0};
    CHECK_THROWS_AS(parse_run_config(kBase, "run.toml", options), InputError);
}

TEST_CASE("config: a closure's lags lie within its bursts, and its keys come together") {
    const RunConfig run =
        parse(kBase, {"closure.burst_steps=100", "closure.burst_lags=[10, 100]"});
    CHECK(run.closure.burst_lags == std::vector<long long>{10, 100});
    check_message(refusal(kBase, {"closure.burst_steps=100", "closure.burst_lags=[10, 101]"}),
                  "closure.burst_lags");
    check_message(refusal(kBase, {"closure.burst_lags=[10, 10]"}), "closure.burst_lags");
    check_message(refusal(kBase, {"closure.passage_from=0.5"}), "closure.passage_from");
    check_message(refusal(kBase, {"closure.passage_to=[0.5]"}), "closure.passage_to");
    check_message(refusal(kBase, {"closure.passage_state=[1, 2, 3]"}), "closure.passage_state");
    check_message(refusal(kBase, {"closure.passage_from=[0, 1]", "closure.passage_to=[0.5]"}),
                  "closure.passage_from");
    check_message(refusal(kBase, {"closure.passage_from=0", "closure.passage_to=[0.5]",
                                  "closure.passage_radius=0.1"}),
                  "closure.passage_radius");
    const auto two = [](std::vector<std::string> set) {
        set.insert(set.end(), {"cv.variables=[\"x\", \"y\"]", "umbrella.from=[-1.5, -0.2]",
                               "umbrella.to=[1.2, 2]", "umbrella.windows=[4, 4]",
                               "umbrella.stiffness=[500.0, 500.0]"});
        return set;
    };
    const std::string from = "closure.passage_from=[-0.5, 1.4]", to = "closure.passage_to=[0.6, 0]",
                      radius = "closure.passage_radius=0.2";
    const RunConfig places = parse(kBase, two({from, to, radius}));
    CHECK(places.closure.passage_radius == std::vector<double>{0.2, 0.2});
    check_message(refusal(kBase, two({"closure.passage_from=-0.5", to, radius})),
                  "closure.passage_from");
    check_message(refusal(kBase, two({from, "closure.passage_to=[0.6, 0, 1]", radius})),
                  "closure.passage_to");
    check_message(refusal(kBase, two({from, to})), "closure.passage_to");
    check_message(refusal(kBase, two({radius})), "closure.passage_radius");
    check_message(refusal(kBase, two({from, to, "closure.passage_radius=[0.2, 0.0]"})),
                  "closure.passage_radius");
    check_message(refusal(kBase, two({from, to, "closure.passage_radius=1"})),
                  "closure.passage_radius");
    check_message(refusal(kBase, {"closure.committor_points=[0, 0]"}), "closure.committor_points");
    const std::vector<std::string> balls{"closure.committor_a=[0, 0, 0.1]",
                                         "closure.committor_b=[1, 0, 0.1]",
                                         "closure.committor_points=[0.5, 0, 0.6]"};
    check_message(refusal(kBase, balls), "closure.committor_points");
    // Sets that touch, overlap or lie within one another; sets for no point.
    const auto sets = [](const std::string& a, const std::string& b, const std::string& points) {
        std::vector<std::string> set{"closure.committor_a=" + a, "closure.committor_b=" + b};
        if (!points.empty()) set.push_back("closure.committor_points=" + points);
        return set;
    };
    CHECK(refusal(kBase, sets("[0, 0, 0.1]", "[1, 0, 0.1]", "[0.5, 0]")) == "");
    check_message(refusal(kBase, sets("[0, 0, 0.6]", "[1, 0, 0.6]", "[0.5, 0]")),
                  "closure.committor_b");
    check_message(refusal(kBase, sets("[0, 0, 0.5]", "[1, 0, 0.5]", "[0.5, 0]")),
                  "closure.committor_b");
    check_message(refusal(kBase, sets("[0, 0, 2]", "[0, 0, 0.5]", "[0.5, 0]")), "closure.committor_b");
    const std::string lone = refusal(kBase, sets("[0, 0, 0.1]", "[1, 0, 0.1]", ""));
    CHECK(contains(lone, "'closure.committor_a' is given without 'closure.committor_points'"));
    check_message(refusal(kBase, {"closure.committor_b=[1, 0, 0.1]"}), "closure.committor_b");
    check_message(refusal(kBase, {"closure.passage_from=0.5", "closure.passage_to=[0.5]"}),
                  "closure.passage_to");
    check_message(check_refusal(kBase, {"closure.passage_from=1.3", "closure.passage_to=[0.5]"}),
                  "closure.passage_from");
    check_message(refusal(replaced(kBase, "[generator]\n[coupling]\n", ""),
                          {"closure.start=healed"}),
                  "closure.start");
}

TEST_CASE("config: every fault of an array, a table or an option is named") {
    const auto lines = [](const std::string& message) {
        return message.empty() ? 0 : 1 + std::count(message.begin(), message.end(), '\n');
    };
    std::string faults = refusal(replaced(kBase, "windows = 28", "windows = [1, 1979-05-27, \"a\"]"));
    CAPTURE(faults);
    CHECK(lines(faults) == 3);
    CHECK(contains(faults, "found 1979-05-27"));
    faults = refusal(replaced(replaced(kBase, "seed = 1", "seed = 07:32:00"), "dt = 1e-4", "dt = 0"));
    CHECK(lines(faults) == 2);
    CHECK(contains(faults, "run.toml:1:1: key 'seed' must be an integer"));
    CHECK(contains(faults, "'integrator.dt'"));
    faults = refusal(replaced(kBase, "[\"x\"]", "[{ period = -1, kind = \"curve\" }, 3]"));
    CHECK(lines(faults) == 3);
    // Of two variables each says what it lacks.
    faults = refusal(replaced(kBase, "[\"x\"]", "[{ name = \"a\" }, { kind = \"diffusion_map\" }]"));
    CHECK(contains(faults, "'cv.variables[].formula' is missing"));
    CHECK(contains(faults, "'cv.variables[].file' is missing"));
    // An option that cannot be read hides nothing.
    faults = refusal(replaced(kBase, "dt = 1e-4", "dt = 0"), {"umbrella.windows=[1", "nothing"});
    CHECK(lines(faults) == 3);
}

TEST_CASE("config: a stage runs if its table is there and not switched off") {
    const RunConfig all = parse(kBase);
    CHECK(all.estimate.enabled);
    CHECK(all.generator.enabled);
    CHECK(!all.coupling.enabled);  // rounds = 0
    CHECK(all.closure.enabled);
    const RunConfig none = parse(std::string(kBase).substr(0, std::string(kBase).find("[estimate]")));
    CHECK(!none.estimate.enabled);
    CHECK(!none.generator.enabled);
    CHECK(!none.closure.enabled);
    CHECK(!parse(kBase, {"generator.enabled=false"}).generator.enabled);
    CHECK(parse(kBase, {"coupling.rounds=2"}).coupling.enabled);
}

TEST_CASE("config: the resolved file is a fixed point, to the last bit of every number") {
    const std::string awkward = replaced(kBase, "stiffness = 500.0", "stiffness = 0.1234567890123456789");
    for (const std::string& text :
         {std::string(kBase), std::string(kFormula), awkward,
          replaced(kBase, "[\"x\"]", "[\"x\", { formula = \"y\", period = 3 }]"),
          replaced(kBase, "\"muller_brown\"", "\"fast_slow\""),
          replaced(kFormula, "[\"0.1\", \"1/sqrt(eps)\"]", "[[\"0.1\", \"0\"], [\"a\", \"eps\"]]")}) {
        const std::string once = parse(text).config.to_toml();
        const RunConfig again = parse(once);
        CHECK(again.config.to_toml() == once);
        CHECK(again.umbrella.stiffness == parse(text).umbrella.stiffness);
    }
    for (double x : {0.1, 1.0, 500.0, 1e-5, 1e300, 5e-324, -0.0, 1.0 / 3.0, 123456789.125}) {
        const ConfigValue back = parse_toml("v = " + toml_number(x), "t").items.at(0);
        CHECK(back.kind == ConfigValue::Kind::number);
        CHECK(std::signbit(back.number) == std::signbit(x));
        CHECK(back.number == x);
    }
    const std::string odd = "quote \" slash \\ tab \t line \n bell \x07 ü";
    CHECK(parse_toml("v = " + toml_string(odd), "t").items.at(0).text == odd);
}

TEST_CASE("config: one value serves both collective variables") {
    const RunConfig run = parse(replaced(kBase, "[\"x\"]", "[\"x\", \"y\"]"));
    CHECK(run.umbrella.windows == std::vector<long long>{28, 28});
    CHECK(run.umbrella.from == std::vector<double>{-1.5, -1.5});
    CHECK(run.estimate.bins == std::vector<long long>{100, 100});
    CHECK(run.umbrella.window_count() == 784);
}

TEST_CASE("config: the cost of a run") {
    const RunConfig run = parse(kBase, {"umbrella.replicas=10", "umbrella.equilibrate=5",
                                        "umbrella.steps=100", "umbrella.stride=10"});
    const RunCost cost = run_cost(run);
    Checks checks;
    CHECK(cost.trajectories == 280.0);
    CHECK(cost.samples == 2800.0);
    CHECK(cost.force_evaluations == 280.0 * 105.0);
    // The states that later stages hold count as well.
    CHECK_THROWS_AS(check_memory(checks, run, cost.memory_bytes), KeyError);
    const RunConfig alone = parse(kBase, {"umbrella.replicas=10", "umbrella.equilibrate=5",
                                          "umbrella.steps=100", "umbrella.stride=10",
                                          "generator.enabled=false", "closure.enabled=false"});
    CHECK_NOTHROW(check_memory(checks, alone, cost.memory_bytes));
    CHECK_THROWS_AS(check_memory(checks, alone, cost.memory_bytes - 1.0), KeyError);
    CHECK(available_memory_bytes() > 1e6);
}

TEST_CASE("config: a file with five faults names five, in the order of their places") {
    const std::string text = R"toml(seed = 1.5
[system]
name = "muller_brown"
[cv]
variables = ["x", "y*q"]
[integrator]
dt = 1e-4
[umbrella]
from = -1.5
to = [1.2, -1.6]
windws = 28
stiffness = 500.0
steps = 1000
stride = 7
exchange = -1
[generator]
batch = 10000000
)toml";
    const std::string message = check_refusal(text);
    std::vector<std::string> lines(1);
    for (const char c : message) {
        if (c == '\n')
            lines.emplace_back();
        else
            lines.back() += c;
    }
    CAPTURE(message);
    const std::vector<std::pair<std::string, std::string>> expected{
        {"run.toml:1:1: ", "'seed' must be an integer"},
        {"run.toml:5:", "key 'cv.variables[1]': at character 3 of the formula"},
        {"run.toml:10:1: ", "'umbrella.to' is -1.6, not above"},
        {"run.toml:11:1: ", "did you mean 'umbrella.windows'?"},
        {"run.toml:14:1: ", "does not divide 'umbrella.steps'"},
        {"run.toml:15:1: ", "'umbrella.exchange' must be"},
        {"run.toml:17:1: ", "'generator.batch' must be an integer ≥ 1 and ≤ 4194304"}};
    REQUIRE(lines.size() == expected.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
        CAPTURE(lines[i]);
        CHECK(lines[i].rfind(expected[i].first, 0) == 0);
        CHECK(contains(lines[i], expected[i].second));
        CHECK(contains(lines[i], "; "));
    }
    // Every missing key, and options of the command line behind the file's own faults.
    const std::string missing = check_refusal(replaced(kBase, "dt = 1e-4\n", ""),
                                              {"umbrella.windows=1", "closure.start=healed"});
    CHECK(missing == "run.toml:6:1: key 'integrator.dt' is missing; give a number > 0, for example dt "
                     "= 1e-4 under [integrator]\n--set umbrella.windows=1: key 'umbrella.windows' "
                     "must be an integer ≥ 2 and ≤ 1000000, or an array of such, found 1; for example "
                     "windows = 28");
    // An unknown built-in leaves everything else to be checked.
    const std::string unknown =
        check_refusal(replaced(replaced(kBase, "\"muller_brown\"", "\"muler_brown\"\nk = 1"),
                               "to = 1.2", "to = -2.0"));
    CHECK(std::count(unknown.begin(), unknown.end(), '\n') == 1);
    CHECK(contains(unknown, "did you mean \"muller_brown\"?"));
    CHECK(contains(unknown, "'umbrella.to'"));
}

TEST_CASE("config: check refuses what a later stage would refuse") {
    CHECK(check_refusal(kBase) == "");
    CHECK(check_refusal(kFormula) == "");
    check_message(check_refusal(kBase, {"umbrella.exchange=150"}), "umbrella.exchange");
    CHECK(check_refusal(kBase, {"umbrella.exchange=200"}) == "");
    const std::vector<std::string> two{"cv.variables=[\"x\", \"y\"]"};
    CHECK(contains(check_refusal(kBase, two), "nothing is left for a generator to make"));
    check_message(check_refusal(kBase, {"generator.ring=true", "generator.kind=flow"}),
                  "generator.ring");
    check_message(check_refusal(kBase, {"cv.variables=[\"x+y\"]", "generator.ring=true",
                                        "generator.kind=flow", "generator.architecture=conv",
                                        "generator.generator_widths=[32]"}),
                  "generator.kernel");
    CHECK(check_refusal(kBase, {"cv.variables=[\"x+y\"]", "generator.ring=true",
                                "generator.kind=flow", "generator.architecture=conv",
                                "generator.generator_widths=[32]", "generator.kernel=1"}) == "");
    // A compared kind's share of updates: 16000/8000 of the main one's.
    CHECK(check_refusal(kBase, {"generator.iterations=500000000", "generator.compare=[\"flow\"]"}) ==
          "");
    check_message(check_refusal(kBase, {"generator.iterations=500000001",
                                        "generator.compare=[\"flow\"]"}),
                  "generator.compare");
    CHECK(contains(check_refusal(kBase, {"learn.enabled=true", "umbrella.steps=100",
                                         "umbrella.replicas=1"}),
                   "28 samples, which are too few for 6 coordinates"));
    check_message(check_refusal(kBase, {"learn.points=100"}), "learn.landmarks");
    CHECK(contains(check_refusal(kBase, {"umbrella.replicas=1000000"}),
                   "more than the 4294967295 that a generator is trained on"));
    CHECK(contains(check_refusal(kBase, {}, 1e6), "of memory"));
    CHECK(contains(check_refusal(kBase, {"lifting.states=100000000"}, 1e10),
                   "--set lifting.states=100000000: the lifted states take"));
    CHECK(contains(check_refusal(kBase, {"closure.replicas=10000000"}, 1e9),
                   "--set closure.replicas=10000000: the bursts take"));
    CHECK(contains(check_refusal(kFormula, {"closure.committor_a=[0, 0, 0.1]",
                                            "closure.committor_b=[1, 0, 0.1]",
                                            "closure.committor_points=[0.5, 0]"}),
                   "needs a system with a potential"));
    check_message(check_refusal(kFormula, {"integrator.scheme=mala"}), "integrator.scheme");
    // Every formula, each at its place.
    const std::string formulas = check_refusal(
        replaced(kFormula, "\"-x + y*a\", \"-(y - x)/eps\"", "\"-x + y*\", \"-(y - z)/eps\""));
    CHECK(std::count(formulas.begin(), formulas.end(), '\n') == 1);
    CHECK(contains(formulas, "run.toml:3:10: key 'system.drift[0]'"));
    CHECK(contains(formulas, "run.toml:3:21: key 'system.drift[1]'"));
    // Files.
    const auto dir = std::filesystem::temp_directory_path() / "microlift_test_config";
    std::filesystem::create_directories(dir);
    write_file(dir / "two.csv", "x,y\n0.5,1\n-0.5,1\n");
    write_file(dir / "three.csv", "x,y,z\n0.5,1,2\n");
    write_file(dir / "none.csv", "no numbers here\n");
    const auto initial = [&](const char* name) {
        return check_refusal(kBase, {"umbrella.initial=" + (dir / name).string()});
    };
    CHECK(initial("two.csv") == "");
    check_message(initial("three.csv"), "umbrella.initial");
    check_message(initial("none.csv"), "umbrella.initial");
    check_message(check_refusal(kBase, {"cv.variables=[{kind = \"diffusion_map\", file = \"" +
                                        (dir / "two.csv").string() + "\"}]"}),
                  "cv.variables");
    std::filesystem::remove_all(dir);
}

// The base under the first method that asks for the key, where not all methods do.
std::string base_of_method(const KeySpec& spec) {
    std::string base = base_of(spec);
    std::vector<MethodKeys> methods;
    if (spec.section() == "bias") methods = bias_method_keys();
    if (spec.section() == "rates")
        for (const RateMethodEntry& entry : rate_methods()) methods.push_back({entry.name, entry.keys});
    for (const MethodKeys& entry : methods) {
        if (!entry.asks_for(spec.name())) continue;
        if (spec.section() == "bias" && bias_reader(entry.method).along_path)
            base = replaced(base, "from = -1.5\nto = 1.2", "path = [-1.5, 1.2]\nstiffness = 100.0");
        const std::string table = "[" + spec.section() + "]\n";
        return replaced(base, table, table + "method = " + toml_string(entry.method) + "\n");
    }
    return base;
}

TEST_CASE("config: every bound is what the whole check takes, and what the trainer enforces") {
    // What has to go with a key at its bound.
    const std::map<std::string, std::vector<std::string>> with{
        {"umbrella.windows", {"umbrella.replicas=1"}},
        {"umbrella.replicas", {"umbrella.windows=2", "umbrella.steps=100"}},
        {"umbrella.steps <", {"umbrella.stride=1"}},
        {"umbrella.steps >", {"umbrella.stride=1000000000000000"}},
        {"umbrella.stride", {"umbrella.steps=1000000000000000"}},
        {"umbrella.stride <", {"umbrella.steps=1000"}},
        {"lifting.candidates", {"generator.kind=flow"}},
        {"learn.points <", {"learn.landmarks=64"}},
        {"umbrella.exchange", {"umbrella.steps=1000000000000000", "umbrella.stride=500000000000000"}},
        {"rates.replicas >", {"rates.repeats=4"}},
        {"rates.interval >", {"rates.steps=10000000000"}},
        {"rates.steps <", {"rates.interval=1"}},
        {"bias.draw >", {"bias.steps=1000000000000000", "bias.stride=500000000000000", "bias.pace=500000000000000"}},
        {"bias.move >", {"bias.steps=1000000000000000", "bias.stride=500000000000000"}},
        {"rates.equilibrate >", {"rates.longest=1000000000000000"}},
        {"rates.longest <", {"rates.equilibrate=0"}},
        {"bias.equilibrate <", {"bias.sigma=0.1"}},
        {"bias.steps <", {"bias.stride=1", "bias.pace=1"}},
        {"bias.steps >", {"bias.stride=500000000000000"}},
        {"bias.stride >", {"bias.steps=1000000000000000"}},
        {"bias.pace >", {"bias.steps=1000000000000000", "bias.stride=500000000000000", "bias.sigma=0.1"}},
    };
    const Schema schema = run_schema("muller_brown");
    int bounds = 0, trained = 0;
    for (const KeySpec& spec : schema.keys) {
        if (spec.path.find_first_of("[*") != std::string::npos) continue;
        const bool whole = spec.type == KeyType::integer || spec.type == KeyType::integers;
        for (const bool upper : {false, true}) {
            const double bound = upper ? spec.most : spec.least;
            if (!std::isfinite(bound)) continue;
            CAPTURE(spec.path);
            CAPTURE(bound);
            const bool excluded = upper ? spec.most_excluded : spec.least_excluded;
            const auto show = [&](double x) {
                return whole ? std::to_string(static_cast<long long>(x)) : toml_number(x);
            };
            if (!excluded) {
                std::vector<std::string> set{spec.path + "=" + show(bound)};
                for (const std::string& key : {spec.path + (upper ? " >" : " <"), spec.path}) {
                    if (const auto found = with.find(key); found != with.end()) {
                        set.insert(set.end(), found->second.begin(), found->second.end());
                        break;
                    }
                }
                CHECK(check_refusal(base_of_method(spec), set) == "");
                ++bounds;
            }
            if (spec.section() != "generator") continue;
            // The trainer takes the bound and refuses what is beyond; a kind need not look at every key.
            const auto refused = [&](double x) {
                for (const std::string& kind : generator_kinds()) {
                    GeneratorConfig generator = generator_section.defaults();
                    generator.kind = kind;
                    for (const Key<GeneratorConfig>& key : generator_section.keys())
                        if (key.spec.path == spec.path)
                            key.read(generator, whole ? ConfigValue::of(static_cast<long long>(x))
                                                      : ConfigValue::of(x));
                    try {
                        trainer_config(generator, {}, generator.iterations, 1).validate();
                    } catch (const InputError&) {
                        return true;
                    }
                }
                return false;
            };
            const double step = upper ? 1 : -1;
            const double beyond = excluded ? bound
                                  : whole  ? bound + step
                                           : std::nextafter(bound, step * HUGE_VAL);
            const double within = excluded ? std::nextafter(bound, -step * HUGE_VAL) : bound;
            CHECK(refused(beyond));
            CHECK_FALSE(refused(within));
            ++trained;
        }
    }
    CHECK(bounds > 80);
    CHECK(trained > 25);
}

TEST_CASE("config: --set takes strings without quotes, and refuses what looks like broken TOML") {
    const auto initial = [](const std::string& value) {
        return check_refusal(kBase, {"umbrella.initial=" + value});
    };
    for (const char* file : {"./x.csv", "../x.csv", "~/x.csv", "/tmp/no such file.csv", "start.npy",
                             ".hidden", "../2024/x.csv", "m\u00fcller.csv", "3x.csv", "-x", "1.5.2",
                             "1e", ".5", "-", "--3", "1_", "0x"}) {
        CAPTURE(file);
        const std::string message = initial(file);
        CHECK(contains(message, "names the file '" + std::string(file) + "', which does not exist"));
    }
    CHECK(parse(kBase, {"system.name=muller_brown"}).system.name == "muller_brown");
    CHECK(parse(kBase, {"umbrella.initial=line"}).umbrella.initial_line);
    CHECK(parse(kBase, {"umbrella.initial=\"line\""}).umbrella.initial_line);
    CHECK(parse(kBase, {"umbrella.initial= [0.5, 1] "}).umbrella.initial_state ==
          std::vector<double>{0.5, 1.0});
    CHECK(parse(kBase, {"umbrella.from=-2"}).umbrella.from == std::vector<double>{-2.0});
    CHECK(contains(refusal(kBase, {"umbrella.windows=1O"}), "must be an integer"));
    CHECK(contains(refusal(kBase, {"umbrella.windows=1O"}), "found \"1O\""));
    const std::string well = replaced(kMolecule, "potential = \"ax^2\"", "potential = \"ay\"");
    for (const char* formula : {"2*ax^2", "-ax", "+ax", "0.5*ax^2", "-2*(1 - ax)", "ax^2 + 1"})
        CHECK(parse(well, {std::string("system.potential=") + formula}).system.potential == formula);
    for (const char* broken : {"[1, 2", "{a = 1", "\"open", "'open", "a\nb", "1\nseed = 2"}) {
        CAPTURE(broken);
        const std::string message = initial(broken);
        CAPTURE(message);
        CHECK(message.rfind("--set umbrella.initial=", 0) == 0);
        CHECK(contains(message, "; "));
        CHECK(!contains(message, "\n"));
        CHECK(!contains(message, "does not exist"));
    }
}

TEST_CASE("config: hostile files end in one message") {
    std::string dots = "a";
    for (int i = 0; i < 50000; ++i) {
        dots += ".a";
    }
    CHECK(contains(refusal(dots + " = 1"), "dots on one line"));
    CHECK(contains(refusal("x = " + std::string(100000, '[')), "run.toml:1:"));
    CHECK(contains(refusal(std::string((1 << 20) + 1, '#')), "1 MiB"));
    CHECK(contains(refusal("a = {" + dots.substr(0, 99) + " = {" + dots.substr(0, 99) + " = 1}}"),
                   "deep"));
    CHECK(contains(refusal("s = '''\n" + dots + "'''"), "unknown key 's'"));
    CHECK(refusal(std::string("seed = 1\0", 9)) != "");
    CHECK(contains(refusal("seed = 1\nM\u00fcl = 1\n"), "run.toml:2:2: a character outside ASCII"));
    CHECK(refusal("\xef\xbb\xbf" + std::string(kBase)) == "");
    CHECK(refusal("# \u00fc\n" + std::string(kBase)) == "");
    // toml++ asserts on this one.
    CHECK(contains(refusal("seed = 1\n[\numbrella]\nfrom = 1\n"), "run.toml:2:1"));
}

TEST_CASE("config: the nearest name") {
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("abc", "abc") == 0);
    CHECK(nearest_name("windws", {"windows", "stride"}) == "windows");
    CHECK(nearest_name("zzzzzz", {"windows", "stride"}) == "");
}
