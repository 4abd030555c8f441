// Generated states of a molecule beside stored samples: `molecule` in metrics.json.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>

#include "engine/files/store.h"
#include "engine/launch/gather.h"
#include "kernels/random/streams.h"
#include "sampling/lift/molecule_laws.h"
#include "sampling/lift/molecule_proposals.h"
#include "sampling/lift/proposals.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/checks.h"
#include "sampling/run/lifted.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kJudged = 4000;     // samples, and states made at their values
constexpr index kWeighed = 12000;   // states at all values together: a density takes a derivative along
                                    // each coordinate
constexpr double kLeastShare = 0.01;  // effective, of weights that are believed

constexpr std::pair<LawKind, const char*> kKinds[] = {
    {LawKind::bond, "bonds"}, {LawKind::angle, "angles"}, {LawKind::torsion, "torsions"}};

// Samples, evenly spread, and states lifted to the values that they have.
struct PairedStates {
    index n = 0;
    std::vector<float> physics;
    Buffer<float> s, x;
};

PairedStates paired_states(Run& run, Lifter& lifter) {
    const SampleSet& samples = run.samples;
    PairedStates pairs;
    pairs.n = std::min(samples.n, kJudged);
    const std::vector<index> which = spread_over(samples.n, pairs.n);
    Buffer<index> on_device(run.device, pairs.n);
    copy_to_device(run.stream, on_device.span(), which.data());
    const Span<const index> chosen(on_device.data(), pairs.n);
    const int D = run.model.dim();
    pairs.s = Buffer<float>(run.device, run.model.n_cvs() * pairs.n);
    pairs.x = Buffer<float>(run.device, D * pairs.n);
    gather_columns(run.stream, samples.xi.data(), samples.row, run.model.n_cvs(), chosen, pairs.s.data());
    gather_columns(run.stream, samples.x.data(), samples.row, D, chosen, pairs.x.data());
    pairs.physics = to_host(run.stream, std::as_const(pairs.x).span());
    lifter.lift(pairs.s.span(), pairs.n, derived_seed(run.config.seed, 4020), 0, pairs.x.span());
    return pairs;
}

Json laws_json(const MoleculeLaws& laws) {
    Json json;
    for (const auto& [kind, name] : kKinds)
        json[name] = {{"mean_w1_over_sigma", laws.mean(kind)}, {"worst_w1_over_sigma", laws.worst(kind)}};
    json["clashes"] = laws.clashes;
    return json;
}

// One entry a law, with what samples of this size tell.
Json list_of(const Molecule& molecule, const MoleculeLaws& generated, const MoleculeLaws* healed) {
    Json list = Json::array();
    for (std::size_t k = 0; k < generated.laws.size(); ++k) {
        const MoleculeLaw& law = generated.laws[k];
        std::string atoms;
        for (const index a : law.atoms) {
            const Atom& atom = molecule.atoms[static_cast<std::size_t>(a)];
            atoms += (atoms.empty() ? "" : "-") + atom.residue + ":" + atom.name;
        }
        Json entry{{"atoms", atoms}, {"deviation", law.deviation}, {"floor", law.floor}, {"generated", law.distance}};
        if (healed) entry["healed"] = healed->laws[k].distance;
        list.push_back(entry);
    }
    return list;
}

