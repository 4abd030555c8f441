// Minima that stand out of a free energy, in one and two variables, all round a period and beside gaps.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "engine/at.h"
#include "sampling/numerics/basins.h"

namespace microlift {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

Grid line(index bins, bool round = false) {
    Grid grid;
    grid.from[0] = 0, grid.to[0] = static_cast<double>(bins);
    grid.bins[0] = bins;
    grid.round[0] = round;
    return grid;
}

std::vector<Basin> found(const Grid& grid, const std::vector<double>& f, double error = 0.0) {
    return basins(grid, f, std::vector<double>(f.size(), error), 1.0);
}

}  // namespace

TEST_CASE("basins: the deepest first, each with the lowest way to a deeper one") {
    const auto wells = found(line(9), {9, 2, 8, 0, 5, 1, 3, 0.5, 9});
    REQUIRE(wells.size() == 4);
    CHECK(wells[0].minimum == 3);
    CHECK(wells[0].saddle == -1);
    CHECK(wells[1].minimum == 7);
    CHECK(wells[1].saddle == 4);
    CHECK(wells[2].minimum == 5);
    CHECK(wells[2].saddle == 6);
    CHECK(wells[3].minimum == 1);
    CHECK(wells[3].saddle == 2);
}

TEST_CASE("basins: less than kT or four standard errors do not stand out") {
    const std::vector<double> f{0, 4, 2, 9, 8.2, 9};
    CHECK(found(line(6), f).size() == 2);          // 0.8 kT at the end is none
    CHECK(found(line(6), f, 0.4).size() == 1);     // 2 is below four times 0.57
}

TEST_CASE("basins: all round a period the ends meet") {
    std::vector<double> f;
    for (index b = 0; b < 36; ++b) f.push_back(5 * (1 - std::cos(2 * std::numbers::pi * static_cast<double>(b) / 36)));
    CHECK(found(line(36, true), f).size() == 1);
    f.back() = f[1] = kMissing;  // walls of no data
    const auto cut = found(line(36, true), f);
    REQUIRE(cut.size() == 2);  // the lowest, and of those apart from it what has a way to a deeper one
    CHECK(cut[0].minimum == 0);
    CHECK(cut[1].saddle == 18);
}

TEST_CASE("basins: two variables, round in one") {
    Grid grid;
    grid.dims = 2;
    grid.bins = {12, 10};
    grid.to = {12, 10};
    grid.round = {false, true};
    std::vector<double> f(at(grid.size()), 10.0);
    const auto set = [&](index i, index j, double value) { f[at(i * 10 + j)] = value; };
    set(2, 9, 0), set(9, 0, 1);
    for (index i = 3; i < 9; ++i) set(i, 0, 3);  // the way goes through the end of the second
    set(2, 0, 4);
    const auto wells = found(grid, f);
    REQUIRE(wells.size() == 2);
    CHECK(wells[0].minimum == 29);
    CHECK(wells[1].minimum == 90);
    CHECK(wells[1].saddle == 20);
}

}  // namespace microlift
