// Fuzzes the reader of learned coordinates: any text with a right checksum is refused with an InputError,
// or becomes expressions.
#include <cstdlib>

#include "engine/files/checked_json.h"
#include "sampling/formula/learned_cv.h"
#include "tests/fuzz/fuzz.h"

std::vector<std::string> fuzz_seeds() {
    const std::string one =
        R"({"format":"microlift diffusion map 1","variables":["x","y"],"features":[],"length2":0.5,)"
        R"("landmarks":[0,0,1,1],"values":[0.5,-0.5],"outside":[0.1],"fit_error":[0.01],"low":[-1],"high":[1]})";
    std::string two = one;
    two.replace(two.find("[],\"length2"), 2, R"(["x*y"])");
    return {one, two};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::optional<Json> json = Json::parse(text);
    try {
        const LearnedCoordinates learned = parse_learned(
            json && json->is_object() && json->size() > 0 ? checked_json(*json) : std::string(text), "fuzz");
        Expressions graph;
        Symbols symbols;
        symbols.variables = learned.variables;
        for (int k = 1; k <= learned.coordinates() && k < 4; ++k) learned.build(graph, symbols, k);
    } catch (const InputError&) {  // FormulaErrors are among them
    }
    return 0;
}
