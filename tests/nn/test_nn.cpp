// Networks: matrix products, activations, sweeps, gradient penalty, Adam, weight files.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "engine/error.h"
#include "nn/generators/gan_sweeps.h"
#include "engine/files/safetensors.h"
#include "tests/support/devices.h"
#include "tests/nn/reference/gradient_penalty.h"

namespace microlift {
namespace {

// Values that are exactly representable with short products, so that any summation order is exact.
template <class Real>
std::vector<Real> small_numbers(index n, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<Real> values(static_cast<std::size_t>(n));
    for (Real& v : values) v = static_cast<Real>(static_cast<int>(random() % 17) - 8) / Real(8);
    return values;
}

template <class Real>
void check_gemm(index m, index n, index k, bool transposed, bool accumulate, bool with_bias) {
    const index lda = padded_width(transposed ? m : k), ldn = padded_width(n);
    const auto a = small_numbers<Real>((transposed ? k : m) * lda, 1);
    const auto b = small_numbers<Real>(k * ldn, 2), bias = small_numbers<Real>(ldn, 3);
    const auto before = small_numbers<Real>(m * ldn, 4);
    auto c = before;
    Gemm<Real> g;
    g.a = a.data(), g.b = b.data(), g.c = c.data(), g.bias = with_bias ? bias.data() : nullptr;
    g.m = m, g.n = ldn, g.k = k, g.lda = lda, g.ldb = ldn, g.ldc = ldn;
    g.transposed = transposed, g.accumulate = accumulate;
    gemm_on_cpu(g);
    bool same = true;
    for (index i = 0; i < m; ++i)
        for (index j = 0; j < ldn; ++j) {
            const auto at = static_cast<std::size_t>(i * ldn + j);
            Real sum = accumulate ? before[at] : with_bias ? bias[static_cast<std::size_t>(j)] : 0;
            for (index p = 0; p < k; ++p)
                sum += a[static_cast<std::size_t>(transposed ? p * lda + i : i * lda + p)] *
                       b[static_cast<std::size_t>(p * ldn + j)];
            same = same && sum == c[at];
        }
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(k);
    CHECK(same);
}

TEST_CASE("matrix products equal the plain loops for all shapes") {
    for (const index m : {1, 2, 5, 6, 11, 13, 64, 71})
        for (const index n : {1, 16, 17, 40, 64, 100, 130})
            for (const index k : {1, 3, 64, 65}) {
                check_gemm<float>(m, n, k, false, false, true);
                check_gemm<float>(m, n, k, true, true, false);
                check_gemm<double>(m, n, k, false, false, false);
                check_gemm<double>(m, n, k, true, true, false);
            }
}

TEST_CASE("a row's product does not depend on where the row lies") {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::vector<float> a(64 * 64), b(64 * 64), c(64 * 64), single(64);
    for (auto* list : {&a, &b})
        for (float& v : *list) v = normal(random);
    Gemm<float> g;
    g.a = a.data(), g.b = b.data(), g.c = c.data();
    g.m = g.n = g.k = g.lda = g.ldb = g.ldc = 64;
    gemm_on_cpu(g);
    for (index row = 0; row < 64; ++row) {
        Gemm<float> one = g;
        one.m = 1, one.a = a.data() + row * 64, one.c = single.data();
        gemm_on_cpu(one);
        CHECK(std::equal(single.begin(), single.end(), c.begin() + row * 64));
    }
}

TEST_CASE("activations: values against the standard library, derivatives against differences") {
    const std::function<double(double)> exact[] = {
        [](double z) { return z / (1 + std::exp(-z)); },
        [](double z) { return z >= 0 ? z : 0.2 * z; },
        [](double z) { return std::tanh(z); },
        [](double z) { return std::log1p(std::exp(z)); }};
    for (int kind = 0; kind < 4; ++kind)
        for (double z = -8.03; z < 8; z += 0.37) {
            CAPTURE(kind);
            CAPTURE(z);
            const auto k = static_cast<Activation>(kind);
            const auto at = activation<Portable>(k, z);
            const double h = 1e-5;
            const auto up = activation<Portable>(k, z + h), down = activation<Portable>(k, z - h);
            // The library's leaky slope is a float.
            CHECK(at.value == doctest::Approx(exact[kind](z)).epsilon(1e-7));
            CHECK(std::fabs(at.first - (up.value - down.value) / (2 * h)) < 1e-9);
            CHECK(std::fabs(at.second - (up.first - down.first) / (2 * h)) < 1e-9);
            const auto single = activation<Portable>(k, static_cast<float>(z));
            CHECK(std::fabs(static_cast<double>(single.value) - at.value) <
                  4e-7 * (1 + std::fabs(at.value)));
            CHECK(std::fabs(static_cast<double>(single.first) - at.first) < 1e-6);
            CHECK(std::fabs(static_cast<double>(single.second) - at.second) < 3e-6);
        }
}

TEST_CASE("reciprocals above one are correctly rounded, for every mantissa") {
    constexpr int width = kNativeWidth;
    for (const uint32 exponent : {127u, 200u, 252u}) {
        index wrong = 0;
        for (uint32 mantissa = 0; mantissa < (1u << 23); mantissa += width) {
            float b[width], got[width];
            for (int w = 0; w < width; ++w)
                b[w] = as_float((exponent << 23) + mantissa + static_cast<uint32>(w));
            store(got, 0, reciprocal_above_one(load<NativeLane>(b, 0)));
            for (int w = 0; w < width; ++w) wrong += as_uint(got[w]) != as_uint(1.0f / b[w]);
        }
        CAPTURE(exponent);
        CHECK(wrong == 0);
    }
}

TEST_CASE("few columns: products equal the plain loops, at every place of a row") {
    // Numbers with short products: any order of the sums is exact.
    for (const index k : {1, 16, 20, 64, 130})
        for (const index columns : {1, 2, 3}) {
            const index m = 21, lda = padded_width(k);
            auto a = small_numbers<float>(m * lda, 1);
            for (index i = 0; i < m; ++i)
                for (index p = k; p < lda; ++p) a[static_cast<std::size_t>(i * lda + p)] = 7;
            const auto b = small_numbers<float>(std::max(k, m) * kPad, 2);
            const auto bias = small_numbers<float>(kPad, 3);
            std::vector<float> c(static_cast<std::size_t>(m * kPad), 99.0f);
            Gemm<float> g;
            g.a = a.data(), g.b = b.data(), g.c = c.data(), g.bias = bias.data();
            g.m = m, g.n = kPad, g.k = k, g.lda = lda, g.ldb = kPad, g.ldc = kPad;
            g.columns = columns;
            gemm_on_cpu(g);
            // The weight gradient of the same shapes: a (m, k) transposed times b (m, n), added.
            std::vector<float> w(static_cast<std::size_t>(k * kPad), 0.5f);
            Gemm<float> t = g;
            t.bias = nullptr, t.c = w.data(), t.m = k, t.k = m;
            t.transposed = t.accumulate = true;
            gemm_on_cpu(t);
            index wrong = 0;
            const auto at = [](index i) { return static_cast<std::size_t>(i); };
            for (index j = 0; j < columns; ++j) {
                for (index i = 0; i < m; ++i) {
                    float sum = bias[at(j)];
                    for (index p = 0; p < k; ++p) sum += a[at(i * lda + p)] * b[at(p * kPad + j)];
                    wrong += sum != c[at(i * kPad + j)];
                }
                for (index p = 0; p < k; ++p) {
                    float sum = 0.5f;
                    for (index i = 0; i < m; ++i) sum += a[at(i * lda + p)] * b[at(i * kPad + j)];
                    wrong += sum != w[at(p * kPad + j)];
                }
            }
            CAPTURE(k);
            CAPTURE(columns);
            CHECK(wrong == 0);
        }
}

// A network in double precision with everything its sweeps need.
struct DoubleNetwork {
    MlpLayout layout;
    std::vector<double> parameters, transposed, gradient, memory;
    MlpScratch<double> scratch;
    index rows;

