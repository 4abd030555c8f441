#include "sampling/samples/samples_file.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/stop.h"

namespace microlift {
namespace {

constexpr index kPieceRows = 1 << 16;

std::size_t file_bytes(const SamplesInfo& info) {
    const std::size_t row = 4 * (info.variables.size() + info.cvs.size()) + 8 + (info.weighted ? 8 : 0);
    return static_cast<std::size_t>(info.samples) * row;
}

std::vector<std::string> or_empty(const std::vector<std::string>& units, std::size_t count) {
    return units.empty() ? std::vector<std::string>(count) : units;
}

[[noreturn]] void bad_shape(const ArrayFileReader& file, const std::string& name) {
    throw InputError(file.file().string() + ": its array '" + name +
                     "' has another shape than its neighbours; take a copy that is whole, or run "
                     "again");
}

}  // namespace

SamplesWriter::SamplesWriter(const std::filesystem::path& file, const SamplesInfo& info)
    : info_(info), file_(file, "samples", file_bytes(info)) {
    const auto variables = static_cast<index>(info.variables.size());
    const auto cvs = static_cast<index>(info.cvs.size());
    file_.add_array("state", {DType::f32, {info.samples, variables}}, info.compression);
    file_.add_array("cv", {DType::f32, {info.samples, cvs}}, info.compression);
    file_.add_array("window", {DType::i64, {info.samples}}, info.compression);
    if (info.weighted) file_.add_array("weight", {DType::f64, {info.samples}}, info.compression);
    file_.attribute("/", "system", info.system);
    if (!info.configuration.empty()) file_.attribute("/", "configuration", info.configuration);
    file_.attribute("state", "variables", info.variables);
    file_.attribute("state", "units", or_empty(info.units, info.variables.size()));
    file_.attribute("cv", "variables", info.cvs);
    file_.attribute("cv", "units", or_empty(info.cv_units, info.cvs.size()));
    if (info.weighted)
        file_.attribute("weight", "units", "1 (natural logarithm of the unbiasing weight)");
    if (!info.centers.empty()) {
        file_.attribute("window", "centers", info.centers);
        file_.attribute("window", "stiffness", info.stiffness);
    }
    constexpr std::size_t kMostNumbers = 4096;  // that an attribute of HDF5 holds
    if (!info.blocks.empty() && info.blocks.size() <= kMostNumbers) file_.attribute("window", "blocks", info.blocks);
}

void SamplesWriter::append(index count, const float* state, index stride, const float* cv,
                           index cv_stride, const int* window, const double* log_weight) {
    const auto rows_of = [](const float* from, index from_stride, index first, index rows, std::size_t columns,
                            std::vector<float>& out) {
        out.resize(static_cast<std::size_t>(rows) * columns);
        for (std::size_t d = 0; d < columns; ++d) {
            const float* column = from + static_cast<index>(d) * from_stride + first;
            for (index i = 0; i < rows; ++i) out[static_cast<std::size_t>(i) * columns + d] = column[i];
        }
    };
    for (index first = 0; first < count; first += kPieceRows) {
        check_stop();
        const index rows = std::min(kPieceRows, count - first);
        rows_of(state, stride, first, rows, info_.variables.size(), states_);
        rows_of(cv, cv_stride, first, rows, info_.cvs.size(), cvs_);
        windows_.assign(window + first, window + first + rows);
        append_rows(rows, states_.data(), cvs_.data(), windows_.data(), log_weight ? log_weight + first : nullptr);
    }
}

void SamplesWriter::append_rows(index count, const float* state, const float* cv, const long long* window,
                                const double* log_weight) {
    file_.write("state", written_, count, state);
    file_.write("cv", written_, count, cv);
    file_.write("window", written_, count, window);
    if (info_.weighted) file_.write("weight", written_, count, log_weight);
    written_ += count;
}

void SamplesWriter::finish() {
    if (written_ != info_.samples) {
        throw std::logic_error("samples file: " + std::to_string(written_) + " samples of " +
                               std::to_string(info_.samples) + " were written");
    }
    file_.commit();
}

SamplesReader::SamplesReader(const std::filesystem::path& file) : file_(file, "samples") {
    const ArrayInfo& state = file_.info("state", DType::f32);
    const ArrayInfo& cv = file_.info("cv", DType::f32);
    info_.samples = state.rows();
    info_.variables = file_.texts("state", "variables");
    info_.units = file_.texts("state", "units");
    info_.cvs = file_.texts("cv", "variables");
    info_.cv_units = file_.texts("cv", "units");
    const auto told = [&](const char* name) {
        const auto found = file_.attributes().find(name);
        return found == file_.attributes().end() ? std::string() : found->second;
    };
    info_.weighted = file_.has("weight");
    info_.system = told("system");
    info_.configuration = told("configuration");
    const auto is_matrix = [&](const ArrayInfo& array, std::size_t columns) {
        return array.shape.size() == 2 && array.shape[0] == info_.samples &&
               array.shape[1] == static_cast<index>(columns);
    };
    if (!is_matrix(state, info_.variables.size())) {
        bad_shape(file_, "state");
    }
    if (!is_matrix(cv, info_.cvs.size())) {
        bad_shape(file_, "cv");
    }
    if (file_.has_attribute("window", "centers")) {
        info_.centers = file_.numbers("window", "centers");
        if (info_.cvs.empty() || info_.centers.size() % info_.cvs.size() != 0) {
            bad_shape(file_, "window");
        }
        info_.stiffness = file_.numbers("window", "stiffness");
    }
    if (file_.has_attribute("window", "blocks")) {
        info_.blocks = file_.numbers("window", "blocks");
        double rows = 0;
        bool sound = info_.blocks.size() % 4 == 0;
        for (std::size_t b = 0; sound && b < info_.blocks.size(); b += 4) {
            const double* block = &info_.blocks[b];
            for (int i = 0; i < 4; ++i) sound = sound && block[i] >= (i == 0 ? 0 : 1) && block[i] == std::floor(block[i]) && block[i] < 1e15;
            rows += block[1] * block[2] * block[3];
        }
        if (!sound || rows != static_cast<double>(info_.samples)) bad_shape(file_, "window");
    }
    for (const auto& [name, type] : {std::pair("window", DType::i64), std::pair("weight", DType::f64)}) {
        if (type == DType::f64 && !info_.weighted) continue;
        const ArrayInfo& array = file_.info(name, type);
        if (array.shape.size() != 1 || array.shape[0] != info_.samples) {
            bad_shape(file_, name);
        }
    }
}

[[noreturn]] void SamplesReader::refuse(index sample, const std::string& what) const {
    throw InputError(file_.file().string() + ": sample " + std::to_string(sample) + " has " + what +
                     "; take a copy that is whole, or run again");
}

void SamplesReader::check(index first, index count, const float* state, const float* cv,
                          const long long* window, const double* log_weight) const {
    const auto finite = [&](const float* rows, const std::vector<std::string>& names,
                            const char* what) {
        const auto columns = static_cast<index>(names.size());
        for (index i = 0; rows != nullptr && i < count * columns; ++i)
            if (!std::isfinite(rows[i]))
                refuse(first + i / columns, std::string("a ") + what + " '" +
                                                names[static_cast<std::size_t>(i % columns)] +
                                                "' that is not finite");
    };
    finite(state, info_.variables, "variable");
    finite(cv, info_.cvs, "collective variable");
    const auto columns = static_cast<index>(info_.cvs.size());
    const index windows = columns > 0 ? static_cast<index>(info_.centers.size()) / columns : 0;
    for (index i = 0; i < count; ++i) {
        if (window != nullptr && (window[i] < 0 || (windows > 0 && window[i] >= windows)))
            refuse(first + i, "window " + std::to_string(window[i]) + ", which does not exist");
        // A sample without weight has the logarithm −∞.
        if (log_weight != nullptr &&
            !(log_weight[i] < std::numeric_limits<double>::infinity()))
            refuse(first + i, "a weight that is not finite");
    }
}

void SamplesReader::read(index first, index count, float* state, float* cv, long long* window,
                         double* log_weight) const {
    const std::pair<const char*, void*> wanted[] = {
        {"state", state}, {"cv", cv}, {"window", window}, {"weight", log_weight}};
    for (const auto& [name, out] : wanted) {
        if (out != nullptr) {
            file_.read(name, first, count, out);
        }
    }
    check(first, count, state, cv, window, log_weight);
}

}  // namespace microlift
