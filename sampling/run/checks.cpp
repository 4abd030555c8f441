#include "sampling/run/checks.h"

#include <stdexcept>

namespace microlift {

const std::vector<RunCheck>& run_checks() {
    static const std::vector<RunCheck> table{
        // Before the first step; what they find is refused.
        {"starts", "forces, noise and collective variables are finite where the windows begin",
         "forces, noise and collective variables are finite where trajectories begin"},
        {"ends", "windows keep away from where a collective variable jumps or ends",
         "the bias keeps away from where a collective variable jumps or ends"},
        {"independent", "the two collective variables do not depend on one another"},
        {"spacing", "single precision has numbers between a step's ends and within a window",
         "single precision has numbers between a step's ends"},
        {"balance", "drift and noise have detailed balance"},
        // While sampling.
        {"finite", "every state stayed finite"},
        {"temperature", "a molecule's velocities have its temperature"},
        {"acceptance", "steps and jumps that have to be accepted are"},
        {"ends_settled", "walkers were in equilibrium at both ends of the path before they were pulled"},
        {"work", "walkers that went forward and back did the same work often enough, and as Crooks' relation asks"},
        {"string", "the string no longer moves"},
        {"population", "walkers at the end have many ancestors, and islands agree on the partition function"},
        // What the data say against themselves.
        {"samples", "windows overlap, what they sample moves, and errors rest on enough blocks",
         "what is sampled moves, and errors rest on enough blocks"},
        {"equilibration", "every window equilibrated for several relaxation times",
         "trajectories equilibrated for several relaxation times"},
        {"halves", "the two halves of the data agree"},
        {"windows", "every window agrees with what its neighbours say of it"},
        {"estimators", "two estimators agree"},
        {"round", "the mean force does no work on the way round a period"},
        {"stationary", "means do not drift within the windows", "means do not drift"},
        {"flat", "the collective variables change wherever the samples are"},
        {"jumps", "no collective variable jumps between samples that follow each other"},
        {"basins", "in every window trajectories meet in the basins of every torsion",
         "trajectories meet in the basins of every torsion"},
        {"exact", "free energy and conditional averages agree with the exact ones within their errors"},
        // Steps and single precision, at the run's own states.
        {"steps", "forces at the run's own states show no sign of too long a time step"},
        {"single_force", "single precision is enough for the forces at the run's own states"},
        {"single_state", "single precision resolves the noise of a step at the run's own states"},
        {"single_variable", "single precision resolves the bins of the collective variables"},
        {"single_energy", "single precision is enough for the energies that acceptances see"},
        {"bins", "the bins are narrower than the features of the free energy"},
        // Generated states.
        {"held_out", "held-out samples judged the generator"},
        {"relaxation", "lifted states relax within the steps they are given"},
        {"generated", "lifted states are near those of the physics"},
        {"outside", "the generator was asked only where there are samples"},
        {"weights", "the generator's density can be used for weights"},
        {"energies", "energies of lifted states can be compared"},
        {"coupled", "samples agree with reweighted lifted states"},
        // What follows.
        {"learned", "learned coordinates hold beyond the samples they were learned from"},
        {"closure", "closures are resolved, and agree with one another and with the full model"},
    };
    return table;
}

namespace {

const RunCheck& find_check(const std::string& name) {
    for (const RunCheck& check : run_checks())
        if (name == check.name) return check;
    throw std::logic_error("no check is called '" + name + "'");
}

Json& entry_of(Run& run, const RunCheck& check) {
    Json& list = run.record["checks"];
    for (std::size_t i = 0; i < list.size(); ++i)
        if (list[i].value("name", "") == check.name) return list[i];
    const bool without = run.config.bias.enabled || (run.config.samples.enabled && run.config.samples.windows.empty());
    const char* passed = without && check.without_windows ? check.without_windows : check.passed;
    list.push_back({{"name", check.name}, {"passed", passed}, {"found", false}});
    return list.back();
}

std::size_t warnings_of(const Run& run) {
    const Json* list = run.record.metrics.find("warnings");
    return list ? list->size() : 0;
}

}  // namespace

Checking::Checking(Run& run, const char* name)
    : run_(run), check_(find_check(name)), warned_(warnings_of(run)) {
    entry_of(run, check_);
}

Checking::~Checking() {
    if (warnings_of(run_) > warned_) entry_of(run_, check_)["found"] = true;
}

void note_check(Run& run, const std::string& name, bool found) {
    entry_of(run, find_check(name))["found"] = found;
}

}  // namespace microlift
