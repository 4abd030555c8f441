#include "sampling/run/config/bias_readers.h"

#include "sampling/work/anneal_config.h"
#include "sampling/work/steered_config.h"
#include "sampling/work/string_config.h"

namespace microlift {

namespace {

template <auto describe>
std::string in_words(const BiasConfig& bias, const UmbrellaConfig& umbrella, double /*kt*/) {
    return describe(bias, umbrella);
}

constexpr BiasReader kShared{"", read_bias, describe_bias};
constexpr BiasReader kReaders[] = {
    {"steered", read_steered, in_words<describe_steered>, true, "work"},
    {"string", read_string, in_words<describe_string>, true, "mean_force"},
    {"population_annealing", read_annealing, in_words<describe_annealing>},
};

}  // namespace

const BiasReader& bias_reader(std::string_view method) {
    for (const BiasReader& reader : kReaders)
        if (reader.method == method) return reader;
    return kShared;
}

}  // namespace microlift
