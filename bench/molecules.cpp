// Replica-steps a second of alanine dipeptide: rigid X–H and 2 fs, or all bonds as springs and 1 fs; lf_middle, an
// umbrella on φ in each replica.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numbers>

#include "bench/harness.h"
#include "bench/molecule_files.h"
#include "engine/device/cpu.h"
#include "engine/error.h"
#include "kernels/random/streams.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/dynamics/molecule_path.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/molecule/forces.h"

namespace microlift {

namespace {

constexpr double kTemperature = 300;  // K

struct Work {
    SolventKind solvent = SolventKind::none;
    bool rigid = true;  // X–H
    int rounds = 0;     // of Philox
    double step() const { return rigid ? 0.002 : 0.001; }  // ps
};

// Files of its own for the time of a reading.
class WrittenFiles {
public:
    WrittenFiles() {
        std::string name = (std::filesystem::temp_directory_path() / "microlift_bench_XXXXXX").string();
        if (!mkdtemp(name.data())) throw InputError("benchmark: no folder for temporary files: " + name);
        folder_ = name;
        std::ofstream(topology()) << kBenchTopology;
        std::ofstream(coordinates()) << kBenchCoordinates;
    }
    ~WrittenFiles() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    WrittenFiles(const WrittenFiles&) = delete;
    WrittenFiles& operator=(const WrittenFiles&) = delete;
    std::filesystem::path topology() const { return folder_ / "ala2.prmtop"; }
    std::filesystem::path coordinates() const { return folder_ / "ala2.inpcrd"; }

private:
    std::filesystem::path folder_;
};

LoadedMolecule read_dipeptide(const Work& work) {
    const WrittenFiles written;
    MoleculeFiles files;
    files.topology = written.topology();
    files.coordinates = written.coordinates();
    files.solvent.kind = work.solvent;
    files.rigid_hydrogen_bonds = work.rigid;
    return read_molecule(files);
}

class Dipeptide {
public:
    Dipeptide(Stream& stream, const Work& work, index replicas)
        : stream_(stream), loaded_(read_dipeptide(work)),
          ensemble_(stream,
                    make_molecule_path_kernel(std::make_shared<Molecule>(loaded_.molecule), setup(work)),
                    replicas, kSeed, kStreamNoise) {
        const auto n = static_cast<std::size_t>(replicas);
        std::vector<float> x(loaded_.position.size() * n);
        for (std::size_t k = 0; k < x.size(); ++k) x[k] = static_cast<float>(loaded_.position[k / n]);
        copy_to_device(stream, ensemble_.x(), x.data());
        // Windows at the start's φ, of the stiffness that umbrellas on it have: nothing is heated.
        const std::vector<float> center(n, static_cast<float>(std::numbers::pi)), stiffness(n, 200);
        copy_to_device(stream, ensemble_.center(), center.data());
        copy_to_device(stream, ensemble_.stiffness(), stiffness.data());
    }
    void advance(index steps) { ensemble_.advance(static_cast<uint64>(steps)); }
    double rate(index steps) {
        const double time = seconds(stream_, [&] { advance(steps); });
        return static_cast<double>(ensemble_.size() * steps) / time;
    }
    void check(BenchResult& result) {
        ensemble_.check_finite([](index) { return std::string("benchmark"); });
        check_temperature(result);
        check_bonds(result);
    }

private:
    static MoleculeSetup setup(const Work& work) {
        MoleculeSetup setup;
        setup.scheme = MoleculeScheme::lf_middle;
        setup.dt = work.step();
        setup.friction = 1;
        setup.temperature = kTemperature;
        setup.cvs = {{MoleculeCvKind::dihedral, {4, 6, 8, 14}}};
        setup.portable_math = portable_trajectories();
        setup.philox_rounds = work.rounds;
        return setup;
    }
    // Of all replicas at this moment: independent.
    void check_temperature(BenchResult& result) {
        const std::vector<float> v = to_host(stream_, Span<const float>(ensemble_.v()));
        const auto n = static_cast<std::size_t>(ensemble_.size());
        double kinetic = 0;
        for (std::size_t k = 0; k < v.size(); ++k)
            kinetic += 0.5 * loaded_.molecule.atoms[k / n / 3].mass * static_cast<double>(v[k]) * static_cast<double>(v[k]);
        const auto freedom = 3.0 * static_cast<double>(loaded_.molecule.size()) -
                             static_cast<double>(loaded_.molecule.rigid_bonds.size());
        const double expected = 0.5 * freedom * kGasConstant * kTemperature;
        result.check("kinetic energy (kJ/mol)", kinetic / static_cast<double>(n), expected,
                     expected * (0.003 + kSigmas * std::sqrt(2 / (freedom * static_cast<double>(n)))),
                     "0.3 % and five standard errors");
    }
    void check_bonds(BenchResult& result) {
        if (loaded_.molecule.rigid_bonds.empty()) return;
        const std::vector<float> x = to_host(stream_, Span<const float>(ensemble_.x()));
        const auto n = static_cast<std::size_t>(ensemble_.size());
        double worst = 0;
        for (const RigidBond& bond : loaded_.molecule.rigid_bonds)
            for (std::size_t t = 0; t < n; ++t) {
                double square = 0;
                for (std::size_t d = 0; d < 3; ++d) {
                    const auto at = [&](index atom) {
                        return static_cast<double>(x[(3 * static_cast<std::size_t>(atom) + d) * n + t]);
                    };
                    square += std::pow(at(bond.atoms[0]) - at(bond.atoms[1]), 2);
                }
                worst = std::max(worst, std::abs(std::sqrt(square) / bond.length - 1));
            }
        result.check("length of a rigid bond over its own, the worst", 1 + worst, 1, 1e-5,
                     "what constraints hold to");
    }

