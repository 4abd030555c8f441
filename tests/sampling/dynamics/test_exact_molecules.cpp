// Small systems whose averages are known: two particles in a well, a freely jointed chain.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "kernels/random/streams.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/dynamics/molecule_path.h"
#include "sampling/molecule/worst_force.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

// States after `settle` steps, then `rounds` times after `stride` more, of replicas from `starts`, one each:
// (3 · atoms, replicas · rounds).
std::vector<float> sampled(const Device& device, const Molecule& m, const MoleculeSetup& setup,
                           const std::vector<float>& starts, index replicas, index settle, index stride,
                           index rounds) {
    Stream stream(device);
    Ensemble ensemble(stream, make_molecule_path_kernel(std::make_shared<Molecule>(m), setup), replicas, 23,
                      kStreamTest);
    copy_to_device(stream, ensemble.x(), starts.data());
    SampleSet samples(device, static_cast<int>(3 * m.size()), 1, replicas * rounds);
    ensemble.advance(static_cast<uint64>(settle));
    ensemble.sample(static_cast<uint64>(stride), rounds, samples);
    return to_host(stream, std::as_const(samples.x).span());
}

// Mean and standard error from the means of groups of replicas, which are independent.
struct Mean {
    double value = 0, error = 0;
};
template <class Of>
Mean mean_of(index replicas, index columns, const Of& of) {
    constexpr std::size_t groups = 32;
    std::vector<double> sum(groups, 0.0), count(groups, 0.0);
    for (index k = 0; k < columns; ++k) {
        const auto group = static_cast<std::size_t>(k % replicas) % groups;
        sum[group] += of(static_cast<std::size_t>(k));
        ++count[group];
    }
    Mean mean;
    double squares = 0;
    for (std::size_t g = 0; g < groups; ++g) {
        mean.value += sum[g] / count[g] / groups;
        squares += std::pow(sum[g] / count[g], 2) / groups;
    }
    mean.error = std::sqrt((squares - mean.value * mean.value) / (groups - 1));
    return mean;
}

double distance(const std::vector<float>& x, std::size_t columns, std::size_t k, std::size_t a, std::size_t b) {
    double square = 0;
    for (std::size_t d = 0; d < 3; ++d)
        square += std::pow(static_cast<double>(x[(3 * a + d) * columns + k] - x[(3 * b + d) * columns + k]), 2);
    return std::sqrt(square);
}

Molecule atoms_of(index count, double mass) {
    Molecule m;
    m.atoms.resize(static_cast<std::size_t>(count));
    for (Atom& atom : m.atoms) atom.mass = mass;
    return m;
}

}  // namespace

// U = (1/r)¹² − 2(1/r)⁶ + r²/4, kT = 1.
TEST_CASE("two particles in a well have the exact mean distance and energy") {
    Molecule m = atoms_of(2, 1);
    for (Atom& atom : m.atoms) {
        atom.sigma = std::pow(2.0, -1.0 / 6);
        atom.epsilon = 1;
    }
    m.bonds.push_back({{0, 1}, 0, 0.5});
    const auto energy = [](double r) { return std::pow(r, -12) - 2 * std::pow(r, -6) + r * r / 4; };
    double z = 0, exact_r = 0, exact_u = 0;
    for (double r = 0.5; r < 15; r += 0.0005) {
        const double w = r * r * std::exp(-energy(r));
        z += w;
        exact_r += w * r;
        exact_u += w * energy(r);
    }
    exact_r /= z;
    exact_u /= z;
    CHECK(std::abs(exact_r - 2.201029) < 1e-6);
    CHECK(std::abs(exact_u - 1.246965) < 1e-6);
    for (const Device& device : quick_devices()) {
        const index replicas = 8192, rounds = 20, columns = replicas * rounds;
        MoleculeSetup setup;
        setup.scheme = MoleculeScheme::baoab;
        setup.dt = 0.02;
        setup.friction = 1;
        setup.temperature = 1 / kGasConstant;
        std::vector<float> x(static_cast<std::size_t>(6 * replicas), 0.0f);
        for (index t = 0; t < replicas; ++t) x[static_cast<std::size_t>(3 * replicas + t)] = 2;
        const std::vector<float> at = sampled(device, m, setup, x, replicas, 600, 200, rounds);
        const auto n = static_cast<std::size_t>(columns);
        const Mean r = mean_of(replicas, columns, [&](std::size_t k) { return distance(at, n, k, 0, 1); });
        const Mean u = mean_of(replicas, columns, [&](std::size_t k) { return energy(distance(at, n, k, 0, 1)); });
        // Student's t with 31 degrees of freedom exceeds 5 once in 50 000. The step's own error, (ω dt)²/24 of
        // the stiff side of the well, ω = 12: 0.2 % of what varies there.
        CHECK(std::abs(r.value - exact_r) < 5 * r.error + 1e-3);
        CHECK(std::abs(u.value - exact_u) < 5 * u.error + 2e-3);
        CHECK(5 * r.error < 0.03);
        CHECK(5 * u.error < 0.03);
    }
}

