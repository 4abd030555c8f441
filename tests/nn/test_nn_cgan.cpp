// The conditional GAN: determinism, checkpoints, transfers, failure, quality.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "engine/error.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/generators/generator.h"
#include "nn/generators/registry.h"
#include "tests/support/devices.h"
#include "tests/support/laws.h"

namespace microlift {
namespace {

struct Data {
    index n;
    Buffer<float> states, conditions;
    Data(Stream& stream, index count)
        : n(count), states(stream.device(), count), conditions(stream.device(), count) {
        std::vector<float> x, s;
        for (index j = 0; j < n; ++j) {
            uint32 c[4] = {static_cast<uint32>(j), kStreamTest, 0, 0};
            philox4x32(c, philox_key(11));
            const double at = 2 * static_cast<double>(uniform_open<float>(c[0])) - 1;
            float z, unused;
            box_muller<Portable>(c[1], c[2], z, unused);
            const bool up = static_cast<double>(uniform_open<float>(c[3])) < Mixture::share(at);
            s.push_back(static_cast<float>(at));
            x.push_back(static_cast<float>(Mixture::shift(at) + (up ? 1 : -1) +
                                           0.3 * static_cast<double>(z)));
        }
        copy_to_device(stream, states.span(), x.data());
        copy_to_device(stream, conditions.span(), s.data());
    }
};

TrainerConfig quick() {
    TrainerConfig config;
    config.widths = {24, 24};
    config.critic_widths = {24, 20};
    config.batch = 100;  // not a multiple of a tile
    config.iterations = 40;
    config.validation_every = 15;
    config.validation_bins = 4;
    config.validation_samples = 128;
    return config;
}

using Trainer = std::unique_ptr<GeneratorTrainer>;

Trainer cgan(Stream& stream, const TrainerConfig& config, Data& data) {
    Trainer made = make_trainer(stream, config, 1, 1);
    made->set_data(data.states.span(), data.conditions.span(), data.n, data.n, 100);
    return made;
}

bool same(const TensorMap& a, const TensorMap& b) {
    if (a.size() != b.size()) return false;
    for (const auto& [name, tensor] : a)
        if (!b.count(name) || b.at(name).data != tensor.data) {
            MESSAGE("differs: ", name);
            return false;
        }
    return true;
}

TEST_CASE("cgan: 1 and 2 threads, direct launches and a replayed graph give the same bits") {
    for (const char* penalty : {"one_sided", "two_sided", "relativistic"}) {
        CAPTURE(penalty);
        TrainerConfig config = quick();
        config.penalty = penalty;
        config.penalty_every = config.penalty == "one_sided" ? 1 : 2;
        TensorMap states[3];
        for (int variant = 0; variant < 3; ++variant) {
            Stream stream(Device::cpu(variant == 1 ? 1 : 2));
            Data data(stream, 20000);
            config.graph = variant != 2;
            const Trainer gan = make_trainer(stream, config, 1, 1);
            const TensorMap start = gan->save_state();
            gan->set_data(data.states.span(), data.conditions.span(), data.n, data.n, 100);
            gan->advance(1000);
            CHECK(gan->done());
            gan->check();
            states[variant] = gan->save_state();
            CHECK(start.at("critic.parameters").data !=
                  states[variant].at("critic.parameters").data);
            CHECK(start.at("generator.parameters").data !=
                  states[variant].at("generator.parameters").data);
        }
        CHECK(same(states[0], states[1]));
        CHECK(same(states[0], states[2]));
    }
}

TEST_CASE("cgan: a stopped and resumed training ends in the same bits") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        Data data(stream, 20000);
        const Trainer whole = cgan(stream, quick(), data);
        whole->advance(40);
        const Trainer first = cgan(stream, quick(), data);
        first->advance(22);
        const TensorMap kept = first->save_state();
        const Trainer second = cgan(stream, quick(), data);
        second->load_state(kept);
        CHECK(second->iteration() == 22);
        second->advance(18);
        CHECK(same(whole->save_state(), second->save_state()));
        CHECK(format_safetensors(whole->generator_tensors()) ==
              format_safetensors(second->generator_tensors()));

