// Convolutions over a ring: gradients, both implementations, threads, turns of the ring, a flow that
// learns.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "nn/layers/conv.h"
#include "nn/generators/generator.h"
#include "nn/generators/registry.h"
#include "tests/support/devices.h"

namespace microlift {

namespace {

struct Case {
    ConvLayout layout{20, 5, {16, 32, 32}, 5, Activation::silu};
    index rows = 37, dense_ld = 32, target_ld = 32;
    std::vector<float> parameters = layout.initial(3), dense, target;
    Case() {
        std::mt19937 random(7);
        std::normal_distribution<float> normal;
        for (index i = 0; i < rows * dense_ld; ++i) dense.push_back(normal(random));
        for (index i = 0; i < rows * target_ld; ++i) target.push_back(normal(random));
    }
};

// rows: on the CPU a row at a time; bodies: the kernels; own: what the device takes by itself.
enum class How { rows, bodies, own };

std::vector<float> device_gradient(const Case& c, const Device& device, How how,
                                   std::vector<float>& loss, bool* by_cudnn = nullptr) {
    Stream stream(device);
    ConvNetwork network(device, c.layout, c.rows, Network::Use::training, Precision::fp32,
                        how == How::bodies);
    const auto put = [&](const std::vector<float>& v) {
        Buffer<float> b(device, static_cast<index>(v.size()));
        copy_to_device(stream, b.span(), v.data());
        return b;
    };
    const Buffer<float> p = put(c.parameters), y = put(c.target);
    REQUIRE(network.input().stride == c.dense_ld);
    REQUIRE(network.output().stride == c.target_ld);
    copy_to_device(stream, Span<float>(network.input().data, c.rows * c.dense_ld),
                   c.dense.data());
    const index slots = network.slots(device, c.rows);
    Buffer<float> flipped(device, c.layout.flipped_size), losses(device, c.rows),
        gradient(device, slots * c.layout.parameters);
    network.transpose(stream, p.data(), flipped.data());
    CHECK(to_host(stream, Span<const float>(flipped.span())) == c.layout.flip(c.parameters));
    const float scale = 1.0f / static_cast<float>(c.rows);
    if (by_cudnn) *by_cudnn = network.by_cudnn();
    if (how == How::bodies) {
        network.forward_by_bodies(stream, p.data(), c.rows, true);
        network.squared_error_by_bodies(stream, y.data(), scale, c.rows, losses.data());
        network.backward_by_bodies(stream, flipped.data(), c.rows, gradient.data());
    } else {
        RowProgram<float> program(stream, c.rows, gradient.data(), c.layout.parameters, nullptr,
                                  Precision::fp32, RowPlaces::by_number, network.tile_rows());
        network.forward(program, p.data(), true);
        network.squared_error(program, y.data(), scale, losses.data());
        network.backward(program, p.data(), flipped.data());
        program.finish();
    }
    loss = to_host(stream, Span<const float>(losses.span()));
    return to_host(stream, Span<const float>(gradient.span()));
}

// Over the slots.
std::vector<float> summed(const std::vector<float>& gradient, index parameters) {
    const std::size_t size = static_cast<std::size_t>(parameters);
    std::vector<double> sums(size, 0.0);
    for (std::size_t i = 0; i < gradient.size(); ++i)
        sums[i % size] += static_cast<double>(gradient[i]);
    return {sums.begin(), sums.end()};
}

// Sums of some thousand products of order one, in single precision and another order.
void check_same(const std::vector<float>& gradient, const std::vector<float>& loss,
                const std::vector<float>& expected, const std::vector<float>& expected_loss) {
    REQUIRE(gradient.size() == expected.size());
    REQUIRE(loss.size() == expected_loss.size());
    double apart = 0, size = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
        apart = std::max(apart, static_cast<double>(std::fabs(gradient[i] - expected[i])));
        size = std::max(size, static_cast<double>(std::fabs(expected[i])));
    }
    MESSAGE("largest gradient ", size, ", difference ", apart);
    CHECK(apart <= 2e-6 * size);
    for (std::size_t i = 0; i < loss.size(); ++i)
        CHECK(loss[i] == doctest::Approx(expected_loss[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("convolutions: gradients against finite differences in double") {
    for (const Activation kind : {Activation::silu, Activation::softplus, Activation::tanh}) {
        // Three hidden layers: with and without a way past.
        const ConvLayout layout(9, 3, {16, 32, 32}, 5, kind);
        const ConvPlace place(layout, true);
        std::mt19937 random(11);
        std::normal_distribution<double> normal;
        std::vector<double> parameters, dense, target, flipped;
        const std::vector<float> initial = layout.initial(5);
        for (const float v : initial) parameters.push_back(static_cast<double>(v));
        for (index i = 0; i < layout.sites + layout.features; ++i) dense.push_back(normal(random));
        for (index i = 0; i < layout.sites; ++i) target.push_back(normal(random));
        std::vector<double> memory(static_cast<std::size_t>(place.size));
        const auto flip = [&] {
            std::vector<double> out(static_cast<std::size_t>(layout.flipped_size));
            for (int l = 1; l <= layout.layers; ++l) {
                const auto at = static_cast<std::size_t>(l);
                for (index k = 0; k < layout.kernel; ++k)
                    for (index o = 0; o < layout.seeds(l); ++o)
                        for (index i = 0; i < layout.ld[at - 1]; ++i)
                            out[static_cast<std::size_t>(layout.flipped[at] +
                                                         (k * layout.seeds(l) + o) *
                                                             layout.ld[at - 1] +
                                                         i)] =
                                parameters[static_cast<std::size_t>(
                                    layout.weight[at] +
                                    ((layout.kernel - 1 - k) * layout.ld[at - 1] + i) *
                                        layout.ld[at] +
                                    o)];
            }
            return out;
        };
        const auto loss_of = [&](bool derivatives) {
            const ConvRow<double> row{layout, place, parameters.data(), memory.data()};
            row.forward(dense.data(), derivatives);
            double loss = 0;
            for (index d = 0; d < layout.sites; ++d) {
                const double e = memory[static_cast<std::size_t>(place.out + d * kPad)] -
                                 target[static_cast<std::size_t>(d)];
                loss += e * e;
            }
            return loss;
        };
        const double value = loss_of(true);
        flipped = flip();
        std::vector<double> gradient(parameters.size(), 0.0);
        double loss = 0;
        const ConvRow<double> row{layout, place, parameters.data(), memory.data()};
        row.squared_error(target.data(), 1.0, &loss);
        row.reverse(flipped.data(), gradient.data());
        CHECK(loss == doctest::Approx(value).epsilon(1e-13));
        double worst = 0, greatest = 0;
        for (const double g : gradient) greatest = std::max(greatest, std::fabs(g));
        index checked = 0;
        for (std::size_t i = 0; i < parameters.size(); i += 7) {
            const double keep = parameters[i], h = 1e-5;
            parameters[i] = keep + h;
            const double up = loss_of(false);
            parameters[i] = keep - h;
            const double down = loss_of(false);
            parameters[i] = keep;
            // Padding of the last layer is never used.
            worst = std::max(worst, std::fabs((up - down) / (2 * h) - gradient[i]));
            ++checked;
        }
        CHECK(checked > 900);
        CHECK(greatest > 0.1);
        CHECK(worst < 1e-7 * greatest);
    }
}

TEST_CASE("convolutions: the products and the kernel bodies agree, whatever the threads") {
    const Case c;
    std::vector<float> loss, other;
    const std::vector<float> gradient = device_gradient(c, Device::cpu(1), How::rows, loss);
    CHECK(device_gradient(c, Device::cpu(2), How::rows, other) == gradient);
    CHECK(other == loss);
    check_same(device_gradient(c, Device::cpu(2), How::bodies, other), other, gradient, loss);
}

TEST_CASE("convolutions: on every CUDA device present, kernels and cuDNN give the CPU's gradients") {
    const Case c;
    std::vector<float> expected_loss, loss, again;
    const std::vector<float> expected = summed(
        device_gradient(c, Device::cpu(1), How::rows, expected_loss), c.layout.parameters);
    for (const Device& device : test_devices()) {
        if (device.is_cpu()) continue;
        CAPTURE(device.description());
        const auto by_bodies = device_gradient(c, device, How::bodies, loss);
        check_same(summed(by_bodies, c.layout.parameters), loss, expected, expected_loss);
        bool by_cudnn = false;
        const auto own = device_gradient(c, device, How::own, loss, &by_cudnn);
        MESSAGE((by_cudnn ? "by cuDNN " + cudnn_version() : "no cuDNN here: by kernels"));
        check_same(summed(own, c.layout.parameters), loss, expected, expected_loss);
        CHECK(device_gradient(c, device, How::own, again) == own);  // sums of one order
        CHECK(again == loss);
    }
}

TEST_CASE("convolutions: without a CUDA device there is no cuDNN, and its absence has no version") {
    CHECK(CudnnConvolver::create(Device::cpu(1), Precision::fp32) == nullptr);
    if (!cudnn_built_in()) CHECK(cudnn_version().empty());
}

TEST_CASE("convolutions: a turned ring gives the turned output") {
    const Case c;
    const Device device = Device::cpu(1);
    Stream stream(device);
    ConvNetwork network(device, c.layout, 2, Network::Use::sampling);
    REQUIRE(network.input().stride == 32);
    REQUIRE(network.output().stride == 32);
    std::vector<float> dense(64);
    for (index d = 0; d < 20; ++d) {
        dense[static_cast<std::size_t>(d)] = c.dense[static_cast<std::size_t>(d)];
        dense[static_cast<std::size_t>(32 + (d + 3) % 20)] = c.dense[static_cast<std::size_t>(d)];
    }
    for (std::size_t k = 20; k < 25; ++k) dense[k] = dense[32 + k] = c.dense[k];
    Buffer<float> p(device, c.layout.parameters);
    copy_to_device(stream, p.span(), c.parameters.data());
    copy_to_device(stream, Span<float>(network.input().data, 64), dense.data());
    RowProgram<float> program(stream, 2, nullptr, 0, nullptr, Precision::fp32,
                              RowPlaces::by_number, network.tile_rows());
    network.forward(program, p.data(), false);
    program.finish();
    const std::vector<float> out =
        to_host(stream, Span<const float>(network.output().data, 64));
    for (index d = 0; d < 20; ++d)
        CHECK(out[static_cast<std::size_t>(32 + (d + 3) % 20)] ==
              doctest::Approx(out[static_cast<std::size_t>(d)]).epsilon(1e-4));
}

TEST_CASE("convolutions: what does not fit is refused") {
    CHECK_THROWS_WITH_AS(ConvLayout(64, 3, {20}, 5, Activation::silu),
                         doctest::Contains("multiple of 16"), InputError);
    CHECK_THROWS_WITH_AS(ConvLayout(4, 3, {16}, 5, Activation::silu),
                         doctest::Contains("at most the ring's"), InputError);
    TrainerConfig flow = TrainerConfig::defaults("flow");
    flow.architecture = "conv";
    CHECK_THROWS_WITH_AS(flow.validate(), doctest::Contains("flows on a ring"), InputError);
    flow.ring = true;
    CHECK_NOTHROW(flow.validate());
    flow.widths = {kMostChannels};
    CHECK_NOTHROW(flow.validate());
    flow.widths = {kMostChannels + kPad};
    CHECK_THROWS_WITH_AS(flow.validate(), doctest::Contains("at most 4096"), InputError);
    flow.widths = {};
    CHECK_THROWS_WITH_AS(flow.validate(), doctest::Contains("hidden layers"), InputError);
    flow.widths = {16};
    flow.kernel = 4;
    CHECK_THROWS_WITH_AS(flow.validate(), doctest::Contains("odd"), InputError);
    TrainerConfig config = TrainerConfig::defaults("energy");
    config.architecture = "conv";
    config.ring = true;
    CHECK_THROWS_WITH_AS(config.validate(), doctest::Contains("no energy of architecture 'conv'"), InputError);
}

namespace {

// A stationary Gaussian ring of 16 sites, x_i = s + (u_i + u_(i+1))/√2: correlation ½ of neighbours.
struct RingData {
    index columns = 20000;
    std::vector<float> x, s;
    explicit RingData() : x(static_cast<std::size_t>(16 * columns)), s(static_cast<std::size_t>(columns)) {
        std::mt19937 random(1);
        std::normal_distribution<float> normal;
        for (index j = 0; j < columns; ++j) {
            const float mean = static_cast<float>(j % 100) * 0.02f - 1.0f;
            s[static_cast<std::size_t>(j)] = mean;
            float u[16];
            for (float& v : u) v = normal(random);
            for (int d = 0; d < 16; ++d)
                x[static_cast<std::size_t>(d * columns + j)] =
                    mean + (u[d] + u[(d + 1) % 16]) * 0.70710678f;
        }
    }
};

TrainerConfig small_config() {
    TrainerConfig config = TrainerConfig::defaults("flow");
    config.architecture = "conv";
    config.ring = true;
    config.kernel = 3;
    config.widths = {16, 16};
    config.batch = 256;
    config.iterations = 600;
    config.validation_every = 200;
    config.validation_samples = 100;
    config.flow_steps = 6;
    config.ema = 0.99;
    return config;
}

}  // namespace

TEST_CASE("a flow of convolutions learns the correlation of a ring, and goes on bit for bit") {
    const RingData data;
    const Device device = Device::cpu(2);
    Stream stream(device);
    Buffer<float> x(device, static_cast<index>(data.x.size())), s(device, data.columns);
    copy_to_device(stream, x.span(), data.x.data());
    copy_to_device(stream, s.span(), data.s.data());
    const auto make = [&] {
        auto trainer = make_trainer(stream, small_config(), 16, 1);
        trainer->set_data(x.span(), s.span(), data.columns, data.columns, 100);
        return trainer;
    };
    const auto whole = make();
    whole->advance(1);
    const TransferCounters before = transfer_counters();
    whole->advance(599);
    stream.synchronize();
    const TransferCounters after = transfer_counters();
    CHECK(after.bytes_to_device == before.bytes_to_device);
    CHECK(after.bytes_to_host == before.bytes_to_host);
    whole->check();
    const auto first = make();
    first->advance(300);
    const auto second = make();
    second->load_state(first->save_state());
    second->advance(300);
    const SafeTensors a = whole->generator_tensors(), b = second->generator_tensors();
    CHECK(a.metadata.at("architecture") == "conv");
    for (const auto& [name, tensor] : a.tensors) CHECK(b.tensors.at(name).data == tensor.data);

    Generator generator(stream, a);
    CHECK_FALSE(generator.has_density());
    constexpr index n = 20000;
    Buffer<float> at(device, n), made(device, 16 * n);
    const std::vector<float> half(n, 0.5f);
    copy_to_device(stream, at.span(), half.data());
    generator.generate(stream, at.span(), n, 1, 0, made.span());
    const std::vector<float> y = to_host(stream, Span<const float>(made.span()));
    double mean = 0, c0 = 0, c1 = 0, c2 = 0;
    for (index j = 0; j < n; ++j)
        for (int d = 0; d < 16; ++d) {
            const auto of = [&](int k) {
                return static_cast<double>(y[static_cast<std::size_t>((k % 16) * n + j)]) - 0.5;
            };
            mean += of(d), c0 += of(d) * of(d), c1 += of(d) * of(d + 1), c2 += of(d) * of(d + 2);
        }
    const double all = 16.0 * n;
    MESSAGE("mean ", mean / all, ", variance ", c0 / all, ", neighbours ", c1 / all, ", next ",
            c2 / all);
    // Standard errors of the generated averages are below 0.004; the rest is what 600 updates leave.
    CHECK(std::fabs(mean / all) < 0.05);
    CHECK(c0 / all == doctest::Approx(1.0).epsilon(0.06));
    CHECK(std::fabs(c1 / all - 0.5) < 0.05);
    CHECK(std::fabs(c2 / all) < 0.05);
}

}  // namespace microlift
