// Weights of generated states of a molecule, against exact laws.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "engine/error.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/generators/registry.h"
#include "sampling/lift/molecule_proposals.h"
#include "sampling/lift/proposals.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

constexpr double kPi = std::numbers::pi;

// Four equal atoms in a chain. Two rigid bonds at the second, whose angle no term holds; a bond and an angle at
// the third; a torsion.
Molecule half_rigid_chain() {
    Molecule m;
    for (index i = 0; i < 4; ++i) {
        Atom atom;
        atom.mass = 12;
        m.atoms.push_back(atom);
        for (index j = 0; j < i; ++j) m.exceptions.push_back({{j, i}, 0, 0.1, 0});
    }
    m.rigid_bonds = {{{0, 1}, 0.15}, {{1, 2}, 0.15}};
    m.bonds = {{{2, 3}, 0.15, 3e4}};
    m.angles = {{{1, 2, 3}, 1.9, 300}};
    m.torsions = {{{0, 1, 2, 3}, 1, 0.3, 4}, {{0, 1, 2, 3}, 3, 0, 3}};
    return m;
}
double torsion_energy(double phi) { return 4 * (1 + std::cos(phi - 0.3)) + 3 * (1 + std::cos(3 * phi)); }

}  // namespace

TEST_CASE("weights make of generated states the law of rigid bonds, and the free energy of a torsion") {
    const Molecule m = half_rigid_chain();
    const double kt = kGasConstant * 300;
    for (const Device& device : quick_devices()) {
        Stream stream(device);
        // The free angle evenly in its cosine, as flexible bonds would have it, within 0.95; the others by
        // their own terms.
        const index n = 20000;
        std::vector<float> q(static_cast<std::size_t>(6 * n)), phi;
        for (index j = 0; j < n; ++j) {
            uint32 c[4] = {static_cast<uint32>(j), kStreamTest, 0, 0};
            philox4x32(c, philox_key(5));
            float z[2];
            box_muller<Portable>(c[0], c[1], z[0], z[1]);
            const auto u = static_cast<std::size_t>(j), rows = static_cast<std::size_t>(n);
            q[u] = q[rows + u] = 0.15f;
            q[2 * rows + u] = 0.15f + z[0] * static_cast<float>(std::sqrt(kt / 3e4));
            q[3 * rows + u] = std::acos(0.95f * (2 * uniform_open<float>(c[2]) - 1));
            q[4 * rows + u] = 1.9f + z[1] * static_cast<float>(std::sqrt(kt / 300));
            phi.push_back(static_cast<float>(kPi) * (2 * uniform_open<float>(c[3]) - 1));
            q[5 * rows + u] = phi.back();
        }
        Buffer<float> values(device, 6 * n), x(device, 12 * n), s(device, n);
        copy_to_device(stream, values.span(), q.data());
        copy_to_device(stream, s.span(), phi.data());
        const std::array<index, 4> dihedral{0, 1, 2, 3};
        const InternalCoordinates internal(stream, make_z_matrix(m, {dihedral}));
        REQUIRE(internal.matrix().entries[2].atom == 2);
        internal.to_cartesian(stream, {values.data(), 6, n, n}, {x.data(), 12, n, n}, nullptr);
        MoleculeCoordinates coordinates(stream, m, {{2 * kPi, dihedral}}, {x.data(), 12, n, n}, {s.data(), 1, n, n});
        REQUIRE(coordinates.states() == 3);
        Buffer<float> y(device, 3 * n);
        coordinates.to_states(stream, {x.data(), 12, n, n}, {s.data(), 1, n, n}, {y.data(), 3, n, n});
        TrainerConfig config = TrainerConfig::defaults("flow");
        config.periods = {2 * kPi};
        config.widths = {32, 32};
        config.batch = 512;
        config.iterations = config.validation_every = 1500;
        config.validation_samples = 200;
        const auto trainer = make_trainer(stream, config, 3, 1);
        trainer->set_data(y.span(), s.span(), n, n, 100);
        trainer->advance(1500);
        Generator generator(stream, trainer->generator_tensors());
        MoleculeProposer proposer(stream, m, 300, coordinates, generator);

        const index each = 40000;
        Buffer<float> at(device, each), made(device, 12 * each), weight(device, each), again(device, each);
        std::vector<double> log_z, error;
        const std::vector<double> places{-2.5, -0.6, 1.1, 3.0};
        for (const double place : places) {
            copy_to_device(stream, at.span(),
                           std::vector<float>(static_cast<std::size_t>(each), static_cast<float>(place)).data());
            const Matrix<const float> cv{at.data(), 1, each, each};
            proposer.propose(cv, 3, kStreamProposal, 0, {made.data(), 12, each, each}, weight.data());
            const auto w = to_host(stream, std::as_const(weight).span());
            const auto states = to_host(stream, std::as_const(made).span());
            double sum = 0, squares = 0, mean = 0, spread = 0;
            for (index j = 0; j < each; ++j) {
                const auto atom = [&](index a, index d) {
                    return static_cast<double>(states[static_cast<std::size_t>((3 * a + d) * each + j)]);
                };
                double product = 0;
                for (index d = 0; d < 3; ++d) product += (atom(0, d) - atom(1, d)) * (atom(2, d) - atom(1, d));
                const double cosine = product / (0.15 * 0.15), own = static_cast<double>(w[static_cast<std::size_t>(j)]);
                // Beyond what the flow was taught its weights are few and large.
                if (!(own > static_cast<double>(kUnusable)) || std::abs(cosine) > 0.9) continue;
                const double e = std::exp(own);
                sum += e;
                squares += e * e;
                mean += e * cosine * cosine;
                spread += e * e * std::pow(cosine * cosine - 0.262088, 2);
            }
            mean /= sum;
            // ∫ c² √(4 − c²) dc / ∫ √(4 − c²) dc over ±0.9 is 0.26209; flexible bonds would give 0.27.
            CHECK(std::abs(mean - 0.262088) < 4 * std::sqrt(spread) / sum);
            CHECK(4 * std::sqrt(spread) / sum < 0.27 - 0.262088);
            log_z.push_back(std::log(sum / static_cast<double>(each)));
            error.push_back(std::sqrt(squares / (sum * sum)));
            // The same weights of the same states given, where these are in the range of their coordinates.
            proposer.weigh({made.data(), 12, each, each}, cv, again.data());
            const auto found = to_host(stream, std::as_const(again).span());
            index off = 0;
            for (std::size_t j = 0; j < w.size(); ++j)
                off += w[j] > kUnusable && !(std::abs(found[j] - w[j]) < 2e-2f);
            CHECK(off < each / 200);
        }
        for (std::size_t k = 1; k < places.size(); ++k) {
            const double free_energy = -kt * (log_z[k] - log_z[0]);
            const double exact = torsion_energy(places[k]) - torsion_energy(places[0]);
            CHECK(std::abs(free_energy - exact) < 4 * kt * std::hypot(error[k], error[0]));
        }
    }
}

