#include "sampling/model/state_formulas.h"

#include "sampling/dynamics/systems.h"
#include "sampling/model/model.h"

namespace microlift {

StateFormulas::StateFormulas(const ModelConfig& model) : symbols_(symbols_of(model.system)) {
    const SystemConfig& system = model.system;
    std::string potential = system.potential;
    std::vector<std::string> drift = system.drift;
    if (!system.is_formula()) {
        potential = find_system(system.name).potential;
        drift = find_system(system.name).drift;
    }
    const int n = static_cast<int>(symbols_.variables.size());
    if (!potential.empty()) {
        potential_ = parse_formula(graph_, potential, symbols_);
        force_ = graph_.gradient(*potential_, n);
    }
    for (const std::string& f : drift) force_.push_back(parse_formula(graph_, f, symbols_));
    for (const CvVariable& cv : model.cv.variables) cvs_.push_back(parse_formula(graph_, cv.formula, symbols_));
}

}  // namespace microlift
