// What formulas and their closure do to many states at once, on every device with the bits of the CPU: every
// operation, projection onto one and two curved collective variables, bursts' drifts, passages of seven variables.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/closure/burst_kernels.h"
#include "sampling/closure/first_passage.h"
#include "sampling/formula/columns.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

// Standard normals times `scale`, (rows, n).
std::vector<float> normals(int rows, index n, float scale = 1) {
    std::vector<float> x;
    for (index i = 0; i < rows * n; ++i) {
        float z[4];
        normal_block<Portable>(PhiloxStream<float>(17, kStreamTest, i), 0, z);
        x.push_back(scale * z[0]);
    }
    return x;
}

Buffer<float> on(Stream& stream, const std::vector<float>& values) {
    Buffer<float> made(stream.device(), static_cast<index>(values.size()));
    copy_to_device(stream, made.span(), values.data());
    return made;
}

// Of every number the bits; what is no number has none of its own.
index different(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    index count = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        count += !(std::isnan(a[i]) && std::isnan(b[i])) && as_uint(a[i]) != as_uint(b[i]);
    return count;
}

// result(device) has the CPU's bits on every device; returns them.
template <class F>
std::vector<float> same_on_devices(const F& result) {
    const std::vector<float> expected = result(test_devices()[0]);
    for (std::size_t m = 1; m < test_devices().size(); ++m)
        CHECK(different(result(test_devices()[m]), expected) == 0);
    return expected;
}

// Seven variables, coupled; `cvs` as an array of the configuration.
Model seven(const std::string& cvs, const std::string& windows) {
    return Model(parse_run_config(
        "[system]\nvariables = [\"x\", \"y\", \"a\", \"b\", \"c\", \"d\", \"e\"]\nbeta = 2.0\n"
        "potential = \"(x^2-1)^2 + 1 - cos(y) + 0.5*(a^2 + (b-x)^2 + c^2 + d^2 + e^2) + 0.2*a*y\"\n"
        "[cv]\nvariables = " + cvs + "\n[integrator]\ndt = 1e-3\n[umbrella]\n" + windows,
        "test.toml"));
}
Model one_of_seven() {
    return seven("[\"x + 0.1*a^2 - 0.2*e\"]", "from = -1.0\nto = 1.0\nwindows = 2\nstiffness = 1.0\n");
}
Model two_of_seven() {
    return seven("[\"x + 0.1*a^2\", \"y + 0.2*sin(c) + 0.1*e\"]",
                 "from = [-1.0, -1.0]\nto = [1.0, 1.0]\nwindows = [2, 2]\nstiffness = [1.0, 1.0]\n");
}

}  // namespace

TEST_CASE("columns: every operation of a program has the same bits on every device") {
    constexpr int inputs = 7, codes = static_cast<int>(Code::k_less) + 1;
    Program program;
    program.inputs = inputs;
    program.slots = inputs + codes + 1;  // one more, of the cosine beside a sine
    for (int c = 0; c < codes; ++c) {
        Instruction in;
        in.code = static_cast<Code>(c);
        in.destination = inputs + c;
        in.second_destination = inputs + codes;
        in.a = c % 2, in.b = 2 + c % 3, in.c = 5 + c % 2;
        in.k = 0.7f, in.l = -1.3f, in.m = 0.4f;
        program.instructions.push_back(in);
    }
    for (int slot = 0; slot < program.slots; ++slot)
        program.outputs.push_back({ProgramOutput::Kind::slot, slot, 0.0f});
    program.outputs.push_back({ProgramOutput::Kind::constant, -1, 2.5f});
    constexpr index n = 613;
    // Small and large numbers, zeros and both signs.
    std::vector<float> x = normals(inputs, n, 3);
    for (std::size_t i = 0; i < x.size(); i += 5) x[i] *= i % 3 ? 1e-3f : 10.0f;
    for (std::size_t i = 0; i < x.size(); i += 97) x[i] = 0;
    const std::vector<float> found = same_on_devices([&](const Device& device) {
        Stream stream(device);
        const ColumnProgram columns(device, program);
        const Buffer<float> in = on(stream, x);
        Buffer<float> out(device, columns.outputs() * n);
        columns.run(stream, in.span(), n, n, out.span(), n);
        return to_host(stream, out.span());
    });
    const auto at = [&](Code code, index j) {
        return found[static_cast<std::size_t>((inputs + static_cast<int>(code)) * n + j)];
    };
    for (index j = 0; j < n; ++j) {
        const auto input = [&](int d) { return x[static_cast<std::size_t>(d * n + j)]; };
        CHECK(at(Code::add, j) == input(0) + input(2));
        CHECK(at(Code::max_k, j) == std::max(0.7f, input(static_cast<int>(Code::max_k) % 2)));
        CHECK(found[found.size() - static_cast<std::size_t>(n - j)] == 2.5f);
    }
}

