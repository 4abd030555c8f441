#include "sampling/estimate/estimators.h"

#include "engine/error.h"
#include "sampling/estimate/umbrella_integration.h"

namespace microlift {

const std::vector<Estimator>& estimators() {
    static const std::vector<Estimator> table{
        {"mbar", true, 2, estimate_mbar},
        {"wham", false, 2, estimate_wham},
        {"umbrella_integration", false, 1, estimate_umbrella_integration},
    };
    return table;
}

const Estimator& find_estimator(const std::string& name) {
    std::string names;
    for (const Estimator& e : estimators()) {
        if (e.name == name) return e;
        names += (names.empty() ? "" : ", ") + std::string(e.name);
    }
    throw InputError("no estimator is called '" + name + "'; there are " + names);
}

}  // namespace microlift
