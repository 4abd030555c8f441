// Starts whose atoms overlap: what a step cannot leave is minimised, and nothing else.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/error.h"
#include "sampling/lift/descents.h"
#include "sampling/model/ensembles.h"
#include "sampling/molecule/files/coordinates.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/config/run_config.h"

namespace microlift {
namespace {

const std::string kData = MICROLIFT_SOURCE_DIR "/bench/data/";

// CLN025 with rigid bonds, along the distance of its ends.
RunConfig peptide() {
    return parse_run_config("[system]\nkind = \"molecule\"\ntopology = \"" + kData + "cln025.prmtop\"\ncoordinates = \"" +
                                kData + "cln025.inpcrd\"\nconstraints = \"h_bonds\"\nhydrogen_mass = 3.0\n"
                                "[cv]\nvariables = [{ kind = \"distance\", atoms = [4, 146] }]\n[integrator]\ndt = "
                                "0.004\n[umbrella]\nfrom = 1.0\nto = 3.0\nwindows = 2\nstiffness = 1.0\n",
                            "peptide.toml");
}

std::vector<float> coordinates(const char* file) {
    const std::vector<double> places = read_coordinates(TextFile(kData + file), 166).position;
    return {places.begin(), places.end()};
}

// Whether 200 free steps from every state of x stay finite.
bool runs(Stream& stream, const Model& model, const IntegratorConfig& integrator, Span<const float> x, index n) {
    const std::unique_ptr<Ensemble> free = free_ensemble(stream, model, integrator, integrator.dt, n, 1);
    copy(stream, free->x(), x);
    try {
        free->advance(200);
        free->check_finite([](index t) { return std::to_string(t); });
        return true;
    } catch (const NumericError&) {
        return false;
    }
}

}  // namespace

TEST_CASE("descents: overlapping atoms come apart, so that steps do not blow up; other states keep their bits") {
    const RunConfig run = peptide();
    const Model model(run);
    Stream stream(Device::cpu(2));
    // As tleap stretches it, with a hydrogen of PRO 4 on another atom; and folded.
    const std::vector<float> wild = coordinates("cln025.inpcrd"), calm = coordinates("cln025_folded.inpcrd");
    const index D = model.dim(), n = 3;
    std::vector<float> states(static_cast<std::size_t>(D * n));
    for (index d = 0; d < D; ++d) {
        const auto i = static_cast<std::size_t>(d);
        states[3 * i] = states[3 * i + 2] = calm[i];
        states[3 * i + 1] = wild[i];
    }
    Buffer<float> x(stream.device(), D * n);
    copy_to_device(stream, x.span(), states.data());
    CHECK_FALSE(runs(stream, model, run.integrator, x.span(), n));
    CHECK(descend_wild_states(stream, model, run.integrator, n, x.span()) == std::vector<index>{1});
    const std::vector<float> after = to_host(stream, std::as_const(x).span());
    for (std::size_t i = 0; i < after.size(); ++i)
        if (i % 3 != 1) CHECK(after[i] == states[i]);
    CHECK(wild_states(stream, model, run.integrator, std::as_const(x).span(), n).empty());
    CHECK(runs(stream, model, run.integrator, x.span(), n));
    for (const RigidBond& bond : model.molecule()->molecule.rigid_bonds) {
        double square = 0;
        for (index c = 0; c < 3; ++c) {
            const auto place = [&](index atom) {
                return static_cast<double>(after[static_cast<std::size_t>(3 * (3 * atom + c) + 1)]);
            };
            square += std::pow(place(bond.atoms[0]) - place(bond.atoms[1]), 2);
        }
        CHECK(std::sqrt(square) == doctest::Approx(bond.length).epsilon(1e-4));
    }
}

}  // namespace microlift
