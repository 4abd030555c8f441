// Fuzzes the reader of weight files: whatever the bytes, content or an InputError.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "engine/error.h"
#include "engine/files/safetensors.h"
#include "tests/fuzz/fuzz.h"

std::vector<std::string> fuzz_seeds() {
    using namespace microlift;
    SafeTensors content;
    content.tensors["a"] = Tensor::of(std::vector<float>{1, 2, 3, 4}, {2, 2});
    content.tensors["b"] = Tensor::of(std::vector<double>{5});
    content.metadata["kind"] = "cgan";
    const std::vector<std::byte> bytes = format_safetensors(content);
    return {std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), std::string(8, '\0') + "{}"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    try {
        const SafeTensors content =
            parse_safetensors({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
        const std::vector<std::byte> bytes = format_safetensors(content);
        const SafeTensors again = parse_safetensors(bytes, "again");
        if (again.tensors.size() != content.tensors.size()) {
            std::abort();
        }
    } catch (const InputError& error) {
        if (std::string(error.what()).rfind("again", 0) == 0) {
            std::abort();
        }
    }
    return 0;
}