TEST_CASE("weights are the same on every device") {
    const Molecule m = half_rigid_chain();
    constexpr index n = 70;
    const auto go = [&](const Device& device) {
        Stream stream(device);
        std::vector<float> q(static_cast<std::size_t>(6 * n));
        for (std::size_t k = 0; k < q.size(); ++k)
            q[k] = k < static_cast<std::size_t>(3 * n) ? 0.15f : 1 + 0.01f * static_cast<float>(k % 13);
        Buffer<float> values(device, 6 * n), x(device, 12 * n), y(device, 3 * n), s(device, n), weight(device, n);
        copy_to_device(stream, values.span(), q.data());
        copy_to_device(stream, s.span(), q.data() + 5 * n);
        const std::array<index, 4> dihedral{0, 1, 2, 3};
        const InternalCoordinates internal(stream, make_z_matrix(m, {dihedral}));
        internal.to_cartesian(stream, {values.data(), 6, n, n}, {x.data(), 12, n, n}, nullptr);
        const Matrix<const float> states{x.data(), 12, n, n}, cv{s.data(), 1, n, n};
        MoleculeCoordinates coordinates(stream, m, {{2 * kPi, dihedral}}, states, cv);
        coordinates.to_states(stream, states, cv, {y.data(), 3, n, n});
        TrainerConfig config = TrainerConfig::defaults("flow");
        config.widths = {8};
        config.batch = 16;
        config.iterations = 1;
        config.held_out = 0;
        const auto trainer = make_trainer(stream, config, 3, 1);
        trainer->set_data(y.span(), s.span(), n, n, n);
        Generator generator(stream, trainer->generator_tensors());
        MoleculeProposer proposer(stream, m, 300, coordinates, generator);
        proposer.weigh(states, cv, weight.data());
        return to_host(stream, std::as_const(weight).span());
    };
    const std::vector<float> expected = go(Device::cpu(1));
    for (const Device& device : test_devices()) {
        const std::vector<float> found = go(device);
        for (std::size_t j = 0; j < found.size(); ++j)  // a network's products may round otherwise
            CHECK(found[j] == doctest::Approx(expected[j]).epsilon(1e-3));
    }
}