// Bonds alone: ⟨R²⟩ = N ⟨b²⟩.
TEST_CASE("a freely jointed chain has the exact mean square of its ends' distance") {
    constexpr index bonds = 8;
    constexpr double rest = 0.15, k = 20000, kT = kGasConstant * 300;
    Molecule m = atoms_of(bonds + 1, 14);
    for (index i = 0; i <= bonds; ++i)
        for (index j = 0; j < i; ++j) m.exceptions.push_back({{j, i}, 0, 0.1, 0});
    for (index i = 0; i < bonds; ++i) m.bonds.push_back({{i, i + 1}, rest, k});
    double z = 0, square = 0;
    for (double b = 0.05; b < 0.25; b += 1e-5) {
        const double w = b * b * std::exp(-0.5 * k * (b - rest) * (b - rest) / kT);
        z += w;
        square += w * b * b;
    }
    for (const Device& device : quick_devices()) {
        const index replicas = 4096, rounds = 10, columns = replicas * rounds;
        // Straight chains, which have to fold.
        std::vector<float> x(static_cast<std::size_t>(3 * (bonds + 1) * replicas), 0.0f);
        for (index i = 0; i <= bonds; ++i)
            for (index t = 0; t < replicas; ++t)
                x[static_cast<std::size_t>(3 * i * replicas + t)] = static_cast<float>(rest * static_cast<double>(i));
        MoleculeSetup setup;
        setup.dt = 0.004;
        setup.friction = 2;
        const std::vector<float> at = sampled(device, m, setup, x, replicas, 3000, 300, rounds);
        const auto n = static_cast<std::size_t>(columns);
        const Mean r2 = mean_of(replicas, columns, [&](std::size_t c) {
            return std::pow(distance(at, n, c, 0, static_cast<std::size_t>(bonds)), 2);
        });
        const double exact = bonds * square / z;
        CHECK(std::abs(r2.value - exact) < 5 * r2.error);
        CHECK(5 * r2.error < 0.1 * exact);  // a straight chain has eight times as much
    }
}

