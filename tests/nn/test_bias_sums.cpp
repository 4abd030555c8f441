// Bias gradients of a program's layers: the column sums, exactly, where every order of sums is exact.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "nn/layers/row_program.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

struct Layer {
    index columns, bias;
    Buffer<float> b;
    std::vector<float> sums;
};

// Multiples of 1/8 below 1: sums of 2^20 of them are exact.
Layer make_layer(Stream& stream, index rows, index columns, index bias) {
    std::mt19937 random(static_cast<unsigned>(rows + columns));
    std::vector<float> values(static_cast<std::size_t>(rows * columns));
    for (float& v : values) v = static_cast<float>(static_cast<int>(random() % 15) - 7) / 8;
    Layer layer{columns, bias, Buffer<float>(stream.device(), rows * columns),
                std::vector<float>(static_cast<std::size_t>(columns))};
    copy_to_device(stream, layer.b.span(), values.data());
    for (std::size_t i = 0; i < values.size(); ++i)
        layer.sums[i % static_cast<std::size_t>(columns)] += values[i];
    return layer;
}

}  // namespace

TEST_CASE("bias gradients are the column sums, by one launch for all layers or by two for many rows") {
    const index widths[] = {16, 48, 64, 16};  // with padding
    for (const Device& device : test_devices()) {
        Stream stream(device);
        for (const auto& [batch, groups, launches] :
             {std::tuple<index, int, uint64>{5, 1, 1}, {300, 3, 1}, {1700, 3, 2}, {1700, 1, 2}}) {
            CAPTURE(batch * groups);
            const index rows = batch * groups;
            std::vector<Layer> layers;
            index parameters = 0, columns = 0;
            for (const index width : widths) {
                layers.push_back(make_layer(stream, rows, width, parameters + 16 * width));
                parameters += 17 * width;  // of 16 inputs
                columns += width;
            }
            const index slots = gradient_slots(device, batch);
            Buffer<float> gradient(device, slots * parameters), inputs(device, rows * 16),
                scratch(device, bias_scratch(device, columns));
            RowProgram<float> program(stream, batch, gradient.data(), parameters, scratch.data());
            for (const Layer& layer : layers)
                program.weight_gradient(
                    groups, {{inputs.data(), rows, 16, 16}, {layer.b.data(), rows, layer.columns, layer.columns},
                             layer.bias - 16 * layer.columns, layer.bias, layer.columns});
            const uint64 before = transfer_counters().kernel_launches;
            program.finish();
            if (!device.is_cpu()) CHECK(transfer_counters().kernel_launches - before == launches);
            const std::vector<float> found = to_host(stream, Span<const float>(gradient.span()));
            for (const Layer& layer : layers) {
                bool same = true, zero = true;
                for (index j = 0; j < layer.columns; ++j) {
                    float sum = 0;
                    for (index s = 0; s < slots; ++s)
                        sum += found[static_cast<std::size_t>(s * parameters + layer.bias + j)];
                    same = same && sum == layer.sums[static_cast<std::size_t>(j)];
                    zero = zero && found[static_cast<std::size_t>(layer.bias - 1 - j)] == 0.0f;
                }
                CHECK(same);
                CHECK(zero);  // the weights of inputs that are zero
            }
        }
    }
}

TEST_CASE("a bias that is summed twice holds both sums") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        const Layer layer = make_layer(stream, 40, 16, 256);
        Buffer<float> gradient(device, 272), inputs(device, 640), scratch(device, bias_scratch(device, 16));
        RowProgram<float> program(stream, 40, gradient.data(), 272, scratch.data());
        for (int k = 0; k < 2; ++k)
            program.weight_gradient(
                1, {{inputs.data(), 40, 16, 16}, {layer.b.data(), 40, 16, 16}, 0, 256, 16});
        program.finish();
        const std::vector<float> found = to_host(stream, Span<const float>(gradient.span()));
        for (std::size_t j = 0; j < 16; ++j) CHECK(found[256 + j] == 2 * layer.sums[j]);
    }
}

}  // namespace microlift
