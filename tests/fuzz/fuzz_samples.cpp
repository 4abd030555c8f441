// Fuzzes the reader of samples: files with a right checksum and any arrays, names and values.
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "sampling/samples/samples_file.h"
#include "tests/fuzz/fuzz.h"

namespace microlift {

namespace {


void write(const std::filesystem::path& file, Choices& choices) {
    ArrayFileWriter out(file, "samples", 0);
    const index rows = static_cast<index>(choices.below(6));
    const auto other = [&](index n) { return choices.byte() > 235 ? n + 1 : n; };
    for (const char* name : {"state", "cv", "window", "weight"}) {
        if (choices.byte() > 245) continue;
        const bool table = name[0] == 's' || name[0] == 'c';
        DType type = table ? DType::f32 : name[1] == 'i' ? DType::i64 : DType::f64;
        if (choices.byte() > 235) type = static_cast<DType>(choices.below(4));
        std::vector<index> shape{other(rows)};
        if (table) shape.push_back(other(2));
        out.add_array(name, {type, shape});
        const ArrayInfo info{type, shape};
        std::vector<double> f64;
        std::vector<float> f32;
        std::vector<long long> i64;
        std::vector<std::uint8_t> u8;
        for (index i = 0; i < info.count(); ++i) {
            f64.push_back(choices.number());
            f32.push_back(static_cast<float>(f64.back()));
            i64.push_back(choices.byte() > 200 ? choices.whole() : 0);
            u8.push_back(0);
        }
        const void* data[] = {f32.data(), f64.data(), i64.data(), u8.data()};
        out.write(name, 0, info.rows(), data[static_cast<int>(type)]);
        if (table && choices.byte() < 245) {
            out.attribute(name, "variables", std::vector<std::string>(static_cast<std::size_t>(other(2)), "x"));
            out.attribute(name, "units", std::vector<std::string>(2, "1"));
        }
        if (name[1] == 'i' && choices.byte() < 200)
            out.attribute(name, "centers", std::vector<double>(static_cast<std::size_t>(other(4)), 0.5));
    }
    out.commit();
}

}  // namespace

void fuzz_one(const std::uint8_t* data, std::size_t size);

}  // namespace microlift

std::vector<std::string> fuzz_seeds() {
    return {std::string(200, '\x20'), std::string("\0\3", 2) + std::string(300, '\x80'), std::string(40, '\xe0')};
}

void microlift::fuzz_one(const std::uint8_t* data, std::size_t size) {
    static const std::filesystem::path file =
        std::filesystem::temp_directory_path() / ("microlift_fuzz_" + std::to_string(::getpid()) + ".h5");
    Choices choices(data, size);
    write(file, choices);
    try {
        const SamplesReader reader(file);
        const SamplesInfo& info = reader.info();
        const auto n = static_cast<std::size_t>(info.samples);
        std::vector<float> state(n * info.variables.size()), cv(n * info.cvs.size());
        std::vector<long long> window(n);
        std::vector<double> weight(n);
        reader.read(0, info.samples, state.data(), cv.data(), window.data(), weight.data());
        for (const float v : state)
            if (!std::isfinite(v)) std::abort();
        for (const float v : cv)
            if (!std::isfinite(v)) std::abort();
        for (const long long w : window)
            if (w < 0) std::abort();
    } catch (const InputError&) {
    }
    std::filesystem::remove(file);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    microlift::fuzz_one(data, size);
    return 0;
}
