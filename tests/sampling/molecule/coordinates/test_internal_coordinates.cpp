// Internal coordinates: round trips, the determinant, chirality, what generators make.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/error.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/molecule/coordinates/molecule_coordinates.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/numerics/statistics.h"
#include "tests/sampling/molecule/molecule_data.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

using Point = std::array<double, 3>;
using State = std::vector<Point>;

Point operator-(const Point& a, const Point& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
double dot(const Point& a, const Point& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Point cross(const Point& a, const Point& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
double length(const Point& a) { return std::sqrt(dot(a, a)); }
double dihedral(const State& x, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    const Point f = x[a] - x[b], g = x[b] - x[c], h = x[d] - x[c], u = cross(f, g), w = cross(h, g);
    return std::atan2(dot(cross(w, u), g) / length(g), dot(u, w));
}

float uniform(index n, uint32 word) {
    uint32 c[4] = {static_cast<uint32>(n), kStreamTest, word, 0};
    philox4x32(c, philox_key(77));
    return uniform_open<float>(c[0]);
}

LoadedMolecule peptide() {
    return read_molecule({molecule_data_path("ala2.prmtop"), molecule_data_path("ala2.inpcrd"), {}, true, 0});
}

// States about a given one, atoms moved by up to `spread`; (3 · atoms, n).
std::vector<float> disturbed(const std::vector<double>& position, index n, double spread) {
    std::vector<float> x;
    for (std::size_t k = 0; k < position.size(); ++k)
        for (index j = 0; j < n; ++j)
            x.push_back(static_cast<float>(
                position[k] + spread * (2 * static_cast<double>(uniform(j, static_cast<uint32>(k))) - 1)));
    return x;
}

State column(const std::vector<float>& x, index n, index j) {
    State s;
    for (std::size_t k = 0; k < x.size() / static_cast<std::size_t>(3 * n); ++k) {
        Point p;
        for (std::size_t d = 0; d < 3; ++d)
            p[d] = static_cast<double>(x[(3 * k + d) * static_cast<std::size_t>(n) + static_cast<std::size_t>(j)]);
        s.push_back(p);
    }
    return s;
}

Buffer<float> uploaded(Stream& stream, const std::vector<float>& values) {
    Buffer<float> buffer(stream.device(), static_cast<index>(values.size()));
    copy_to_device(stream, buffer.span(), values.data());
    return buffer;
}

// All distances of a state, which a round trip must keep, and the volumes of its tetrahedra, which turn over
// in the mirror.
double worst_distance(const State& a, const State& b) {
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t j = 0; j < i; ++j)
            worst = std::max(worst, std::abs(length(a[i] - a[j]) - length(b[i] - b[j])));
    return worst;
}
double volume(const State& x, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    return dot(x[a] - x[d], cross(x[b] - x[d], x[c] - x[d]));
}

// A chain with side atoms at random places.
Molecule tree_of(index atoms) {
    Molecule m;
    for (index i = 0; i < atoms; ++i) {
        Atom atom;
        atom.mass = 12;
        atom.element = 6;
        m.atoms.push_back(atom);
        if (i > 0) {
            const index back = 1 + static_cast<index>(2.999 * static_cast<double>(uniform(i, 5)));
            m.bonded.push_back({std::max<index>(0, i - back), i});
        }
    }
    return m;
}

}  // namespace

TEST_CASE("states of molecules come back from their internal coordinates") {
    for (const Device& device : test_devices())
        for (const index atoms : {3, 4, 22, 166}) {
            CAPTURE(atoms);
            Stream stream(device);
            const Molecule m = atoms == 22 ? peptide().molecule : tree_of(atoms);
            std::vector<double> position;
            if (atoms == 22) {
                position = peptide().position;
            } else {  // bonds of 0.15 nm in random directions
                for (index i = 0; i < atoms; ++i) {
                    Point p{0, 0, 0}, d{};
                    for (const auto& b : m.bonded)
                        if (b[1] == i)
                            for (std::size_t k = 0; k < 3; ++k)
                                p[k] = position[static_cast<std::size_t>(3 * b[0]) + k];
                    for (std::size_t k = 0; k < 3; ++k)
                        d[k] = static_cast<double>(uniform(i, 10 + static_cast<uint32>(k))) - 0.5;
                    for (std::size_t k = 0; k < 3; ++k)
                        position.push_back(i == 0 ? 0 : p[k] + 0.15 * d[k] / length(d));
                }
            }
            const index n = 37, count = 3 * atoms - 6;
            const std::vector<float> x = disturbed(position, n, 0.005);
            const Buffer<float> from = uploaded(stream, x);
            Buffer<float> q(device, count * n), back(device, 3 * atoms * n), there(device, n), again(device, n);
            const InternalCoordinates internal(stream, make_z_matrix(m));
            CHECK(internal.matrix().atoms() == atoms);
            internal.from_cartesian(stream, {from.data(), 3 * atoms, n, n}, {q.data(), count, n, n}, there.data());
            internal.to_cartesian(stream, {q.data(), count, n, n}, {back.data(), 3 * atoms, n, n}, again.data());
            const auto y = to_host(stream, back.span());
            const auto a = to_host(stream, there.span()), b = to_host(stream, again.span());
            for (index j = 0; j < n; ++j) {
                const State before = column(x, n, j), after = column(y, n, j);
                CHECK(worst_distance(before, after) < 1e-5);
                // The logarithms of sums over atoms in single precision.
                CHECK(std::abs(a[static_cast<std::size_t>(j)] - b[static_cast<std::size_t>(j)]) <
                      1e-5f * static_cast<float>(atoms) + 1e-4f);
                for (std::size_t k = 3; k < before.size(); ++k) {
                    const double own = volume(before, k - 3, k - 2, k - 1, k);
                    if (std::abs(own) > 1e-5) CHECK(own * volume(after, k - 3, k - 2, k - 1, k) > 0);
                }
            }
        }
}

TEST_CASE("the determinant is that of all derivatives of places by coordinates") {
    // Places and turns of the first three atoms: atom 0 anywhere, atom 1 at polar angles about it, atom 2 turned
    // about both; their volume is sin of the polar angle.
    Stream stream(Device::cpu(1));
    const Molecule m = tree_of(6);
    const ZMatrix z = make_z_matrix(m);
    const InternalCoordinates internal(stream, z);
    const index n = 1, atoms = 6, count = 12;
    std::vector<float> q(static_cast<std::size_t>(count));
    for (index k = 0; k < count; ++k) {
        const float u = uniform(k, 3);
        q[static_cast<std::size_t>(k)] = k < 5 ? 0.1f + 0.1f * u : k < 9 ? 1.2f + 1.2f * u : 6 * u - 3;
    }
    const Buffer<float> on_device = uploaded(stream, q);
    Buffer<float> x(stream.device(), 18), log_jacobian(stream.device(), 1);
    internal.to_cartesian(stream, {on_device.data(), count, n, n}, {x.data(), 18, n, n}, log_jacobian.data());
    const double found = static_cast<double>(to_host(stream, std::as_const(log_jacobian).span())[0]);

    // The same in double precision, with the six numbers of place and turn before the internal ones.
    const auto place = [&](const std::vector<double>& all) {
        const double *r = all.data(), *inner = all.data() + 6;
        State at(6);
        const auto entry = [&](std::size_t k) { return z.entries[k]; };
        const auto u = [](index i) { return static_cast<std::size_t>(i); };
        const auto rotate = [&](Point p) {  // about x by r[5], then polar angles r[3], r[4]
            const auto turn = [&](std::size_t a, std::size_t b, double by) {
                const double pa = p[a], pb = p[b];
                p[a] = std::cos(by) * pa - std::sin(by) * pb;
                p[b] = std::sin(by) * pa + std::cos(by) * pb;
            };
            turn(1, 2, r[5]);
            turn(0, 1, r[3]);
            turn(1, 2, r[4]);
            return p;
        };
        at[u(entry(0).atom)] = {0, 0, 0};
        at[u(entry(1).atom)] = {inner[0], 0, 0};
        for (std::size_t k = 2; k < 6; ++k) {
            const double b = inner[k - 1], theta = inner[5 + k - 2], tau = k > 2 ? inner[9 + k - 3] : 0;
            const Point c = at[u(entry(k).bond)], a = at[u(entry(k).angle)];
            Point e = c - a;
            const double el = length(e);
            for (double& v : e) v /= el;
            Point side{0, 0, 1};
            if (k > 2) {
                side = cross(a - at[u(entry(k).torsion)], e);
                const double sl = length(side);
                for (double& v : side) v /= sl;
            }
            const Point up = cross(side, e);
            for (std::size_t d = 0; d < 3; ++d)
                at[u(entry(k).atom)][d] = c[d] - b * std::cos(theta) * e[d] +
                                          b * std::sin(theta) * (std::cos(tau) * up[d] + std::sin(tau) * side[d]);
        }
        std::vector<double> flat;
        for (const Point& p : at) {
            const Point turned = rotate(p);
            for (std::size_t d = 0; d < 3; ++d) flat.push_back(turned[d] + r[d]);
        }
        return flat;
    };
    std::vector<double> all{0.1, -0.2, 0.3, 1.1, 0.4, 0.7};
    for (const float v : q) all.push_back(static_cast<double>(v));
    // JᵀJ's determinant is J's squared.
    std::vector<std::vector<double>> columns;
    for (std::size_t k = 0; k < 18; ++k) {
        std::vector<double> up = all, down = all;
        const double h = 1e-5;
        up[k] += h;
        down[k] -= h;
        const auto a = place(up), b = place(down);
        columns.emplace_back();
        for (std::size_t d = 0; d < 18; ++d) columns.back().push_back((a[d] - b[d]) / (2 * h));
    }
    std::vector<double> square(18 * 18);
    for (std::size_t a = 0; a < 18; ++a)
        for (std::size_t b = 0; b < 18; ++b)
            for (std::size_t d = 0; d < 18; ++d) square[a * 18 + b] += columns[a][d] * columns[b][d];
    REQUIRE(cholesky_factor(square, 18));
    double exact = 0;
    for (std::size_t k = 0; k < 18; ++k) exact += std::log(square[k * 18 + k]);
    exact -= std::log(std::abs(std::sin(all[3])));
    CHECK(std::abs(found - exact) < 1e-4);
    // And the places themselves, beside the motion as a whole.
    State expected;
    const auto flat = place(all);
    for (std::size_t k = 0; k < 18; k += 3) expected.push_back({flat[k], flat[k + 1], flat[k + 2]});
    CHECK(worst_distance(expected, column(to_host(stream, std::as_const(x).span()), 1, 0)) < 1e-6);
    CHECK(atoms == 6);
}

TEST_CASE("torsions go along bonds, others beside them; a dihedral that is asked for is there") {
    const LoadedMolecule loaded = peptide();
    for (const std::array<index, 4>& phi :
         {std::array<index, 4>{4, 6, 8, 14}, std::array<index, 4>{14, 8, 6, 4}, std::array<index, 4>{6, 8, 14, 16},
          std::array<index, 4>{7, 6, 8, 10}}) {
        const ZMatrix z = make_z_matrix(loaded.molecule, {phi});
        const index k = z.entry_of(phi);
        REQUIRE(k >= 3);
        CHECK(z.entries[static_cast<std::size_t>(k)].along_bond);
        std::vector<bool> placed(22, false);
        std::vector<std::array<index, 2>> turned;
        for (std::size_t e = 0; e < z.entries.size(); ++e) {
            const ZMatrixEntry& entry = z.entries[e];
            for (const index other : {entry.bond, entry.angle, entry.torsion})
                if (other >= 0) CHECK(placed[static_cast<std::size_t>(other)]);
            CHECK((entry.bond >= 0) == (e >= 1));
            CHECK((entry.angle >= 0) == (e >= 2));
            CHECK((entry.torsion >= 0) == (e >= 3));
            placed[static_cast<std::size_t>(entry.atom)] = true;
            if (!entry.along_bond) continue;
            // One turn for each bond.
            const std::array<index, 2> bond{std::min(entry.bond, entry.angle), std::max(entry.bond, entry.angle)};
            CHECK(std::find(turned.begin(), turned.end(), bond) == turned.end());
            turned.push_back(bond);
        }
        CHECK(std::count(placed.begin(), placed.end(), true) == 22);
    }
    Molecule parts = tree_of(8);
    parts.bonded.pop_back();
    CHECK_THROWS_WITH_AS(make_z_matrix(parts), doctest::Contains("in one part"), InputError);
    CHECK_THROWS_WITH_AS(make_z_matrix(tree_of(2)), doctest::Contains("three atoms"), InputError);
}

TEST_CASE("a torsion that never goes round is cut in its gap") {
    const double pi = std::numbers::pi;
    CHECK(widest_gap({-3.0, 3.0, 2.9}).width == doctest::Approx(5.9));
    CHECK(std::abs(std::remainder(widest_gap({-3.0, 3.0, 2.9}).middle + 0.05, 2 * pi)) < 1e-9);
    CHECK(widest_gap({-0.5, 0.5}).width == doctest::Approx(2 * pi - 1));
    CHECK(std::abs(std::remainder(widest_gap({-0.5, 0.5}).middle - pi, 2 * pi)) < 1e-9);
}

TEST_CASE("what a generator makes: rigid bonds and conditions exact, the rest as it was") {
    const LoadedMolecule loaded = peptide();
    const std::array<index, 4> phi{4, 6, 8, 14};
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const index n = 600;
        // Rigid bonds are put right by a first way there and back: lengths are not generated.
        const Buffer<float> rough = uploaded(stream, disturbed(loaded.position, n, 0.004));
        std::vector<float> values(static_cast<std::size_t>(n));
        for (index j = 0; j < n; ++j) values[static_cast<std::size_t>(j)] = 6.2f * uniform(j, 99) - 3.1f;
        const Buffer<float> s = uploaded(stream, values);
        const std::vector<ConditionOfMolecule> conditions{{2 * std::numbers::pi, phi}};
        const Matrix<const float> cv{s.data(), 1, n, n};
        MoleculeCoordinates coordinates(stream, loaded.molecule, conditions, {rough.data(), 66, n, n}, cv);
        CHECK(coordinates.exact());
        CHECK(coordinates.states() == 9 + 20 + 18);
        const index states = coordinates.states();
        Buffer<float> y(device, states * n), x(device, 66 * n), again(device, states * n), back(device, 66 * n);
        coordinates.to_states(stream, {rough.data(), 66, n, n}, cv, {y.data(), states, n, n});
        coordinates.from_states(stream, {y.data(), states, n, n}, cv, {x.data(), 66, n, n});
        coordinates.to_states(stream, {x.data(), 66, n, n}, cv, {again.data(), states, n, n});
        const auto a = to_host(stream, std::as_const(y).span()), b = to_host(stream, std::as_const(again).span());
        double worst = 0;
        for (std::size_t k = 0; k < a.size(); ++k)
            worst = std::max(worst, static_cast<double>(std::abs(a[k] - b[k])));
        // Single precision of places, 1e-8 nm, beside deviations of 1e-3 nm and less, which sums of
        // decorrelated coordinates take some times over.
        CHECK(worst < 5e-3);
        const auto made = to_host(stream, std::as_const(x).span());
        for (index j = 0; j < n; ++j) {
            const State at = column(made, n, j);
            CHECK(std::abs(std::remainder(dihedral(at, 4, 6, 8, 14) -
                                              static_cast<double>(values[static_cast<std::size_t>(j)]),
                                          2 * std::numbers::pi)) < 1e-5);
            for (const RigidBond& r : loaded.molecule.rigid_bonds)
                CHECK(std::abs(length(at[static_cast<std::size_t>(r.atoms[0])] -
                                      at[static_cast<std::size_t>(r.atoms[1])]) - r.length) < 1e-6);
        }
        // From a file the same bits.
        MoleculeCoordinates read(stream, loaded.molecule, conditions, coordinates.tensors());
        read.from_states(stream, {y.data(), states, n, n}, cv, {back.data(), 66, n, n});
        CHECK(to_host(stream, std::as_const(back).span()) == made);
        TensorMap damaged = coordinates.tensors();
        damaged["coordinates.rows"] = Tensor::of(std::vector<float>{1e6f});
        CHECK_THROWS_AS(MoleculeCoordinates(stream, loaded.molecule, conditions, damaged), InputError);
    }
}

TEST_CASE("internal coordinates have the same bits on every machine") {
    const LoadedMolecule loaded = peptide();
    std::vector<std::vector<float>> results;
    std::vector<Device> devices{Device::cpu(1), Device::cpu(2)};
    devices.insert(devices.end(), test_devices().begin(), test_devices().end());
    for (const Device& device : devices) {
        Stream stream(device);
        const index n = 45;
        const Buffer<float> x = uploaded(stream, disturbed(loaded.position, n, 0.01));
        const InternalCoordinates internal(stream, make_z_matrix(loaded.molecule));
        Buffer<float> q(device, 60 * n), back(device, 66 * n), volume(device, n);
        internal.from_cartesian(stream, {x.data(), 66, n, n}, {q.data(), 60, n, n}, volume.data());
        internal.to_cartesian(stream, {q.data(), 60, n, n}, {back.data(), 66, n, n}, nullptr);
        std::vector<float> all;
        for (const Buffer<float>* part : {&q, &back, &volume}) {
            const auto host = to_host(stream, part->span());
            all.insert(all.end(), host.begin(), host.end());
        }
        results.push_back(all);
        CHECK(all == results.front());
    }
}

}  // namespace microlift
