// Molecules that are held at a value: the umbrella is as stiff as steps bear.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "sampling/lift/lifting.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

TEST_CASE("healing: a torsion of a peptide is held at steps of 4 fs as at 2 fs") {
    const std::string data = MICROLIFT_SOURCE_DIR "/bench/data/ala4.";
    for (const char* dt : {"0.002", "0.004"}) {
        CAPTURE(dt);
        const RunConfig run = parse_run_config(
            "[system]\nkind = \"molecule\"\ntopology = \"" + data + "prmtop\"\ncoordinates = \"" + data +
                "inpcrd\"\nconstraints = \"h_bonds\"\nhydrogen_mass = 3.0\n[cv]\nvariables = "
                "[{ kind = \"dihedral\", atoms = [16, 18, 24, 26] }]\n[integrator]\ndt = " + dt +
                "\n[umbrella]\nfrom = -3.141592653589793\nto = 3.141592653589793\nwindows = 8\nstiffness = 10.0\n",
            "peptide.toml");
        const Model model(run);
        Stream stream(Device::cpu(2));
        const index D = model.dim(), n = 32;
        const std::vector<double>& start = model.molecule()->position;
        std::vector<float> states, aim;
        for (const double place : start) states.insert(states.end(), static_cast<std::size_t>(n), static_cast<float>(place));
        for (index j = 0; j < n; ++j) aim.push_back(static_cast<float>(-1.1 + 0.03 * static_cast<double>(j)));
        Buffer<float> x(stream.device(), D * n), s(stream.device(), n), values(stream.device(), (1 + D) * n);
        copy_to_device(stream, x.span(), states.data());
        copy_to_device(stream, s.span(), aim.data());
        model.project(stream, std::as_const(s).span(), n, n, x.span(), n);
        heal(stream, model, run.integrator, s.span(), n, 2000, 1, 0, x.span());  // or it throws
        model.evaluate_cvs(stream, x.span(), n, n, values.span(), n);
        const std::vector<float> found = to_host(stream, Span<const float>(values.span().subspan(0, n)));
        for (std::size_t j = 0; j < found.size(); ++j)
            CHECK(std::fabs(std::remainder(static_cast<double>(found[j] - aim[j]), 2 * std::numbers::pi)) < 1e-4);
    }
}

}  // namespace microlift