    DoubleNetwork(const std::vector<index>& widths, Activation kind, index n, int groups,
                  int penalised)
        : layout(widths, kind), parameters(static_cast<std::size_t>(layout.parameters)),
          gradient(static_cast<std::size_t>(layout.parameters) * kMostSlots),
          memory(static_cast<std::size_t>(
              MlpScratch<double>::size(layout, n, groups, penalised))),
          scratch(layout, n, groups, penalised, memory.data()), rows(n) {}

    void transpose() {
        transposed.assign(static_cast<std::size_t>(layout.transposed_size), 0.0);
        for (std::size_t l = 1; l <= static_cast<std::size_t>(layout.layers); ++l)
            for (index i = 0; i < layout.width[l - 1]; ++i)
                for (index j = 0; j < layout.width[l]; ++j)
                    transposed[static_cast<std::size_t>(layout.transposed[l] +
                                                        j * layout.ld[l - 1] + i)] =
                        parameters[static_cast<std::size_t>(layout.weight[l] + i * layout.ld[l] +
                                                            j)];
    }
    Mlp<double> view() { return {layout, parameters.data(), transposed.data(), scratch, rows}; }
    // Places of the true parameters in the flat span: W_1, b_1, W_2, …
    std::vector<index> places() const {
        std::vector<index> list;
        for (std::size_t l = 1; l <= static_cast<std::size_t>(layout.layers); ++l) {
            for (index i = 0; i < layout.width[l - 1]; ++i)
                for (index j = 0; j < layout.width[l]; ++j)
                    list.push_back(layout.weight[l] + i * layout.ld[l] + j);
            for (index j = 0; j < layout.width[l]; ++j) list.push_back(layout.bias[l] + j);
        }
        return list;
    }
    double summed(Stream& stream, index place) const {
        double sum = 0;
        for (index s = 0; s < gradient_slots(stream.device(), rows); ++s)
            sum += gradient[static_cast<std::size_t>(s * layout.parameters + place)];
        return sum;
    }
};

TEST_CASE("weight and input gradients equal finite differences") {
    Stream stream(Device::cpu(2));
    std::mt19937 random(3);
    std::normal_distribution<double> normal;
    const index rows = 70;  // two tiles, one ragged
    for (int kind = 0; kind < 4; ++kind) {
        DoubleNetwork net({3, 18, 5, 2}, static_cast<Activation>(kind), rows, 1, 0);
        for (const index p : net.places())
            net.parameters[static_cast<std::size_t>(p)] = 0.5 * normal(random);
        for (index r = 0; r < rows; ++r)
            for (int d = 0; d < 3; ++d) net.scratch.h[0][r * kPad + d] = normal(random);
        const std::vector<double> input(net.scratch.h[0], net.scratch.h[0] + rows * kPad);
        // loss = Σ (r + 1)·out_0 − 2·out_1 over rows, scaled.
        const auto weight = [](index r, int o) {
            return o == 0 ? 0.01 * static_cast<double>(r + 1) : -0.02;
        };
        const auto loss = [&] {
            RowProgram<double> program(stream, rows);
            net.transpose();
            net.view().forward(program, 1, Derivatives<0>{});
            program.finish();
            double sum = 0;
            for (index r = 0; r < rows; ++r)
                for (int o = 0; o < 2; ++o) sum += weight(r, o) * net.scratch.h[3][r * kPad + o];
            return sum;
        };
        net.transpose();
        RowProgram<double> program(stream, rows, net.gradient.data(), net.layout.parameters);
        net.view().forward(program, 1, Derivatives<1>{});
        for (index r = 0; r < rows; ++r)
            for (int o = 0; o < 2; ++o) net.scratch.r[3][r * kPad + o] = weight(r, o);
        net.view().reverse(program, 1, 0, true);
        net.view().weight_gradients(program, 1, 0);
        program.finish();
        const std::vector<double> by_input(net.scratch.r[0], net.scratch.r[0] + rows * kPad);
        CAPTURE(kind);
        const double h = 1e-6;
        // The kink of LeakyReLU may lie within h of a pre-activation: one in ten thousand.
        const double bound = 1e-7;
        for (const index p : net.places()) {
            double& v = net.parameters[static_cast<std::size_t>(p)];
            const double old = v;
            v = old + h;
            const double up = loss();
            v = old - h;
            const double down = loss();
            v = old;
            const double expected = (up - down) / (2 * h);
            CHECK(std::fabs(net.summed(stream, p) - expected) < bound * (1 + std::fabs(expected)));
        }
        for (const index r : {0, 63, 64, 69})
            for (int d = 0; d < 3; ++d) {
                double& v = net.scratch.h[0][r * kPad + d];
                const double old = v;
                v = old + h;
                const double up = loss();
                v = old - h;
                const double down = loss();
                v = old;
                CHECK(std::fabs(by_input[static_cast<std::size_t>(r * kPad + d)] -
                                (up - down) / (2 * h)) < bound);
            }
    }
}

// The critic of the reference numbers, its rows filled.
DoubleNetwork reference_critic(Activation activation, Penalty kind) {
    using namespace reference;
    DoubleNetwork net({std::begin(kWidths), std::end(kWidths)}, activation, kRows, groups_of(kind), penalised_of(kind));
    const auto places = net.places();
    REQUIRE(places.size() == std::size(kParameters));
    for (std::size_t i = 0; i < places.size(); ++i)
        net.parameters[static_cast<std::size_t>(places[i])] = kParameters[i];
    net.transpose();
    const double* sources[] = {kFake, kReal, kMixed};
    const auto inputs = static_cast<index>(kWidths[0]);
    for (int group = 0; group < groups_of(kind); ++group)
        for (index r = 0; r < kRows; ++r)
            for (index d = 0; d < inputs; ++d)
                net.scratch.h[0][(group * kRows + r) * kPad + d] = sources[group][r * inputs + d];
    return net;
}

TEST_CASE("penalty gradients equal float64 double backward to 1e-6") {
    using namespace reference;
    const double* expected[4][3] = {
        {gradient_silu_one_sided, gradient_silu_two_sided, gradient_silu_relativistic},
        {gradient_leaky_relu_one_sided, gradient_leaky_relu_two_sided,
         gradient_leaky_relu_relativistic},
        {gradient_tanh_one_sided, gradient_tanh_two_sided, gradient_tanh_relativistic},
        {gradient_softplus_one_sided, gradient_softplus_two_sided,
         gradient_softplus_relativistic}};
    Stream stream(Device::cpu(2));
    for (int activation = 0; activation < 4; ++activation)
        for (int penalty = 0; penalty < 3; ++penalty) {
            const auto kind = static_cast<Penalty>(penalty);
            DoubleNetwork net = reference_critic(static_cast<Activation>(activation), kind);
            const auto places = net.places();
            std::vector<double> values(static_cast<std::size_t>(2 * kRows));
            RowProgram<double> program(stream, kRows, net.gradient.data(), net.layout.parameters);
            critic_sweeps(program, net.view(), kind, kPenaltyWeight, kStates, values.data());
            program.finish();
            CAPTURE(activation);
            CAPTURE(penalty);
            double worst = 0, size = 0;
            for (std::size_t i = 0; i < places.size(); ++i) {
                const double e = expected[activation][penalty][i];
                worst = std::max(worst, std::fabs(net.summed(stream, places[i]) - e));
                size = std::max(size, std::fabs(e));
            }
            CHECK(size > 0.05);
            // LeakyReLU's slope is the float 0.2: a relative 1.5e-8.
            CHECK(worst < 1e-6 * size);
        }
}

TEST_CASE("a critic step without a penalty has the gradient of one whose penalty weighs nothing") {
    using namespace reference;
    Stream stream(Device::cpu(2));
    for (const Penalty kind : {Penalty::one_sided, Penalty::relativistic}) {
        DoubleNetwork net = reference_critic(Activation::silu, kind);
        const auto places = net.places();
        const std::vector<double> input(net.scratch.h[0], net.scratch.h[0] + groups_of(kind) * kRows * kPad);
        std::vector<double> gradients[2];
        for (const double weight : {0.0, 1e-200}) {
            std::copy(input.begin(), input.end(), net.scratch.h[0]);
            std::vector<double> values(static_cast<std::size_t>(2 * kRows), 7.0);
            RowProgram<double> program(stream, kRows, net.gradient.data(), net.layout.parameters);
            critic_sweeps(program, net.view(), kind, weight, kStates, values.data());
            program.finish();
            for (const index place : places) gradients[weight > 0].push_back(net.summed(stream, place));
            CHECK((values[0] == 7.0) == (weight == 0));  // without a penalty none is written
        }
        CAPTURE(static_cast<int>(kind));
        double worst = 0, size = 0;
        for (std::size_t i = 0; i < places.size(); ++i) {
            worst = std::max(worst, std::fabs(gradients[0][i] - gradients[1][i]));
            size = std::max(size, std::fabs(gradients[1][i]));
        }
        CHECK(size > 0.01);
        CHECK(worst < 1e-14 * size);
    }
}

TEST_CASE("Adam follows the published algorithm") {
    const AdamRates rates{0.5f, 0.9f, 1e-8f};
    AdamStep step;
    float p = 1, m = 0, v = 0;
    double q = 1, first = 0, second = 0;
    for (int t = 1; t <= 50; ++t) {
        const float g = std::sin(0.3f * static_cast<float>(t)) + 0.2f;
        adam_advance(step, rates, 0.01f);
        p = adam_update(step, rates, p, g, m, v);
        const double gd = static_cast<double>(g);
        first = 0.5 * first + 0.5 * gd;
        second = static_cast<double>(0.9f) * second + (1 - static_cast<double>(0.9f)) * gd * gd;
        const double a = first / (1 - std::pow(0.5, t));
        const double b = second / (1 - std::pow(static_cast<double>(0.9f), t));
        q -= 0.01 * a / (std::sqrt(b) + 1e-8);
        CHECK(static_cast<double>(p) == doctest::Approx(q).epsilon(2e-6));
    }
}

// --- weight files -----------------------------------------------------------------------------------

SafeTensors example() {
    SafeTensors content;
    content.tensors["a"] = Tensor::of(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
    content.tensors["b"] = Tensor::of(std::vector<double>{-1.5});
    content.tensors["c"] = Tensor::of(std::vector<uint64>{1, ~uint64{0}});
    content.tensors["empty"] = Tensor::of(std::vector<float>{}, {0, 4});
    content.metadata["format"] = "test";
    content.metadata["quote"] = "\"\\\n µ";
    return content;
}

TEST_CASE("safetensors come back as they were written") {
    const auto bytes = format_safetensors(example());
    const SafeTensors back = parse_safetensors(bytes);
    CHECK(back.metadata == example().metadata);
    CHECK(back.tensor("a").floats() == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(back.tensor("a").shape == std::vector<index>{2, 3});
    CHECK(back.tensor("b").doubles() == std::vector<double>{-1.5});
    CHECK(back.tensor("c").words() == std::vector<uint64>{1, ~uint64{0}});
    CHECK(back.tensor("empty").floats().empty());
    CHECK_THROWS_AS(back.tensor("d"), InputError);
    CHECK_THROWS_AS(back.tensor("b").floats(), InputError);
    CHECK(format_safetensors(back) == bytes);
}

TEST_CASE("safetensors: every truncation and every changed byte is refused") {
    const auto bytes = format_safetensors(example());
    for (std::size_t n = 0; n < bytes.size(); ++n) {
        CAPTURE(n);
        CHECK_THROWS_AS(parse_safetensors(std::span(bytes).first(n)), InputError);
    }
    for (std::size_t n = 0; n < bytes.size(); ++n)
        for (const int flip : {1, 2, 16, 128, 255}) {
            auto altered = bytes;
            altered[n] ^= static_cast<std::byte>(flip);
            // Space that becomes other white space in the header's padding says the same.
            bool same = false;
            try {
                same = format_safetensors(parse_safetensors(altered)) == bytes;
            } catch (const InputError&) {
                same = true;
            }
            CAPTURE(n);
            CHECK(same);
        }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    CHECK_THROWS_AS(parse_safetensors(longer), InputError);
}

TEST_CASE("safetensors: hostile headers are refused") {
    for (const std::string header : {
             "", "[]", "{", "null", "{\"a\":1}", "{\"__metadata__\":{}}", "{\"__metadata__\":[]}",
             "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
             "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
             "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}",
             "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,99999999999]}}",
             "{\"a\":{\"dtype\":\"X\",\"shape\":[],\"data_offsets\":[0,0]}}",
             "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}",
             "{\"a\":{\"dtype\":\"F32\",\"shape\":[1e3],\"data_offsets\":[0,4]}}"}) {
        CAPTURE(header);
        std::vector<std::byte> bytes(8 + header.size());
        const uint64 length = header.size();
        std::memcpy(bytes.data(), &length, 8);
        std::memcpy(bytes.data() + 8, header.data(), header.size());
        CHECK_THROWS_AS(parse_safetensors(bytes), InputError);
    }
    std::string deep(100000, '[');
    std::vector<std::byte> bytes(8 + deep.size());
    const uint64 length = deep.size();
    std::memcpy(bytes.data(), &length, 8);
    std::memcpy(bytes.data() + 8, deep.data(), deep.size());
    CHECK_THROWS_AS(parse_safetensors(bytes), InputError);
}

}  // namespace
TEST_CASE("the energy score's gradient is that of the score") {
    // Two rows that share a sample: L = scale (|a − x| + |b − x| − |a − b|), by central differences.
    const int states = 3;
    std::vector<double> generated{0.3, -0.7, 1.1, -0.4, 0.2, 0.9}, real{0.1, 0.5, -0.2, 0.1, 0.5, -0.2};
    const double scale = 0.25;
    const auto distance = [&](const double* u, const double* v) {
        double sum = 0;
        for (int d = 0; d < states; ++d) sum += (u[d] - v[d]) * (u[d] - v[d]);
        return std::sqrt(sum);
    };
    const auto score = [&] {
        const double *a = generated.data(), *b = a + states, *x = real.data();
        return scale * (distance(a, x) + distance(b, x) - distance(a, b));
    };
    std::vector<double> seed(6, 0.0);
    const EnergyScoreBody<double> body{states, scale, 2, generated.data(), real.data(), seed.data(),
                                       states, states};
    body(0);
    body(1);
    for (std::size_t i = 0; i < generated.size(); ++i) {
        const double keep = generated[i], h = 1e-5;
        generated[i] = keep + h;
        const double up = score();
        generated[i] = keep - h;
        const double down = score();
        generated[i] = keep;
        CHECK(seed[i] == doctest::Approx((up - down) / (2 * h)).epsilon(1e-7));
    }
}

}  // namespace microlift
