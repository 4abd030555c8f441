// Fuzzes what describes samples made elsewhere: behind a 'c' a COLVAR file, behind a 'w' a table of windows, else the
// tensors that a run keeps of all samples.
#include <cmath>
#include <string>

#include "engine/error.h"
#include "sampling/samples/files/colvar.h"
#include "sampling/samples/files/window_table.h"
#include "sampling/samples/given_samples.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/molecule_check.h"

namespace microlift {
namespace {

// Two trajectories of x and y, some of whose tensors other numbers take the place of.
SafeTensors tensors(Choices choices) {
    GivenSamples samples;
    samples.variables = {"x", "y"};
    samples.state = {1, 2, 3, 4, 5, 6};
    samples.lengths = {2, 1};
    samples.window = {0, 1};
    samples.center = {{-1, 0}, {1, 0}};
    samples.stiffness = {{2, 0}, {2, 0}};
    if (choices.byte() % 2) samples.log_weight = {0.5, -1, 0};
    SafeTensors content = samples.tensors();
    const char* const names[] = {"state", "lengths", "window", "center", "stiffness", "log_weight"};
    while (choices.more()) {
        const std::string name = names[choices.below(6)];
        const std::size_t count = choices.below(7);
        std::vector<float> singles;
        std::vector<double> doubles;
        std::vector<uint64> words;
        for (std::size_t i = 0; i < count; ++i) {
            singles.push_back(static_cast<float>(choices.number()));
            doubles.push_back(choices.number());
            words.push_back(static_cast<uint64>(choices.whole()));
        }
        switch (choices.byte() % 5) {
            case 0: content.tensors[name] = Tensor::of(singles); break;
            case 1: content.tensors[name] = Tensor::of(doubles); break;
            case 2: content.tensors[name] = Tensor::of(words); break;
            case 3: content.tensors.erase(name); break;
            default: content.metadata["variables"] = std::string(count, ','); break;
        }
    }
    return content;
}

void check(const GivenSamples& samples) {
    const index n = samples.rows();
    abort_unless(n > 0 && n * std::ssize(samples.variables) == std::ssize(samples.state));
    const GivenSamples::Columns columns = samples.columns();
    abort_unless(std::ssize(columns.row) == n);
    index next = 0;
    for (const SampleBlock& block : columns.blocks) {
        abort_unless(block.first == next && block.size() > 0);
        next += block.size();
    }
    abort_unless(next == n);
    for (const index row : columns.row) abort_unless(row >= 0 && row < n);
}

}  // namespace
}  // namespace microlift

std::vector<std::string> fuzz_seeds() {
    return {"c#! FIELDS time phi metad.bias\n#! SET min_phi -pi\n#! SET max_phi pi\n 0 1.0 2\n 1 1.5 2\n",
            "c#! FIELDS time a\n0 1\n#! FIELDS time a\n1 2\n",
            "c#! FIELDS time a\n#! SET min_a -0.5*pi\n#! SET max_a 2\n0 1e300\n1 nan\n",
            "wfile,center,stiffness\na.dcd,0.5,100\n\"b.dcd\",1,2e3\n", "wcenter_1,center_2,kappa_1,kappa_2\n1,2,3,4\n",
            "g", "g\1", std::string("g\1\0\1\0\3\1\2\3", 9)};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    if (size == 0) return 0;
    const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
    try {
        if (data[0] == 'c') {
            const Colvar colvar = read_colvar(TextFile("fuzz", text));
            abort_unless(colvar.rows() > 0 && colvar.period.size() == colvar.names.size() &&
                         colvar.values.size() == colvar.names.size() * colvar.lines.size());
            for (const double v : colvar.values) abort_unless(std::isfinite(v));
            for (const auto& period : colvar.period) abort_unless(!period || period->first < period->second);
        } else if (data[0] == 'w') {
            for (const std::vector<std::string>& cvs : {std::vector<std::string>{"phi"}, {"phi", "psi"}})
                for (const WindowRow& row : read_window_table(TextFile("fuzz", text), cvs))
                    for (std::size_t k = 0; k < cvs.size(); ++k)
                        abort_unless(std::isfinite(row.center[k]) && row.stiffness[k] >= 0);
        } else {
            check(GivenSamples::of(tensors({data + 1, size - 1}), "fuzz"));
        }
    } catch (const InputError& error) {
        const std::string message = error.what();
        abort_unless(!message.empty() && message.find('\n') == std::string::npos);
    }
    return 0;
}
