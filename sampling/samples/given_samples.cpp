#include "sampling/samples/given_samples.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/error.h"

namespace microlift {

namespace {

constexpr const char* kGivenFormat = "microlift-samples-1";

std::vector<uint64> words(const std::vector<index>& values) { return {values.begin(), values.end()}; }

std::vector<double> flat_rows(const std::vector<std::array<double, kMaxCvs>>& rows) {
    std::vector<double> values;
    for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
    return values;
}

std::vector<std::array<double, kMaxCvs>> rows_of_two(const std::vector<double>& values) {
    std::vector<std::array<double, kMaxCvs>> rows(values.size() / at(kMaxCvs));
    for (std::size_t i = 0; i < rows.size(); ++i)
        for (std::size_t k = 0; k < at(kMaxCvs); ++k) rows[i][k] = values[i * at(kMaxCvs) + k];
    return rows;
}

template <class T>
bool are_finite(const std::vector<T>& values) {
    return std::ranges::all_of(values, [](T v) { return std::isfinite(v); });
}

}  // namespace

index GivenSamples::rows() const {
    index sum = 0;
    for (const index length : lengths) sum += length;
    return sum;
}

GivenSamples::Columns GivenSamples::columns() const {
    std::vector<index> first;
    for (index row = 0; const index length : lengths) first.push_back(row), row += length;
    Columns out;
    for (index w = 0; w < std::ssize(center); ++w) {
        std::vector<std::size_t> own;
        for (std::size_t t = 0; t < window.size(); ++t)
            if (window[t] == w) own.push_back(t);
        const bool alike = std::ranges::all_of(own, [&](std::size_t t) { return lengths[t] == lengths[own[0]]; });
        SampleBlock block{std::ssize(out.row), w, 1, 1, 0};
        if (alike) {
            block.replicas = std::ssize(own);
            block.samples = lengths[own[0]];
            for (index s = 0; s < block.samples; ++s)
                for (const std::size_t t : own) out.row.push_back(first[t] + s);
        } else {
            for (const std::size_t t : own) {
                block.samples += lengths[t];
                for (index s = 0; s < lengths[t]; ++s) out.row.push_back(first[t] + s);
            }
        }
        out.blocks.push_back(block);
    }
    return out;
}

SafeTensors GivenSamples::tensors() const {
    SafeTensors content;
    content.metadata["format"] = kGivenFormat;
    std::string& names = content.metadata["variables"];
    for (const std::string& name : variables) names += (names.empty() ? "" : ",") + name;
    content.tensors["state"] = Tensor::of(state, {rows(), std::ssize(variables)});
    content.tensors["lengths"] = Tensor::of(words(lengths));
    content.tensors["window"] = Tensor::of(words(window));
    content.tensors["center"] = Tensor::of(flat_rows(center), {std::ssize(center), kMaxCvs});
    content.tensors["stiffness"] = Tensor::of(flat_rows(stiffness), {std::ssize(stiffness), kMaxCvs});
    if (weighted()) content.tensors["log_weight"] = Tensor::of(log_weight);
    return content;
}

GivenSamples GivenSamples::of(const SafeTensors& content, const std::string& name) {
    const auto need = [&](bool sound) {
        if (!sound)
            throw InputError(name + ": it does not hold the samples of a run; take a copy that is whole, or run again "
                                    "from their own files");
    };
    const auto format = content.metadata.find("format"), names = content.metadata.find("variables");
    need(format != content.metadata.end() && format->second == kGivenFormat && names != content.metadata.end());
    for (const char* tensor : {"state", "lengths", "window", "center", "stiffness"})
        need(content.tensors.contains(tensor));
    GivenSamples samples;
    std::string text = names->second + ",";
    for (std::size_t from = 0, to = text.find(','); to != std::string::npos; from = to + 1, to = text.find(',', from))
        samples.variables.push_back(text.substr(from, to - from));
    samples.state = content.tensor("state").floats();
    for (const uint64 length : content.tensor("lengths").words()) {
        need(length > 0 && length <= samples.state.size());
        samples.lengths.push_back(static_cast<index>(length));
    }
    samples.center = rows_of_two(content.tensor("center").doubles());
    samples.stiffness = rows_of_two(content.tensor("stiffness").doubles());
    for (const uint64 window : content.tensor("window").words()) {
        need(window < samples.center.size());
        samples.window.push_back(static_cast<index>(window));
    }
    if (content.tensors.contains("log_weight")) samples.log_weight = content.tensor("log_weight").doubles();
    need(samples.lengths.size() <= samples.state.size());
    double rows = 0;  // which no sum of lengths overflows
    for (const index length : samples.lengths) rows += static_cast<double>(length);
    need(rows * static_cast<double>(samples.variables.size()) == static_cast<double>(samples.state.size()) &&
         rows > 0 && samples.window.size() == samples.lengths.size() &&
         samples.center.size() == samples.stiffness.size() &&
         (!samples.weighted() || static_cast<double>(samples.log_weight.size()) == rows));
    need(are_finite(samples.state) && are_finite(samples.log_weight));
    for (std::size_t w = 0; w < samples.center.size(); ++w)
        for (std::size_t k = 0; k < at(kMaxCvs); ++k)
            need(std::isfinite(samples.center[w][k]) && std::isfinite(samples.stiffness[w][k]) &&
                 samples.stiffness[w][k] >= 0);
    for (index w = 0; w < std::ssize(samples.center); ++w) need(std::ranges::count(samples.window, w) > 0);
    return samples;
}

}  // namespace microlift