        TensorMap wrong = kept;
        wrong.at("critic.first_moment") = Tensor::of(std::vector<float>{1});
        CHECK_THROWS_AS(second->load_state(wrong), InputError);
        wrong = kept;
        wrong.erase("clock");
        CHECK_THROWS_AS(second->load_state(wrong), InputError);
        TrainerConfig other = quick();
        other.critic_widths = {8};
        const Trainer third = cgan(stream, other, data);
        CHECK_THROWS_AS(third->load_state(kept), InputError);
        CHECK_THROWS_AS(third->warm_start(kept), InputError);
    }
}

TEST_CASE("cgan: training moves no byte between host and device") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        Data data(stream, 20000);
        const Trainer gan = cgan(stream, quick(), data);
        const TransferCounters before = transfer_counters();
        gan->advance(40);
        const TransferCounters after = transfer_counters();
        CHECK(after.bytes_to_device == before.bytes_to_device);
        CHECK(after.bytes_to_host == before.bytes_to_host);
        CHECK(gan->history().validations.size() == 3);
    }
}

TEST_CASE("cgan: losses that are not finite are named") {
    Stream stream(Device::cpu(2));
    Data data(stream, 20000);
    TrainerConfig config = quick();
    config.rate = config.critic_rate = 1e30;
    const Trainer gan = cgan(stream, config, data);
    gan->advance(40);
    CHECK_THROWS_AS(gan->check(), NumericError);
    try {
        gan->check();
    } catch (const NumericError& error) {
        CHECK(std::string(error.what()).find("at update ") != std::string::npos);
    }
}

TEST_CASE("cgan: configurations out of range are refused") {
    Stream stream(Device::cpu(1));
    const auto refused = [&](auto change) {
        TrainerConfig config = quick();
        change(config);
        CHECK_THROWS_AS(make_trainer(stream, config, 1, 1), InputError);
    };
    refused([](TrainerConfig& c) { c.batch = 0; });
    refused([](TrainerConfig& c) { c.iterations = 0; });
    refused([](TrainerConfig& c) { c.activation = "relu"; });
    refused([](TrainerConfig& c) { c.penalty = "none"; });
    refused([](TrainerConfig& c) { c.widths = {0}; });
    refused([](TrainerConfig& c) { c.critic_rate = 0; });
    refused([](TrainerConfig& c) { c.ema = 1; });
    refused([](TrainerConfig& c) { c.waves = -1; });
    refused([](TrainerConfig& c) { c.whiten = "no"; });
    CHECK_THROWS_AS(make_trainer(stream, quick(), 0, 1), InputError);
    CHECK_THROWS_AS(make_trainer(stream, quick(), 1, 100), InputError);
    const Trainer gan = make_trainer(stream, quick(), 1, 1);
    CHECK_THROWS_AS(gan->advance(1), InputError);
}

