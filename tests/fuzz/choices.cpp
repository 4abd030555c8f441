#include "tests/fuzz/fuzz.h"

namespace microlift {

double Choices::number() {
    static constexpr double kHard[] = {0, -0.0, 1, -1, 1e308, -1e308, 5e-324, 1e18, -1e18, 4294967296.0, 0.5};
    const std::uint8_t b = byte();
    if (b < 11) return kHard[b];
    if (b == 11) return __builtin_nan("");
    if (b == 12) return __builtin_inf();
    if (b == 13) return -__builtin_inf();
    return (static_cast<double>(b) - 128.0) / 16.0;
}

long long Choices::whole() {
    static constexpr long long kHard[] = {0, 1, -1, 2147483647, 2147483648LL, 4294967296LL, 1000000000LL,
                                          9223372036854775807LL, -9223372036854775807LL - 1, 1LL << 62};
    const std::uint8_t b = byte();
    return b < 10 ? kHard[b] : static_cast<long long>(b) - 128;
}

}  // namespace microlift
