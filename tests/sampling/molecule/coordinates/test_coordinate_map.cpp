// What generators make of internal coordinates, on every device: torsions that go all round, conditions of every kind.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/at.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/molecule/coordinates/molecule_coordinates.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;
constexpr index kAtoms = 7, kCount = 3 * kAtoms - 6;
constexpr index kSamples = 4000;  // 50 for each line and knot, at four knots
constexpr index kStates = 37;

float uniform(index n, uint32 word) {
    uint32 c[4] = {static_cast<uint32>(n), kStreamTest, word, 0};
    philox4x32(c, philox_key(78));
    return uniform_open<float>(c[0]);
}

// A chain with one atom beside it.
Molecule chain() {
    Molecule m;
    for (index i = 0; i < kAtoms; ++i) {
        Atom atom;
        atom.mass = 12;
        atom.element = 6;
        m.atoms.push_back(atom);
        if (i > 0) m.bonded.push_back({i == kAtoms - 1 ? 2 : i - 1, i});
    }
    return m;
}

Buffer<float> uploaded(Stream& stream, const std::vector<float>& values) {
    Buffer<float> buffer(stream.device(), std::max<index>(1, static_cast<index>(values.size())));
    if (!values.empty()) copy_to_device(stream, buffer.span(), values.data());
    return buffer;
}

// The first `round` torsions go all round, the others and all else stay near a value; all depend on the first.
std::vector<float> internal_samples(int round) {
    std::vector<float> q;
    for (index k = 0; k < kCount; ++k)
        for (index j = 0; j < kSamples; ++j) {
            const float u = uniform(j, static_cast<uint32>(k)) - 0.5f, first = uniform(j, 2 * kAtoms - 3) - 0.5f;
            const float with = std::cos(static_cast<float>(kTurn) * first);
            const index torsion = k - (2 * kAtoms - 3);
            q.push_back(torsion >= 0 && torsion < round ? static_cast<float>(kTurn) * u
                        : torsion >= 0                  ? 2.0f + 0.4f * u + 0.2f * with
                        : k >= kAtoms - 1               ? 1.9f + 0.2f * u + 0.05f * with
                                                        : 0.15f + 0.02f * u + 0.004f * with);
        }
    return q;
}

struct Case {
    int round;                   // torsions that go all round
    std::vector<int> dihedrals;  // conditions: torsions of the Z-matrix
    bool bond = false;           // a condition that no state meets by itself: a distance
};

struct Made {
    std::vector<float> states, places, volumes;
};

std::vector<double> distances(const std::vector<float>& x, index j) {
    std::vector<double> all;
    for (index a = 0; a < kAtoms; ++a)
        for (index b = 0; b < a; ++b) {
            double sum = 0;
            for (index d = 0; d < 3; ++d)
                sum += std::pow(static_cast<double>(x[at((3 * a + d) * kStates + j)]) -
                                    static_cast<double>(x[at((3 * b + d) * kStates + j)]),
                                2);
            all.push_back(std::sqrt(sum));
        }
    return all;
}

}  // namespace

TEST_CASE("what generators make of states is the same on every machine, for conditions of every kind") {
    const Molecule molecule = chain();
    const ZMatrix z = make_z_matrix(molecule);
    const auto dihedral = [&](int torsion) {
        const ZMatrixEntry& e = z.entries[at(3 + torsion)];
        return std::array<index, 4>{e.torsion, e.angle, e.bond, e.atom};
    };
    const Case cases[] = {{0, {}}, {2, {}}, {2, {0}}, {3, {0, 1}}, {1, {}, true}, {2, {0}, true}};
    for (const Case& c : cases) {
        CAPTURE(c.round);
        CAPTURE(c.dihedrals.size());
        CAPTURE(c.bond);
        // Fitted once, on the CPU.
        Stream cpu(Device::cpu(1));
        const std::vector<float> samples = internal_samples(c.round);
        const Buffer<float> q = uploaded(cpu, samples);
        Buffer<float> x(cpu.device(), 3 * kAtoms * kSamples);
        InternalCoordinates(cpu, z).to_cartesian(cpu, {q.data(), kCount, kSamples, kSamples},
                                                 {x.data(), 3 * kAtoms, kSamples, kSamples}, nullptr);
        std::vector<ConditionOfMolecule> conditions;
        std::vector<float> values;
        const auto take = [&](index row) {
            values.insert(values.end(), samples.begin() + row * kSamples, samples.begin() + (row + 1) * kSamples);
        };
        for (const int k : c.dihedrals) {
            conditions.push_back({kTurn, dihedral(k)});
            take(2 * kAtoms - 3 + k);
        }
        if (c.bond) {
            conditions.push_back({});
            take(2);
        }
        const auto count = static_cast<index>(conditions.size());
        const Buffer<float> s = uploaded(cpu, values);
        const MoleculeCoordinates fitted(cpu, molecule, conditions, {x.data(), 3 * kAtoms, kSamples, kSamples},
                                         {s.data(), count, kSamples, kSamples});
        const TensorMap tensors = fitted.tensors();
        const std::vector<float> places = to_host(cpu, std::as_const(x).span());
        std::vector<float> few, few_values;
        for (index k = 0; k < 3 * kAtoms; ++k)
            few.insert(few.end(), places.begin() + k * kSamples, places.begin() + k * kSamples + kStates);
        for (index k = 0; k < count; ++k)
            few_values.insert(few_values.end(), values.begin() + k * kSamples, values.begin() + k * kSamples + kStates);

        const auto make = [&](const Device& device) {
            Stream stream(device);
            MoleculeCoordinates map(stream, molecule, conditions, tensors);
            const Buffer<float> from = uploaded(stream, few), own = uploaded(stream, few_values);
            const Matrix<const float> cv{own.data(), count, kStates, kStates};
            Buffer<float> y(device, map.states() * kStates), back(device, 3 * kAtoms * kStates),
                volume(device, 2 * kStates);
            const Matrix<float> states{y.data(), map.states(), kStates, kStates};
            map.to_states(stream, {from.data(), 3 * kAtoms, kStates, kStates}, cv, states, volume.data());
            map.from_states(stream, states, cv, {back.data(), 3 * kAtoms, kStates, kStates}, volume.data() + kStates);
            return Made{to_host(stream, std::as_const(y).span()), to_host(stream, std::as_const(back).span()),
                        to_host(stream, std::as_const(volume).span())};
        };
        const Made expected = make(Device::cpu(1));
        CHECK(fitted.states() == kCount - static_cast<index>(c.dihedrals.size()));
        double worst = 0;
        for (index j = 0; j < kStates; ++j) {
            const std::vector<double> before = distances(few, j), after = distances(expected.places, j);
            for (std::size_t k = 0; k < before.size(); ++k)
                worst = std::max(worst, std::abs(before[k] - after[k]));
            // Sums of some tens of logarithms, each rounded to 1e-6 at most.
            CHECK(std::abs(expected.volumes[at(j)] - expected.volumes[at(kStates + j)]) < 1e-3f);
        }
        CHECK(worst < 1e-5);  // nm: rounding of places and angles
        for (const Device& device : test_devices()) {
            const Made found = make(device);
            CHECK(found.states == expected.states);
            CHECK(found.places == expected.places);
            CHECK(found.volumes == expected.volumes);
        }
    }
}

}  // namespace microlift
