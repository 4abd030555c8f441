// Distances between samples on a line and on a circle, laws of a molecule, clashes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sampling/lift/molecule_laws.h"
#include "sampling/molecule/files/read_molecule.h"
#include "tests/sampling/molecule/molecule_data.h"

namespace microlift {
namespace {

constexpr double kPi = std::numbers::pi;

// The least mean distance over all ways to pair equally many values, which on a circle is a turn of the order.
double paired_on_circle(std::vector<double> a, std::vector<double> b, double period) {
    for (auto* list : {&a, &b}) {
        for (double& v : *list) v -= period * std::floor(v / period);
        std::sort(list->begin(), list->end());
    }
    double best = 1e300;
    for (std::size_t shift = 0; shift < a.size(); ++shift) {
        double sum = 0;
        for (std::size_t k = 0; k < a.size(); ++k)
            sum += std::abs(std::remainder(a[k] - b[(k + shift) % b.size()], period));
        best = std::min(best, sum / static_cast<double>(a.size()));
    }
    return best;
}

std::vector<double> spread(int n, double from, double to, int step) {
    std::vector<double> values;
    for (int k = 0; k < n; ++k) values.push_back(from + (to - from) * ((k * step) % n + 0.5) / n);
    return values;
}

}  // namespace

TEST_CASE("Wasserstein distances on the line and on the circle are those of the best pairing") {
    CHECK(wasserstein_on_line({0, 1}, {2, 3}) == doctest::Approx(2));
    CHECK(wasserstein_on_line({0, 1, 2, 3}, {1.5}) == doctest::Approx(1));
    CHECK(wasserstein_on_line({1, 2}, {2, 1, 1, 2}) == doctest::Approx(0));
    CHECK(std::isnan(wasserstein_on_line({}, {1})));
    // Across the cut, and by the shorter way.
    CHECK(wasserstein_on_circle({0.1}, {2 * kPi - 0.2}, 2 * kPi) == doctest::Approx(0.3));
    CHECK(wasserstein_on_circle({-3.1, 3.1}, {3.1, 3.1}, 2 * kPi) == doctest::Approx((2 * kPi - 6.2) / 2));
    CHECK(wasserstein_on_circle({0, 2}, {1, 3}, 4) == doctest::Approx(1));
    // A uniform law beside a point: π/2.
    CHECK(wasserstein_on_circle(spread(1000, 0, 2 * kPi, 7), {1.234}, 2 * kPi) ==
          doctest::Approx(kPi / 2).epsilon(1e-5));
    for (const double turn : {0.0, 1.0, 3.0}) {
        std::vector<double> a = spread(12, turn, turn + 2.5, 5), b = spread(12, turn + 1, turn + 5, 7);
        CHECK(wasserstein_on_circle(a, b, 2 * kPi) == doctest::Approx(paired_on_circle(a, b, 2 * kPi)));
    }
}

TEST_CASE("laws of a molecule: what is changed is what is told, overlaps are counted") {
    const LoadedMolecule loaded =
        read_molecule({molecule_data_path("ala2.prmtop"), molecule_data_path("ala2.inpcrd"), {}, true, 0});
    const Molecule& m = loaded.molecule;
    const index n = 40;
    const auto states = [&](double stretch) {
        std::vector<float> x(static_cast<std::size_t>(3 * m.size() * n));
        for (index d = 0; d < 3 * m.size(); ++d)
            for (index j = 0; j < n; ++j)
                x[static_cast<std::size_t>(d * n + j)] = static_cast<float>(
                    loaded.position[static_cast<std::size_t>(d)] * (1 + stretch + 1e-3 * static_cast<double>(j % 5)));
        return x;
    };
    const std::vector<float> physics = states(0);
    const MoleculeLaws same = compare_laws(m, physics, n, physics, n);
    CHECK(same.laws.size() == m.bonds.size() + m.angles.size() + 25);
    for (const MoleculeLaw& law : same.laws) CHECK(law.distance == 0);
    CHECK(same.clashes == 0);
    // All distances shrink by a tenth: bonds by that, angles and torsions not at all, and every state is
    // closer than before.
    const MoleculeLaws small = compare_laws(m, states(-0.1), n, physics, n);
    for (const MoleculeLaw& law : small.laws) {
        if (law.kind == LawKind::bond) {
            const auto a = static_cast<std::size_t>(3 * law.atoms[0]), b = static_cast<std::size_t>(3 * law.atoms[1]);
            const double length = std::hypot(loaded.position[a] - loaded.position[b],
                                             loaded.position[a + 1] - loaded.position[b + 1],
                                             loaded.position[a + 2] - loaded.position[b + 2]);
            CHECK(law.distance == doctest::Approx(0.1 * length).epsilon(1e-3));
        } else {
            CHECK(law.distance < 1e-5);
        }
    }
    CHECK(small.clashes == 1);
    CHECK(small.mean(LawKind::bond) > 10);
    CHECK(small.worst(LawKind::bond) >= small.mean(LawKind::bond));
    // In the mirror lengths and angles are the same, and every torsion turns over.
    std::vector<float> mirror = physics;
    for (std::size_t k = 0; k < mirror.size(); ++k)
        if (k / static_cast<std::size_t>(n) % 3 == 0) mirror[k] = -mirror[k];
    const MoleculeLaws turned = compare_laws(m, mirror, n, physics, n);
    double most = 0;
    for (const MoleculeLaw& law : turned.laws) {
        if (law.kind != LawKind::torsion) CHECK(law.distance < 1e-6);
        else most = std::max(most, law.distance);
    }
    CHECK(most > 1);
}

}  // namespace microlift
