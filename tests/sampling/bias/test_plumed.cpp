// The syntax of PLUMED inputs, and numbers and lists in them.
#include <doctest/doctest.h>

#include <numbers>

#include "engine/error.h"
#include "sampling/bias/plumed/input.h"
#include "sampling/bias/plumed/read.h"
#include "sampling/bias/plumed/settings.h"

namespace microlift {
namespace {

std::string refusal(const std::string& text) {
    try {
        read_plumed_actions(text, "p");
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

TEST_CASE("PLUMED: actions, labels, continued lines, comments and braces") {
    const auto actions = read_plumed_actions(
        "# a comment\r\nphi: TORSION ATOMS=5,7,\\\n\nm: METAD ARG=phi ... # more\n  PACE=500 # <- a comment\n\n FUNC={x +\n  y} "
        "NLIST\n... METAD\nDISTANCE ATOMS=1,2 LABEL=d\nENDPLUMED\nwhat {ever",
        "p");
    REQUIRE(actions.size() == 3);
    CHECK(actions[0].label == "phi");
    CHECK(actions[0].name == "TORSION");
    CHECK(actions[0].origin.str() == "p:2:6");
    CHECK(actions[1].label == "m");
    REQUIRE(actions[1].words.size() == 4);
    CHECK(actions[1].words[1].text == "PACE=500");
    CHECK(actions[1].words[1].origin.str() == "p:5:3");
    CHECK(actions[1].words[2].text == "FUNC=x +   y");
    CHECK(actions[1].words[3].text == "NLIST");
    CHECK(actions[2].label == "d");
    CHECK(actions[2].words.size() == 1);
    CHECK(read_plumed_actions("", "p").empty());
    CHECK(read_plumed_actions("\n# x\n", "p").empty());
}

TEST_CASE("PLUMED: what is no input is refused at its place") {
    CHECK(refusal("PRINT ...\nARG=x\n").starts_with("p:1:7: the lines that '...' continues end nowhere"));
    CHECK(refusal("PRINT ...\n... FLUSH\n").starts_with("p:2:5:"));
    CHECK(refusal("...\n").starts_with("p:1:1:"));
    CHECK(refusal("A B={x\nC D=2\n").starts_with("p:1:5: the brace"));
    CHECK(refusal("A B=x}\n").starts_with("p:1:6:"));
    CHECK(refusal("a:\n").starts_with("p:1:1: there is a label without an action"));
    CHECK(refusal("a: B LABEL=c\n").starts_with("p:1:6: the action has two labels"));
}

TEST_CASE("PLUMED: numbers") {
    const double pi = std::numbers::pi;
    for (const auto& [text, value] : {std::pair{"1.5", 1.5}, {"-pi", -pi}, {"2*pi", 2 * pi}, {"0.5pi", 0.5 * pi}, {"PI", pi},
                                      {"pi/4", pi / 4}, {"1e-3", 1e-3}, {"exp(0)", 1.0}, {"+2", 2.0}})
        CHECK(plumed_number(text).value_or(1e9) == doctest::Approx(value).epsilon(1e-15));
    for (const char* text : {"", "x", "1.5x", "inf", "nan", "1/0", "__FILL__", "1,2", "pi pi"})
        CHECK_FALSE(plumed_number(text).has_value());
    CHECK(plumed_parts("{1,2},3 4") == std::vector<std::string>{"1,2", "3", "4"});
}

TEST_CASE("PLUMED: what an input says stands where it stands there") {
    PlumedEngine engine;
    engine.atoms = 22;
    engine.temperature = 300;
    const PlumedTables tables = read_plumed_text(
        "UNITS LENGTH=A\nd: DISTANCE ATOMS=1,2\nMETAD ARG=d SIGMA=0.5 HEIGHT=1 PACE=10 BIASFACTOR=5 GRID_MIN=1 GRID_MAX=9\n", "p",
        "", engine);
    CHECK(tables.given.find("sigma")->number == doctest::Approx(0.05));
    CHECK(tables.given.find("sigma")->origin.str() == "p:3:19");
    CHECK(tables.given.find("to")->number == doctest::Approx(0.9));
    CHECK(tables.fallback.find("bins")->integer == 80);
    CHECK(tables.cv.find("variables")->items.at(0).origin.str() == "p:2:4");
    CHECK_FALSE(tables.prints);
}

}  // namespace
}  // namespace microlift