TEST_CASE("generator: a state depends on seed, number and condition alone; files are checked") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        Data data(stream, 20000);
        const Trainer gan = cgan(stream, quick(), data);
        gan->advance(40);
        const SafeTensors content = parse_safetensors(format_safetensors(gan->generator_tensors()));
        Generator generator(stream, content);
        const index n = 9001, from = 4097, some = 333;
        Buffer<float> all(stream.device(), n), part(stream.device(), some);
        const Span<const float> conditions = data.conditions.span();
        generator.generate(stream, conditions.subspan(0, n), n, 3, 50, all.span());
        generator.generate(stream, conditions.subspan(from, some), some, 3,
                           static_cast<uint64>(50 + from), part.span());
        const auto a = to_host(stream, all.span()), b = to_host(stream, part.span());
        CHECK(std::equal(b.begin(), b.end(), a.begin() + from));
        generator.generate(stream, conditions.subspan(0, n), n, 4, 50, all.span());
        CHECK(to_host(stream, all.span()) != a);

        const auto refused = [&](auto change) {
            SafeTensors altered = content;
            change(altered);
            CHECK_THROWS_AS(Generator(stream, altered), InputError);
        };
        refused([](SafeTensors& c) { c.metadata["format"] = "other"; });
        refused([](SafeTensors& c) { c.metadata.erase("latent"); });
        refused([](SafeTensors& c) { c.metadata["latent"] = "5"; });
        refused([](SafeTensors& c) { c.metadata["latent"] = "-1"; });
        refused([](SafeTensors& c) { c.metadata["widths"] = "1,,2"; });
        refused([](SafeTensors& c) { c.metadata["widths"] = "21,24,25,1"; });
        refused([](SafeTensors& c) { c.metadata["activation"] = "x"; });
        refused([](SafeTensors& c) { c.tensors.erase("generator.2.bias"); });
        refused([](SafeTensors& c) { c.tensors.erase("whitening.mean"); });
        refused([](SafeTensors& c) {
            auto& tensor = c.tensors.at("generator.1.bias");
            auto values = tensor.floats();
            values[0] = NAN;
            tensor = Tensor::of(values);
        });
    }
}

TEST_CASE("whitening: a state that is the condition is met, moments follow the condition") {
    Stream stream(Device::cpu(2));
    const index n = 200000;
    std::vector<float> x, s;
    for (index j = 0; j < n; ++j) {
        uint32 c[4] = {static_cast<uint32>(j), kStreamTest, 1, 0};
        philox4x32(c, philox_key(12));
        const float at = 4 * uniform_open<float>(c[0]) + 10;
        float z, unused;
        box_muller<Portable>(c[1], c[2], z, unused);
        s.push_back(at);
        x.push_back(std::sin(at) + (0.1f + 0.05f * (at - 10)) * z);
    }
    x.insert(x.begin(), s.begin(), s.end());
    Buffer<float> states(stream.device(), 2 * n), conditions(stream.device(), n);
    copy_to_device(stream, states.span(), x.data());
    copy_to_device(stream, conditions.span(), s.data());
    const Whitening made(stream, Whitening::Kind::conditional, {states.data(), 2, n, n},
                         {conditions.data(), 1, n, n}, {}, 8);
    const Whitening again(stream, made.tensors());
    for (float at = 10.01f; at < 14; at += 0.13f) {
        CAPTURE(at);
        for (const Whitening* w : {&made, &again}) {
            const WhiteningView& v = w->view();
            index knot[4];
            float weight[4];
            const float condition[2] = {at, 0};  // the grid may have two axes
            v.place(condition, 1, knot, weight);
            CHECK(std::fabs(v.look_up(v.mean, 0, knot, weight) - at) < 2e-5f);
            const float deviation = 0.1f + 0.05f * (at - 10);
            // About 200000/64 samples a knot: five standard errors, and the curvature of the sine
            // over a knot spacing h = 4/63, h²/8 = 5e-4.
            CHECK(std::fabs(v.look_up(v.mean, 1, knot, weight) - std::sin(at)) <
                  5 * deviation / std::sqrt(3000.0f) + 1e-3f);
            CHECK(std::fabs(v.look_up(v.deviation, 1, knot, weight) / deviation - 1) <
                  5 / std::sqrt(6000.0f) + 0.02f);
            float features[17];
            v.write_features(&at, 1, features);
            CHECK(std::fabs(features[0] - (at - 12) / (4 / std::sqrt(12.0f))) < 0.01f);
            CHECK(std::fabs(features[1] - std::sqrt(2.0f) * std::cos(3.14159f * (at - 10) / 4)) <
                  1e-3f);
        }
    }
}