TEST_CASE("columns: states of seven variables are moved onto one and onto two curved variables") {
    constexpr index n = 301;
    for (const Model& model : {one_of_seven(), two_of_seven()}) {
        const int K = model.n_cvs();
        CAPTURE(K);
        const std::vector<float> target = normals(K, n, 0.4f);
        const std::vector<float> found = same_on_devices([&](const Device& device) {
            Stream stream(device);
            Buffer<float> x = on(stream, normals(7, n, 0.5f));
            const Buffer<float> aim = on(stream, target);
            model.project(stream, aim.span(), n, n, x.span(), n, 6);
            const int outputs = static_cast<int>(model.formulas().cv.outputs.size());
            Buffer<float> values(device, outputs * n);
            model.evaluate_cvs(stream, x.span(), n, n, values.span(), n);
            std::vector<float> all = to_host(stream, x.span());
            const std::vector<float> xi = to_host(stream, values.span());
            all.insert(all.end(), xi.begin(), xi.end());
            return all;
        });
        // Newton's steps end at the rounding of numbers of order one.
        for (index i = 0; i < K * n; ++i)
            CHECK(std::fabs(found[static_cast<std::size_t>(7 * n + i)] -
                            target[static_cast<std::size_t>(i)]) < 1e-5f);
    }
}

TEST_CASE("columns: what bursts gain by drift has the same bits on every device, periodic or not") {
    constexpr index n = 203, steps = 6;
    for (const int cvs : {1, 2})
        for (const float period : {0.0f, 1.5f}) {
            CAPTURE(cvs);
            CAPTURE(period);
            const int outputs = burst_outputs(cvs);
            const std::vector<float> xi = normals(cvs, n * steps), closure = normals(outputs, n * steps),
                                     begin = normals(cvs, n), last = normals(cvs + outputs, n);
            const std::vector<float> found = same_on_devices([&](const Device& device) {
                Stream stream(device);
                const Buffer<float> path = on(stream, xi), terms = on(stream, closure), start = on(stream, begin);
                Buffer<float> ends = on(stream, last), drift = on(stream, normals(outputs, n, 0.1f));
                add_burst_drift(stream, {cvs, n, steps, 0.01f, start.data(), ends.data(), path.data(), terms.data(),
                                         n * steps, {period, 0.0f}, drift.data()});
                std::vector<float> all = to_host(stream, drift.span());
                const std::vector<float> kept = to_host(stream, ends.span());
                all.insert(all.end(), kept.begin(), kept.end());
                return all;
            });
            // Drift alone: its sum over the steps' starts.
            const std::vector<float> before = normals(outputs, n, 0.1f);
            for (index i = 0; i < n; ++i) {
                double sum = static_cast<double>(before[static_cast<std::size_t>(i)]) +
                             0.01 * static_cast<double>(last[static_cast<std::size_t>(cvs * n + i)]);
                for (index s = 0; s + 1 < steps; ++s)
                    sum += 0.01 * static_cast<double>(closure[static_cast<std::size_t>(s * n + i)]);
                CHECK(std::fabs(static_cast<double>(found[static_cast<std::size_t>(i)]) - sum) < 1e-6);
            }
        }
}

TEST_CASE("columns: stored passages of seven variables, to sets of every kind") {
    constexpr index n = 90;
    const std::vector<double> state{-0.9, 0.1, 0.05, -0.8, 0.1, -0.1, 0.0};
    std::vector<double> aside = state;
    aside[6] += 0.15;
    for (const Model& model : {one_of_seven(), two_of_seven()}) {
        const int K = model.n_cvs();
        CAPTURE(K);
        std::vector<double> center{-0.9, 0.12}, radii{0.12, 0.15};
        center.resize(static_cast<std::size_t>(K));
        radii.resize(center.size());
        const PassageSet far{}, right = above(K - 1, center.back() + 0.15), left = below(0, center[0] - 0.15),
                         round = ellipse(center, radii), near = ball(aside, 0.1);
        const std::pair<PassageSet, PassageSet> all[] = {
            {left, right}, {near, left}, {far, round}, {round, near}, {right, far}, {round, round}};
        for (const auto& [first, second] : all) {
            CAPTURE(first.kind);
            CAPTURE(second.kind);
            const std::vector<float> found = same_on_devices([&](const Device& device) {
                Stream stream(device);
                std::vector<float> start;
                for (const double v : state)
                    for (index i = 0; i < n; ++i)
                        start.push_back(static_cast<float>(v) + 0.002f * static_cast<float>(i));
                const Buffer<float> x = on(stream, start);
                IntegratorConfig integrator;
                integrator.scheme = "euler_maruyama";
                integrator.dt = 1e-3;
                integrator.philox_rounds = kPhiloxRounds;
                PathSetup setup = model.path_setup(integrator);
                setup.portable_math = true;
                const auto kernel = passage_kernel(model, setup);
                PassageOptions options;
                options.dt = 1e-3;
                options.max_steps = 600;
                const PassageResult r = run_passages(stream, *kernel, x.span(), n, first, second, options);
                std::vector<float> times = r.time;
                for (const int32 set : r.entered) times.push_back(static_cast<float>(set));
                return times;
            });
            CHECK(std::count_if(found.begin() + n, found.end(), [](float set) { return set > 0; }) > n / 10);
        }
    }
}

}  // namespace microlift
