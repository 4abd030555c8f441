// Replica exchange in temperature: what is swapped, that every device swaps the same, and what is seen meanwhile.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/random/streams.h"
#include "sampling/bias/tempering.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/config/run_config.h"
#include "tests/sampling/molecule/molecule_data.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

ModelConfig ladder_config() {
    ModelConfig config = load_system(molecule_data_path("ala2.toml").string(), {"system.implicit_solvent=none"});
    config.integrator.scheme = "lf_middle";
    config.integrator.dt = 0.001;
    config.integrator.friction = 5;
    config.integrator.philox_rounds = 10;
    config.integrator.portable_math = true;
    return config;
}

struct Ladder {
    ModelConfig config = ladder_config();
    Model model{config};
    Stream stream;
    Ensemble base;
    Tempering tempering;

    Ladder(const Device& device, index trajectories)
        : stream(device),
          base(stream, model.path_kernel(model.path_setup(config.integrator)), trajectories, 3, kStreamNoise),
          tempering(stream, model, config.integrator, base, {320, 345}, 11) {
        MoleculeFiles files;
        files.topology = molecule_data_path("ala2.prmtop");
        files.coordinates = molecule_data_path("ala2.inpcrd");
        std::vector<float> x;
        const auto n = static_cast<std::size_t>(trajectories);
        for (const double value : read_molecule(files).position) x.insert(x.end(), n, static_cast<float>(value));
        copy_to_device(stream, base.x(), x.data());
        copy_to_device(stream, base.center(), std::vector<float>(n, 3.0f).data());
        copy_to_device(stream, base.stiffness(), std::vector<float>(n, 20.0f).data());
        tempering.start();
    }
    void attempt(uint64 number, uint64 steps, bool measured) {
        base.advance(steps);
        tempering.advance(steps);
        tempering.exchange(number, measured);
    }
};

constexpr index kTrajectories = 20;

struct Swapped {
    std::vector<float> base, rungs;
    std::vector<uint64> counters;
    std::vector<double> sums;
};

Swapped swapped(const Device& device) {
    Ladder ladder(device, kTrajectories);
    for (uint64 attempt = 0; attempt < 4; ++attempt) ladder.attempt(attempt, 3, true);
    ladder.tempering.check_finite([](index t) { return std::to_string(t); });
    return {ladder.base.save_state(), ladder.tempering.save_state(), ladder.tempering.counters(),
            ladder.tempering.sums()};
}

}  // namespace

TEST_CASE("temperatures are swapped the same way on every device, and nothing is lost") {
    const Swapped expected = swapped(Device::cpu(1));
    REQUIRE(expected.counters.size() == 4);
    REQUIRE(!expected.sums.empty());
    // Two attempts of each pair of rungs; rungs so near are swapped often.
    for (std::size_t pair = 0; pair < 2; ++pair) {
        CHECK(expected.counters[2 * pair + 1] == 2 * kTrajectories);
        CHECK(expected.counters[2 * pair] > 0);
        CHECK(expected.counters[2 * pair] <= 2 * kTrajectories);
    }
    for (const Device& device : test_devices()) {
        const Swapped found = swapped(device);
        CHECK(found.base == expected.base);
        CHECK(found.rungs == expected.rungs);
        CHECK(found.counters == expected.counters);
        CHECK(found.sums == expected.sums);
    }
}

TEST_CASE("rungs have their temperatures, and energies of neighbours Boltzmann's ratio") {
    Ladder ladder(Device::cpu(2), 128);
    uint64 number = 0;
    while (number < 20) ladder.attempt(number++, 100, false);
    CHECK(ladder.tempering.means().empty());
    while (number < 60) ladder.attempt(number++, 100, true);
    const std::vector<RungMeans> means = ladder.tempering.means();
    const std::vector<RungSlope> slopes = ladder.tempering.slopes();
    REQUIRE(means.size() == 3);
    REQUIRE(slopes.size() == 2);
    const double temperatures[] = {300, 320, 345};
    for (std::size_t k = 0; k < 3; ++k) {
        CAPTURE(k);
        const RungMeans& rung = means[k];
        CHECK(rung.temperature == doctest::Approx(temperatures[k]));
        // Student's t with 127 degrees of freedom exceeds 5 once in 500 000.
        CHECK(std::abs(rung.velocities.mean - temperatures[k]) < 5 * rung.velocities.error);
        CHECK(5 * rung.velocities.error < 10);  // half of what neighbours differ by
        REQUIRE(rung.cv.size() == 1);
        CHECK(rung.cv[0].error > 0);
        if (k > 0) CHECK(rung.energy.mean > means[k - 1].energy.mean);
    }
    for (const RungSlope& slope : slopes) {
        CHECK(std::abs(slope.found.mean - slope.expected) < 5 * slope.found.error);
        CHECK(5 * slope.found.error < slope.expected);
    }
    // What a checkpoint holds brings them back.
    Ladder other(Device::cpu(1), 128);
    other.tempering.load_counters(ladder.tempering.counters(), ladder.tempering.sums());
    CHECK(other.tempering.slopes()[1].found.mean == slopes[1].found.mean);
    CHECK(other.tempering.means()[2].energy.error == means[2].energy.error);
}

}  // namespace microlift
