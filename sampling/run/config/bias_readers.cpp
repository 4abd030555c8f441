#include "sampling/run/config/bias_readers.h"

#include "sampling/bias/methods.h"
#include "sampling/work/anneal_config.h"
#include "sampling/work/steered_config.h"
#include "sampling/work/string_config.h"

namespace microlift {

namespace {

template <auto describe>
std::string in_words(const BiasConfig& bias, const UmbrellaConfig& umbrella, double /*kt*/) {
    return describe(bias, umbrella);
}

constexpr BiasReader kShared{"", "bins pace freeze target_error ", read_bias, describe_bias};
constexpr BiasReader kReaders[] = {
    {"steered", "stiffness path move heat heat_steps", read_steered, in_words<describe_steered>, true, "work"},
    {"population_annealing", "hottest rungs anneal", read_annealing, in_words<describe_annealing>},
    {"string", "stiffness path heat heat_steps images iterations lag smooth", read_string, in_words<describe_string>, true,
     "mean_force"},
};

}  // namespace

const BiasReader& bias_reader(std::string_view method) {
    for (const BiasReader& reader : kReaders)
        if (reader.method == method) return reader;
    return kShared;
}

std::vector<MethodKeys> bias_method_keys() {
    std::vector<MethodKeys> methods;
    for (const BiasMethodEntry& entry : bias_methods())
        if (entry.adaptive) methods.push_back({entry.name, std::string(kShared.keys) + entry.keys});
    for (const BiasReader& reader : kReaders) methods.push_back({reader.method, reader.keys});
    return methods;
}

void add_bias_methods(Schema& schema) {
    for (KeySpec& key : schema.keys)
        if (key.path == "bias.method")
            for (const MethodKeys& entry : bias_method_keys()) key.choices.push_back(entry.method);
}

}  // namespace microlift