TEST_CASE("weights are refused where no density is known") {
    Stream stream(Device::cpu(1));
    Molecule m = half_rigid_chain();
    const index n = 64;
    std::vector<float> q(static_cast<std::size_t>(6 * n));
    for (std::size_t k = 0; k < q.size(); ++k)
        q[k] = k < static_cast<std::size_t>(3 * n) ? 0.15f : 1 + 0.01f * static_cast<float>(k % 13);
    Buffer<float> values(stream.device(), 6 * n), x(stream.device(), 12 * n), y(stream.device(), 4 * n),
        s(stream.device(), n);
    copy_to_device(stream, values.span(), q.data());
    copy_to_device(stream, s.span(), q.data() + 5 * n);
    const InternalCoordinates internal(stream, make_z_matrix(m));
    internal.to_cartesian(stream, {values.data(), 6, n, n}, {x.data(), 12, n, n}, nullptr);
    const Matrix<const float> states{x.data(), 12, n, n}, cv{s.data(), 1, n, n};
    const auto generator_of = [&](const char* kind, MoleculeCoordinates& coordinates) {
        const int count = static_cast<int>(coordinates.states());
        coordinates.to_states(stream, states, cv, {y.data(), count, n, n});
        TrainerConfig config = TrainerConfig::defaults(kind);
        config.widths = {8};
        config.iterations = 1;
        config.held_out = 0;
        const auto trainer = make_trainer(stream, config, count, 1);
        trainer->set_data(y.span(), s.span(), n, n, n);
        return Generator(stream, trainer->generator_tensors());
    };
    MoleculeCoordinates torsion(stream, m, {{2 * kPi, std::array<index, 4>{0, 1, 2, 3}}}, states, cv);
    Generator energy = generator_of("energy", torsion), flow = generator_of("flow", torsion);
    CHECK_THROWS_WITH_AS(MoleculeProposer(stream, m, 300, torsion, energy), doctest::Contains("no density"),
                         InputError);
    MoleculeCoordinates other(stream, m, {{0, std::nullopt}}, states, cv);
    CHECK(!other.exact());
    Generator wide = generator_of("flow", other);
    CHECK_THROWS_WITH_AS(MoleculeProposer(stream, m, 300, other, wide), doctest::Contains("no torsion"), InputError);
    m.restraints.push_back({0, 1, {0, 0, 0}});
    CHECK_THROWS_WITH_AS(MoleculeProposer(stream, m, 300, torsion, flow), doctest::Contains("restraints"), InputError);
}

}  // namespace microlift