TEST_CASE("a state that is not finite is named by replica and atom, a bad one by atom and term") {
    Molecule m = atoms_of(3, 12);
    m.bonds = {{{0, 1}, 0.15, 1000}, {{1, 2}, 0.15, 1000}};
    for (std::size_t n = 0; n < 3; ++n) {
        m.atoms[n].name = "C" + std::to_string(n);
        m.atoms[n].residue = "LIG";
        m.atoms[n].residue_number = 7;
        m.atoms[n].sigma = 0.3;
        m.atoms[n].epsilon = 0.4;
    }
    for (const Device& device : quick_devices()) {
        Stream stream(device);
        const index replicas = 20;
        Ensemble ensemble(stream, make_molecule_path_kernel(std::make_shared<Molecule>(m), {}), replicas, 1,
                          kStreamTest);
        std::vector<float> x(9 * replicas, 0.0f);
        for (index t = 0; t < replicas; ++t) {
            x[static_cast<std::size_t>(3 * replicas + t)] = 0.15f;
            x[static_cast<std::size_t>(6 * replicas + t)] = 0.3f;
        }
        x[7 * replicas + 13] = std::nanf("");
        copy_to_device(stream, ensemble.x(), x.data());
        ensemble.advance(1);
        const auto describe = [](index t) { return "window " + std::to_string(t); };
        CHECK_THROWS_WITH_AS(ensemble.check_finite(describe), doctest::Contains("window 13"), NumericError);
        CHECK_THROWS_WITH_AS(ensemble.check_finite(describe), doctest::Contains("LIG 7 C"), NumericError);
        // Two atoms nearly at one place.
        const std::vector<float> bad{0, 0, 0, 0.15f, 0, 0, 0.151f, 0, 0};
        const std::string words = worst_force(stream, m, bad);
        CHECK(words.find("lennard_jones") != std::string::npos);
        CHECK((words.find("LIG 7 C1 (atom 1)") != std::string::npos ||
               words.find("LIG 7 C2 (atom 2)") != std::string::npos));
        const std::vector<float> none{0, 0, 0, 0.15f, std::nanf(""), 0, 0.3f, 0, 0};
        CHECK(worst_force(stream, m, none).find("LIG 7 C1 (atom 1) is the first") != std::string::npos);
    }
}

TEST_CASE("what blows up is named by the term that pulled when it began, and where") {
    // Three atoms in a row under a stiff bond with far too long a step; or two others that begin nearly at one place.
    const auto message = [](const Device& device, const Molecule& m, const std::vector<double>& at, double dt) {
        Stream stream(device);
        const index replicas = 20, n = m.size();
        MoleculeSetup setup;
        setup.dt = dt;
        Ensemble ensemble(stream, make_molecule_path_kernel(std::make_shared<Molecule>(m), setup), replicas, 1,
                          kStreamTest);
        std::vector<float> x;
        for (index d = 0; d < 3 * n; ++d)
            for (index t = 0; t < replicas; ++t)
                x.push_back(static_cast<float>(t == 13 ? at[static_cast<std::size_t>(d)]
                                                       : 0.5 * static_cast<double>(d / 3) * (d % 3 == 0)));
        copy_to_device(stream, ensemble.x(), x.data());
        ensemble.advance(500);
        try {
            ensemble.check_finite([](index t) { return "replica " + std::to_string(t); });
        } catch (const NumericError& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    Molecule bonded = atoms_of(3, 12), loose = atoms_of(3, 12);
    bonded.bonds = {{{1, 2}, 0.5, 2e5}};
    bonded.angles = {{{0, 1, 2}, 3.0, 10}};
    for (Molecule* m : {&bonded, &loose})
        for (std::size_t i = 0; i < 3; ++i) {
            m->atoms[i].sigma = 0.3;
            m->atoms[i].epsilon = 0.4;
            m->atoms[i].name = "C" + std::to_string(i);
        }
    for (const Device& device : quick_devices()) {
        // ω dt = √(2 · 2e5/12) 0.02 = 3.7: beyond 2, at which a bond's swing grows; all replicas do so.
        const std::string bond = message(device, bonded, {0, 0, 0, 0.5, 0, 0, 1.01, 0, 0}, 0.02);
        CHECK(bond.find("where the term bond pulls most") != std::string::npos);
        CHECK((bond.find("C1 (atom 1)") != std::string::npos || bond.find("C2 (atom 2)") != std::string::npos));
        CHECK(bond.find("before") != std::string::npos);
        // σ¹²/r¹³ throws them out of what single precision holds.
        const std::string pair = message(device, loose, {0, 0, 0, 1e-4, 0, 0, 1, 0, 0}, 0.002);
        CHECK(pair.find("trajectory 13 (replica 13)") != std::string::npos);
        CHECK(pair.find("where the term lennard_jones pulls most") != std::string::npos);
    }
}

}  // namespace microlift
