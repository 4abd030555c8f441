// Replica exchange in temperature: what is swapped, and that every device swaps the same.
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

constexpr index kTrajectories = 20;

struct Swapped {
    std::vector<float> base, rungs;
    std::vector<uint64> counters;
};

Swapped ladder(const Device& device) {
    ModelConfig config = load_system(molecule_data_path("ala2.toml").string(), {"system.implicit_solvent=none"});
    config.integrator.scheme = "lf_middle";
    config.integrator.dt = 0.001;
    config.integrator.friction = 5;
    config.integrator.philox_rounds = 10;
    config.integrator.portable_math = true;
    const Model model(config);
    Stream stream(device);
    const std::shared_ptr<const PathKernel> kernel = model.path_kernel(model.path_setup(config.integrator));
    Ensemble base(stream, kernel, kTrajectories, 3, kStreamNoise);
    MoleculeFiles files;
    files.topology = molecule_data_path("ala2.prmtop");
    files.coordinates = molecule_data_path("ala2.inpcrd");
    std::vector<float> x;
    for (const double value : read_molecule(files).position)
        x.insert(x.end(), static_cast<std::size_t>(kTrajectories), static_cast<float>(value));
    copy_to_device(stream, base.x(), x.data());
    copy_to_device(stream, base.center(), std::vector<float>(kTrajectories, 3.0f).data());
    copy_to_device(stream, base.stiffness(), std::vector<float>(kTrajectories, 20.0f).data());
    Tempering tempering(stream, model, config.integrator, base, {320, 345}, 11);
    tempering.start();
    for (uint64 attempt = 0; attempt < 4; ++attempt) {
        base.advance(3);
        tempering.advance(3);
        tempering.exchange(attempt);
    }
    tempering.check_finite();
    return {base.save_state(), tempering.save_state(), tempering.counters()};
}

}  // namespace

TEST_CASE("temperatures are swapped the same way on every device, and nothing is lost") {
    const Swapped expected = ladder(Device::cpu(1));
    REQUIRE(expected.counters.size() == 4);
    // Two attempts of each pair of rungs; rungs so near are swapped often.
    for (std::size_t pair = 0; pair < 2; ++pair) {
        CHECK(expected.counters[2 * pair + 1] == 2 * kTrajectories);
        CHECK(expected.counters[2 * pair] > 0);
        CHECK(expected.counters[2 * pair] <= 2 * kTrajectories);
    }
    for (const Device& device : test_devices()) {
        const Swapped found = ladder(device);
        CHECK(found.base == expected.base);
        CHECK(found.rungs == expected.rungs);
        CHECK(found.counters == expected.counters);
    }
}

}  // namespace microlift