TEST_CASE("whitening: of more samples than are measured, every device has the CPU's tables") {
    const index n = (index{1} << 20) + 4099;
    std::vector<float> x, s;
    for (index j = 0; j < n; ++j) {
        s.push_back(static_cast<float>(j % 1009) / 1009);
        x.push_back(s.back() * s.back() + 0.1f * static_cast<float>(j % 31 - 15));
    }
    std::vector<float> mean, deviation;
    for (const Device& device : test_devices()) {
        CAPTURE(device.description());
        Stream stream(device);
        Buffer<float> states(device, n), conditions(device, n);
        copy_to_device(stream, states.span(), x.data());
        copy_to_device(stream, conditions.span(), s.data());
        const Whitening made(stream, Whitening::Kind::conditional, {states.data(), 1, n, n},
                             {conditions.data(), 1, n, n}, {}, 8);
        const TensorMap tensors = made.tensors();
        const std::vector<float> m = tensors.at("whitening.mean").floats(),
                                 d = tensors.at("whitening.deviation").floats();
        if (mean.empty()) mean = m, deviation = d;
        REQUIRE(m.size() == mean.size());
        REQUIRE(d.size() == deviation.size());
        for (std::size_t i = 0; i < m.size(); ++i) CHECK(std::fabs(m[i] - mean[i]) < 1e-5f);
        for (std::size_t i = 0; i < d.size(); ++i) CHECK(std::fabs(d[i] - deviation[i]) < 1e-5f);
    }
}

TEST_CASE("cgan: a training told to stop at the sampling floor stops there, and stays so when resumed") {
    Stream stream(Device::cpu(2));
    Data data(stream, 20000);
    TrainerConfig config = quick();
    config.iterations = 4000;
    config.validation_every = 50;
    config.stop_at_floor = true;
    const Trainer gan = cgan(stream, config, data);
    while (!gan->done()) {
        gan->advance(70);
        gan->check();
    }
    const TrainingHistory history = gan->history();
    const auto& looks = history.validations;
    REQUIRE(looks.size() >= 2);
    CHECK(gan->iteration() < config.iterations);
    CHECK(gan->iteration() == looks.back().iteration);
    for (std::size_t k = 1; k < looks.size(); ++k)
        CHECK((std::max(looks[k - 1].mean, looks[k].mean) <= kAtFloor * history.floor) == (k + 1 == looks.size()));
    const Trainer resumed = cgan(stream, config, data);
    resumed->load_state(gan->save_state());
    CHECK(resumed->done());
    config.stop_at_floor = false;
    const Trainer other = cgan(stream, config, data);
    other->load_state(gan->save_state());
    CHECK_FALSE(other->done());
}

TEST_CASE("cgan: learns a bimodal conditional density") {
    for (const Device& device : quick_devices()) {
        Stream stream(device);
        Data data(stream, 200000);
        TrainerConfig config;
        config.iterations = 1000;
        config.validation_every = 100;
        const Trainer gan = cgan(stream, config, data);
        gan->advance(config.iterations);
        gan->check();
        Generator generator(stream, gan->generator_tensors());
        const index n = 20000;
        Buffer<float> conditions(stream.device(), n), states(stream.device(), n);
        std::vector<double> distances;
        for (double s = -0.9; s < 0.95; s += 0.2) {
            const std::vector<float> same_condition(static_cast<std::size_t>(n),
                                                    static_cast<float>(s));
            copy_to_device(stream, conditions.span(), same_condition.data());
            generator.generate(stream, conditions.span(), n, 1, 0, states.span());
            auto y = to_host(stream, states.span());
            std::sort(y.begin(), y.end());
            double sum = 0;
            for (index i = 0; i < n; i += 10)
                sum += std::fabs(static_cast<double>(y[static_cast<std::size_t>(i + 5)]) -
                                 Mixture::quantile((static_cast<double>(i) + 5.5) /
                                                       static_cast<double>(n),
                                                   s));
            distances.push_back(sum / static_cast<double>(n / 10) / Mixture::deviation(s));
        }
        std::sort(distances.begin(), distances.end());
        MESSAGE("W1/sigma: median ", distances[distances.size() / 2], ", worst ",
                distances.back());
        // A Gaussian of the right moments, what whitening alone would give, is 0.32 to 0.39 away.
        CHECK(distances[distances.size() / 2] < 0.08);
        CHECK(distances.back() < 0.16);
    }
}

}  // namespace
}  // namespace microlift
