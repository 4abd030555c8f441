// Which devices the other tests run on.
#include <cstdlib>
#include <string>

#include <doctest/doctest.h>

#include "tests/support/devices.h"

namespace microlift {

TEST_CASE("devices: the CPU is always tested") {
    REQUIRE(!test_devices().empty());
    CHECK(test_devices()[0].is_cpu());
    MESSAGE("tested on " << test_devices()[0].description());
}

TEST_CASE("devices: a GPU, where there is one") {
    const char* value = std::getenv("MICROLIFT_REQUIRE_CUDA");
    const bool required = value && std::string(value) == "1";
    if (test_devices().size() > 1) {
        CHECK(!test_devices()[1].is_cpu());
        MESSAGE("tested on " << test_devices()[1].description());
    } else if (required) {
        FAIL("MICROLIFT_REQUIRE_CUDA=1, but there is no CUDA device: "
             << std::string(kHaveCuda ? "none answers" : "microlift was built without CUDA"));
    } else {
        MESSAGE("skipped: no CUDA device ("
                << std::string(kHaveCuda ? "none answers" : "built without CUDA")
                << "); its kernels run in the block harness and through the CPU only");
    }
}

}  // namespace microlift
