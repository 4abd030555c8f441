// Sums over samples of seven variables, and over bursts, on every device with the bits of the CPU.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/closure/burst_kernels.h"
#include "sampling/estimate/conditional_kernels.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

std::vector<float> normals(index n, uint32 seed) {
    std::vector<float> x;
    for (index i = 0; i < n; ++i) {
        float z[4];
        normal_block<Portable>(PhiloxStream<float>(seed, kStreamTest, i), 0, z);
        x.push_back(z[0]);
    }
    return x;
}

Buffer<float> on(Stream& stream, const std::vector<float>& values) {
    Buffer<float> made(stream.device(), static_cast<index>(values.size()));
    copy_to_device(stream, made.span(), values.data());
    return made;
}

template <class F>
std::vector<double> same_on_devices(const F& result) {
    const std::vector<double> expected = result(test_devices()[0]);
    for (std::size_t m = 1; m < test_devices().size(); ++m) {
        const std::vector<double> found = result(test_devices()[m]);
        REQUIRE(found.size() == expected.size());
        CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof(double)) == 0);
    }
    return expected;
}

std::size_t u(index i) { return static_cast<std::size_t>(i); }

}  // namespace

TEST_CASE("sums: conditional moments of seven variables have the same bits on every device") {
    for (const int cvs : {1, 2}) {
        CAPTURE(cvs);
        const SampleBlock run{0, 0, 3, 20, 60};
        const index n = run.size(), variables = 7, merge = 2, merged = 3;
        const std::vector<float> xi = normals(cvs * n, 7), y = normals(variables * n, 5);
        ConditionalBins bins;
        bins.dims = cvs;
        for (int k = 0; k < cvs; ++k) {
            bins.from[k] = -2;
            bins.inverse_width[k] = 3;
            bins.bins[k] = 12;
        }
        const index all = cvs == 1 ? 12 : 144,
                    width = base_moments(cvs) + variable_moments(cvs) * variables;
        const std::vector<double> sums = same_on_devices([&](const Device& device) {
            Stream stream(device);
            const Buffer<float> at = on(stream, xi), values = on(stream, y);
            BiasedSamples samples;
            samples.xi = at.span();
            samples.row = samples.n = n;
            samples.n_cvs = cvs;
            samples.blocks = {run};
            Buffer<double> out(device, merged * all * width);
            fill_zero(stream, out.span());
            conditional_sums(stream, samples, run, ErrorBlocks{5, 1, ""}, merge, values.span(), n, variables, bins,
                             out.span());
            return to_host(stream, out.span());
        });
        // The last variable's sum over all blocks and bins.
        double found = 0, expected = 0;
        for (index i = 0; i < merged * all; ++i)
            found += sums[u(i * width + base_moments(cvs) + variable_moments(cvs) * (variables - 1))];
        for (index j = 0; j < n; ++j) {
            bool inside = true;
            for (int k = 0; k < cvs; ++k) inside = inside && xi[u(k * n + j)] >= -2 && xi[u(k * n + j)] < 2;
            if (inside) expected += static_cast<double>(y[u((variables - 1) * n + j)]);
        }
        CHECK(found == doctest::Approx(expected).epsilon(1e-12));
    }
}

TEST_CASE("sums: moments of bursts have the same bits on every device, periodic or not, with drift or without") {
    for (const int cvs : {1, 2})
        for (const float period : {0.0f, 3.0f})
            for (const bool drifts : {false, true}) {
                CAPTURE(cvs);
                CAPTURE(period);
                CAPTURE(drifts);
                const index values = 9, replicas = 80, blocks = 4, n = values * replicas;
                const std::vector<float> begin = normals(cvs * n, 21), end = normals(cvs * n, 22),
                                         drift = normals(burst_outputs(cvs) * n, 23);
                const index width = burst_width(cvs), groups = values * blocks;
                const std::vector<double> sums = same_on_devices([&](const Device& device) {
                    Stream stream(device);
                    const Buffer<float> from = on(stream, begin), to = on(stream, end), by = on(stream, drift);
                    Buffer<double> moments(device, groups * width), ends(device, groups * values);
                    add_burst_sums(stream, {cvs, values, replicas, blocks, from.data(), to.data(),
                                            drifts ? by.data() : nullptr, {period, 2.0f}, -1.0f, 2.0f,
                                            moments.data(), cvs == 1 ? ends.data() : nullptr});
                    std::vector<double> all = to_host(stream, moments.span());
                    const std::vector<double> moved = to_host(stream, ends.span());
                    if (cvs == 1) all.insert(all.end(), moved.begin(), moved.end());
                    return all;
                });
                double total = 0;
                for (index j = 0; j < 20; ++j) {
                    const double d = static_cast<double>(end[u(j)] - begin[u(j)]);
                    total += period > 0 ? std::remainder(d, static_cast<double>(period)) : d;
                }
                CHECK(sums[0] == 20);
                CHECK(std::fabs(sums[1] - total) < 1e-5);  // twenty roundings of numbers of order one
            }
}

}  // namespace microlift