    Stream& stream_;
    LoadedMolecule loaded_;
    Ensemble ensemble_;
};

Work work_of(const BenchSettings& settings) {
    Work work;
    const std::string solvent = settings.text("solvent"), constraints = settings.text("constraints");
    if (!solvent.empty() && !solvent_kind(solvent, work.solvent))
        throw InputError("benchmark: solvent = '" + solvent + "' is none of none, hct, obc1, obc2, gbn, gbn2");
    work.rigid = constraints != "none";
    if (work.rigid && !constraints.empty() && constraints != "h_bonds")
        throw InputError("benchmark: constraints = '" + constraints + "' is neither none nor h_bonds");
    const index rounds = settings.count("rounds", kPhiloxRounds);  // as integrator.philox_rounds
    if (rounds != kPhiloxRounds && rounds != kPhiloxFewRounds) throw InputError("benchmark: rounds is 10 or 7");
    work.rounds = static_cast<int>(rounds);
    return work;
}

void set_ceiling(Stream& stream, const Work& work, BenchResult& result) {
    if (!stream.device().is_cpu()) return;
    result.clock_hz = measure_clock();
    const double cycles = !work.rigid                         ? 0
                          : work.solvent == SolventKind::none ? kCyclesVacuum
                          : work.solvent == SolventKind::obc2 ? kCyclesObc2
                                                              : 0;
    if (cycles > 0 && cpu_lanes() == kPack)
        result.ceiling = stream.device().threads() * result.clock_hz / cycles * kPack;
}

}  // namespace

BenchResult bench_molecule(Stream& stream, const BenchSettings& settings) {
    const Work work = work_of(settings);
    const index replicas = settings.count("n", stream.device().is_cpu() ? 1024 : index{1} << 18);
    const Repeats repeats(settings);
    Dipeptide dipeptide(stream, work, replicas);
    BenchResult result;
    result.unit = "steps_per_second";
    set_ceiling(stream, work, result);
    // From the file's structure to equilibrium of velocities: five times the friction's time.
    dipeptide.advance(std::lround(5 / work.step()));
    const index steps = units_per_repeat(stream, 16, [&](index n) { dipeptide.advance(n); }, repeats.seconds);
    for (int r = 0; r < repeats.count; ++r) result.rates.push_back(dipeptide.rate(steps));
    dipeptide.check(result);
    result.more = {{"replicas", static_cast<double>(replicas)}, {"steps", static_cast<double>(steps)}};
    return result;
}

// The cost of a replica-step for 1e3 … 1e6 replicas.
BenchResult bench_molecule_sweep(Stream& stream, const BenchSettings& settings) {
    const Work work = work_of(settings);
    const index most = settings.count("n", 1000000);
    const Repeats repeats(settings);
    BenchResult result;
    result.unit = "steps_per_second";
    set_ceiling(stream, work, result);
    double cheapest = 0, dearest = 0;
    for (index n = 1000; n <= most; n *= 10) {
        Dipeptide dipeptide(stream, work, n);
        dipeptide.advance(std::max<index>(1, 16000 / n));
        const index steps = units_per_repeat(stream, 1, [&](index k) { dipeptide.advance(k); }, repeats.seconds);
        std::vector<double> rates;
        for (int r = 0; r < repeats.count; ++r) rates.push_back(dipeptide.rate(steps));
        const double rate = median(rates), cost = 1e9 / rate;
        result.rates.push_back(rate);
        result.more.emplace_back("nanoseconds_n" + std::to_string(n), cost);
        cheapest = cheapest == 0 ? cost : std::min(cheapest, cost);
        dearest = std::max(dearest, cost);
    }
    result.more.emplace_back("dearest_over_cheapest", dearest / cheapest);
    Dipeptide dipeptide(stream, work, 1000);
    dipeptide.advance(std::lround(5 / work.step()));
    dipeptide.check(result);
    return result;
}

}  // namespace microlift