void compare_with_samples(Run& run, StageMeter& meter, Lifter& lifter) {
    const Molecule& molecule = run.model.molecule()->molecule;
    PairedStates pairs = paired_states(run, lifter);
    const auto compare = [&] {
        return compare_laws(molecule, to_host(run.stream, std::as_const(pairs.x).span()), pairs.n, pairs.physics,
                            pairs.n);
    };
    const MoleculeLaws generated = compare();
    // For the report's maps: torsions at the values of the same samples.
    const auto T = std::ssize(run.model.torsion_names());
    const auto angles = [&] { return torsion_angles(run, std::as_const(pairs.x).span(), pairs.n, pairs.n); };
    Store file;
    std::vector<float> values = to_host(run.stream, std::as_const(pairs.s).span());
    file.put("cv", std::move(values), {run.model.n_cvs(), pairs.n});
    if (T > 0) file.put("generator", angles(), {pairs.n, T});
    Json& record = run.record["molecule"];
    record["states"] = pairs.n;
    if (std::isfinite(generated.closest_of_physics))
        record["closest_of_physics"] = generated.closest_of_physics;
    record["generated"] = laws_json(generated);
    const index steps = healing_steps(run);
    if (steps == 0) {
        record["laws"] = list_of(molecule, generated, nullptr);
        file.save(run.dir / "lifted_torsions.h5", "torsions");
        return;
    }
    heal(run, meter, pairs.s, pairs.n, steps, 4021, pairs.x);
    const MoleculeLaws healed = compare();
    if (T > 0) file.put("healed", angles(), {pairs.n, T});
    file.save(run.dir / "lifted_torsions.h5", "torsions");
    record["healed"] = laws_json(healed);
    record["laws"] = list_of(molecule, generated, &healed);
}

void weigh_states(Run& run, Lifter& lifter) {
    const Molecule& molecule = run.model.molecule()->molecule;
    if (run.config.lifting.proposals == 0 ||
        !MoleculeProposer::refusal(molecule, lifter.coordinates(), lifter.generator()).empty())
        return;
    const std::vector<CvValue> values = judged_values(run);
    const index count = std::ssize(values);
    const index each = std::clamp<index>(kWeighed / count, 16, std::max<index>(16, run.config.lifting.proposals));
    const index n = count * each;
    const Buffer<float> s = conditions(run, values, each);
    Buffer<float> x(run.device, run.model.dim() * n), weight(run.device, n);
    MoleculeProposer proposer(run.stream, molecule, run.model.kt() / kGasConstant, lifter.coordinates(),
                              lifter.generator());
    proposer.propose({s.data(), run.model.n_cvs(), n, n}, derived_seed(run.config.seed, 4022), kStreamProposal, 0,
                     {x.data(), run.model.dim(), n, n}, weight.data());
    // The first coordinate stands for functions, of which none is averaged here.
    const ConditionalAverages weighed = importance_averages(
        run.stream, {x.span().subspan(0, n), n, 1, std::as_const(weight).span(), count, each});
    Json list = Json::array();
    double greatest = -HUGE_VAL;
    for (const double z : weighed.log_z)
        if (z > greatest) greatest = z;
    for (index i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>(i);
        list.push_back({{"cv", cv_json(run.grid.dims, values[at])},
                        {"effective", weighed.quality[at]},
                        {"unusable", weighed.unusable[at]},
                        {"free_energy", run.model.kt() * (greatest - weighed.log_z[at])},
                        {"free_energy_se", run.model.kt() * weighed.log_z_error[at]}});
    }
    std::vector<double> shares = weighed.quality;
    std::sort(shares.begin(), shares.end());
    Json& record = run.record["proposals"];
    record["each"] = each;
    record["values"] = list;
    record["effective"] = {{"median", shares[shares.size() / 2]}, {"worst", shares.front()}};
    const auto worst = std::min_element(weighed.quality.begin(), weighed.quality.end()) - weighed.quality.begin();
    if (shares.front() < kLeastShare)
        run.warn("weights of generated states are uneven at " + run.model.cv_names()[0] + " = " +
                 number(values[static_cast<std::size_t>(worst)][0]) + ": " +
                 number(shares.front() * static_cast<double>(each)) + " effective of " + std::to_string(each) +
                 "; train longer, or sample more there");
}

}  // namespace

void judge_molecule(Run& run) {
    const Checking check(run, "weights");
    run.progress.begin("judge states of the molecule", 2, "passes");
    StageMeter meter(run.record, "molecule");
    Lifter lifter = make_lifter(run);
    compare_with_samples(run, meter, lifter);
    run.progress.update(1);
    weigh_states(run, lifter);
    run.progress.update(2);
    run.progress.end();
}

}  // namespace microlift
