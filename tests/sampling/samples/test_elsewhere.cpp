// Samples made elsewhere: what COLVAR files and tables of windows say, how trajectories lie on the device, and
// reweighting beside exact answers.
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "sampling/estimate/conditional.h"
#include "sampling/estimate/free_energy.h"
#include "sampling/estimate/reweight/reweighting.h"
#include "sampling/samples/files/colvar.h"
#include "sampling/samples/files/window_table.h"
#include "sampling/samples/given_samples.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

std::string refusal_of(const std::string& text) {
    try {
        (void)read_colvar(TextFile("COLVAR", text));
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

bool begins(const std::string& text, const std::string& with) { return text.rfind(with, 0) == 0; }

GivenSamples seven_rows() {
    GivenSamples samples;
    samples.variables = {"x"};
    samples.state = {0, 1, 2, 3, 4, 5, 6};
    samples.lengths = {2, 2, 1, 2};
    samples.window = {0, 1, 1, 0};
    samples.center = {{0, 0}, {1, 0}};
    samples.stiffness = {{2, 0}, {2, 0}};
    return samples;
}

}  // namespace

TEST_CASE("COLVAR: columns, lines and periods; a header that a run repeated as it went on") {
    const Colvar c = read_colvar(TextFile("COLVAR", "#! FIELDS time phi d1.x\n#! SET min_phi -pi\n#! SET max_phi pi\n"
                                                    " 0.0 1.5 2\n\n#! FIELDS time phi d1.x\n 1.0 -1.5 3e0\n"));
    CHECK(c.names == std::vector<std::string>{"time", "phi", "d1.x"});
    CHECK(c.values == std::vector<double>{0, 1.5, 2, 1, -1.5, 3});
    CHECK(c.lines == std::vector<index>{4, 7});
    CHECK_FALSE(c.period[0].has_value());
    REQUIRE(c.period[1].has_value());
    CHECK(c.period[1]->first == -3.141592653589793);
    CHECK(c.period[1]->second == 3.141592653589793);
    CHECK(c.column("d1.x") == 2);
    CHECK(c.column("d1.y") == -1);
}

TEST_CASE("COLVAR: each fault is one line that names the file and its line") {
    CHECK(begins(refusal_of(""), "COLVAR: it is empty"));
    CHECK(begins(refusal_of("0 1 2\n"), "COLVAR:1: there is no line '#! FIELDS"));
    CHECK(begins(refusal_of("#! FIELDS time phi\n"), "COLVAR: it holds no row"));
    CHECK(begins(refusal_of("#! FIELDS time phi\n0 1\n1 2 3\n"), "COLVAR:3: the row has 3 numbers, FIELDS names 2"));
    CHECK(begins(refusal_of("#! FIELDS time phi\n0 1\n1\n"), "COLVAR:3: the row has 1 number"));
    CHECK(begins(refusal_of("#! FIELDS time phi\n0 nan\n"), "COLVAR:2: 'nan' in column 'phi'"));
    CHECK(begins(refusal_of("#! FIELDS time phi\n0 1\n#! FIELDS time psi\n1 1\n"), "COLVAR:3: FIELDS names other"));
    CHECK(begins(refusal_of("#! FIELDS time phi\n0 1\n1 1\n#! FIELDS time phi\n1 1\n"), "COLVAR:5: time goes from 1 to 1"));
    CHECK(begins(refusal_of("#! FIELDS time phi\n0 1\n0 2\n1 1\n2 1\n"), "COLVAR:5: before this row there are 1 rows"));
    CHECK(begins(refusal_of("#! FIELDS time phi\n0 1\n0 2\n1 1\n"), "COLVAR:4: before this row"));
    CHECK(refusal_of("#! FIELDS time phi\n0 1\n0 2\n1 1\n1 1\n") == "");
    CHECK(begins(refusal_of("#! FIELDS time phi\n0 1.25\n1 1.2"), "COLVAR:3: the last row has no end of line"));
    CHECK(refusal_of("\xef\xbb\xbf#! FIELDS time phi\n0 1\n") == "");
    CHECK(begins(refusal_of("#! FIELDS time phi phi\n0 1 1\n"), "COLVAR:1: FIELDS names 'phi' twice"));
}

TEST_CASE("windows.csv: columns by name in any order, of one or two variables, with and without files") {
    const auto read = [](const std::string& text, const std::vector<std::string>& cvs) {
        return read_window_table(TextFile("windows.csv", text), cvs);
    };
    const auto one = read("stiffness, file ,center\n10,a.dcd,-1.5\n\"20\",\"b.dcd\",2\n", {"phi"});
    REQUIRE(one.size() == 2);
    CHECK(one[0].file == "a.dcd");
    CHECK(one[1].center[0] == 2);
    CHECK(one[1].stiffness[0] == 20);
    CHECK(one[1].line == 3);
    const auto two = read("at_phi,at_psi,kappa_1,kappa_2\n1,2,3,4\n", {"phi", "psi"});
    CHECK(two[0].file.empty());
    CHECK(two[0].center == std::array<double, 2>{1, 2});
    CHECK(two[0].stiffness == std::array<double, 2>{3, 4});
    for (const auto& [text, wrong] : {std::pair("center\n1\n", "windows.csv:1: there is no column 'stiffness'"),
                                      std::pair("center,stiffness\n1\n", "windows.csv:2: the row has 1 cell"),
                                      std::pair("center,stiffness\n1,x\n", "windows.csv:2: 'x' is no finite number"),
                                      std::pair("center,stiffness\n1,-2\n", "windows.csv:2: the stiffness is negative"),
                                      std::pair("center,stiffness\n", "windows.csv: it holds no window")}) {
        CAPTURE(text);
        try {
            read(text, {"phi"});
            FAIL("taken");
        } catch (const InputError& error) {
            CAPTURE(error.what());
            CHECK(begins(error.what(), wrong));
        }
    }
}

TEST_CASE("given samples: trajectories of one length side by side, others one after the other; as tensors and back") {
    const GivenSamples samples = seven_rows();
    const GivenSamples::Columns columns = samples.columns();
    REQUIRE(columns.blocks.size() == 2);
    CHECK(columns.blocks[0].replicas == 2);
    CHECK(columns.blocks[0].samples == 2);
    CHECK(columns.blocks[1].replicas == 1);
    CHECK(columns.blocks[1].samples == 3);
    CHECK(columns.row == std::vector<index>{0, 5, 1, 6, 2, 3, 4});
    const GivenSamples again = GivenSamples::of(samples.tensors(), "file");
    CHECK(again.state == samples.state);
    CHECK(again.lengths == samples.lengths);
    CHECK(again.window == samples.window);
    CHECK(again.center == samples.center);
    CHECK(again.stiffness == samples.stiffness);
    CHECK_FALSE(again.weighted());
    SafeTensors broken = samples.tensors();
    broken.tensors["lengths"] = Tensor::of(std::vector<uint64>{2, 2, 1, 3});
    CHECK_THROWS_AS(GivenSamples::of(broken, "file"), InputError);
}

TEST_CASE("reweighting: the exact law of samples under a bias of another variable, and errors that say how far off it is") {
    // ξ ~ N(0, 1), z | ξ ~ N(ξ, 1); sampled from z | ξ ~ N(ξ, 4) with ξ ~ N(0, 4), memory 0.8.
    constexpr index kSeeds = 24, kSamples = 12000;
    Grid grid;
    grid.from = {-2, 0};
    grid.to = {2, 1};
    grid.bins = {16, 1};
    EstimateOptions options;
    options.error_blocks = 32;
    BiasWindows windows;
    windows.center = {{0, 0}};
    windows.stiffness = {{0, 0}};
    for (const Device& device : test_devices()) {
        Stream stream(device);
        double square = 0, count = 0;
        std::mt19937_64 random(7);
        std::normal_distribution<double> normal;
        const index seeds = device.is_cpu() ? kSeeds : 1;
        for (index seed = 0; seed < seeds; ++seed) {
            std::vector<float> xi;
            std::vector<double> log_weight;
            double x = normal(random), d = normal(random);
            for (index i = 0; i < kSamples; ++i) {
                x = 0.8 * x + 0.6 * normal(random);
                d = 0.8 * d + 0.6 * normal(random);
                xi.push_back(static_cast<float>(2 * x));
                log_weight.push_back(-0.5 * (4 * x * x + 4 * d * d) + 0.5 * (x * x + d * d));
            }
            Buffer<float> on_device(device, kSamples);
            copy_to_device(stream, on_device.span(), xi.data());
            const BiasedSamples samples{std::as_const(on_device).span(), kSamples, 1, kSamples,
                                        {{0, 0, 1, 1, kSamples}}};
            const FreeEnergyResult r = reweight(stream, samples, windows, log_weight, grid, options);
            CHECK(r.inefficiency[0] > 3);
            const FreeEnergyProfile& f = r.profile;
            const auto exact = [&](index b) { return 0.5 * grid.centre(0, b) * grid.centre(0, b); };
            for (index b = 0; b < 16; b += 3) {
                if (b == f.minimum_bin || b == 8) continue;
                const double off = (f.free_energy[static_cast<std::size_t>(b)] - f.value_at(0.125)) - (exact(b) - exact(8));
                const double error = f.difference_error({grid.centre(0, b), 0}, {0.125, 0});
                square += off * off / (error * error);
                count += 1;
            }
            // Sums of the weights within bins are the numbers of samples that tell as much.
            const std::vector<float> within = weights_within_bins(stream, samples, log_weight, grid);
            double sum = 0, inside = 0;
            for (index j = 0; j < kSamples; ++j)
                if (xi[static_cast<std::size_t>(j)] >= -2 && xi[static_cast<std::size_t>(j)] < 2) {
                    sum += static_cast<double>(within[static_cast<std::size_t>(j)]);
                    inside += 1;
                }
            CHECK(sum < 0.8 * inside);
            CHECK(sum > 0.3 * inside);
        }
        if (seeds < kSeeds) continue;
        CAPTURE(square / count);
        // 5 correlated z² a seed: the mean is 1 with a deviation of at most √(2/24).
        CHECK(square / count < 1 + 3 * std::sqrt(2.0 / kSeeds));
        CHECK(square / count > 1 - 3 * std::sqrt(2.0 / kSeeds) / std::sqrt(2.0));
    }
}

TEST_CASE("conditional averages: a sample of weight two is two samples") {
    constexpr index kSamples = 600;
    std::mt19937_64 random(3);
    std::normal_distribution<double> normal;
    std::vector<float> xi, y, twice_xi, twice_y, weight;
    for (index i = 0; i < kSamples; ++i) {
        xi.push_back(static_cast<float>(normal(random)));
        y.push_back(xi.back() * xi.back() + static_cast<float>(0.3 * normal(random)));
        weight.push_back(i % 3 == 0 ? 2.0f : 1.0f);
        for (float k = 0; k < weight.back(); ++k) {
            twice_xi.push_back(xi.back());
            twice_y.push_back(y.back());
        }
    }
    Grid grid;
    grid.from = {-1, 0};
    grid.to = {1, 1};
    grid.bins = {5, 1};
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const auto moments = [&](const std::vector<float>& at, const std::vector<float>& of, const std::vector<float>& w) {
            const auto n = static_cast<index>(at.size());
            Buffer<float> cvs(device, n), values(device, n), weights(device, static_cast<index>(w.size()));
            copy_to_device(stream, cvs.span(), at.data());
            copy_to_device(stream, values.span(), of.data());
            if (!w.empty()) copy_to_device(stream, weights.span(), w.data());
            const BiasedSamples samples{std::as_const(cvs).span(), n, 1, n, {{0, 0, 1, 1, n}},
                                        std::as_const(weights).span()};
            return conditional_moments(stream, samples, std::as_const(values).span(), n, 1, grid, {1, 8, {}});
        };
        const ConditionalMoments weighted = moments(xi, y, weight), twice = moments(twice_xi, twice_y, {}),
                                 alike = moments(xi, y, std::vector<float>(xi.size(), 1.0f)), plain = moments(xi, y, {});
        for (std::size_t b = 0; b < 5; ++b) {
            CHECK(weighted.count[b] == twice.count[b]);
            CHECK(weighted.mean[b] == doctest::Approx(twice.mean[b]).epsilon(1e-10));
            CHECK(weighted.variance[b] == doctest::Approx(twice.variance[b]).epsilon(1e-10));
            CHECK(alike.mean[b] == plain.mean[b]);
            CHECK(alike.mean_error[b] == plain.mean_error[b]);
        }
    }
}

}  // namespace microlift
