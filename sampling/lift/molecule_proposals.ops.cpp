#include "sampling/lift/molecule_proposals.h"

#include "engine/launch/lanes.h"
#include "kernels/molecule/molecule_motion.h"
#if !defined(__CUDACC__)
#include "sampling/lift/proposals.h"
#endif

namespace microlift {

// ½ ln |Z| of a star with mass-weighted rigid bonds: Z_ii = 1/mᵢ + 1/m₀, Z_ij = cos θ_ij/m₀.
template <class L>
LANE_FN L log_star_measure(const StarEntry& star, const float* x, index row, index i) {
    Vector<L> arm[kMostLeaves];
    const auto place = [&](int32 atom) {
        return Vector<L>{load<L>(x + atom * row, i), load<L>(x + (atom + 1) * row, i),
                         load<L>(x + (atom + 2) * row, i)};
    };
    const Vector<L> centre = place(star.atom[0]);
    const L one = broadcast<L>(1.0f), tiny = broadcast<L>(1e-20f);
    // Cholesky's factor; what lies beyond the star's bonds is that of a unit matrix.
    L factor[kMostLeaves][kMostLeaves], sum = broadcast<L>(0.0f);
LANE_UNROLL
    for (int a = 0; a < kMostLeaves; ++a) {
        const bool own = a < star.leaves;
        arm[a] = place(star.atom[own ? a + 1 : 0]) - centre;
        arm[a] = scaled(inverse_sqrt<Portable>(max(dot(arm[a], arm[a]), tiny)), arm[a]);
LANE_UNROLL
        for (int b = 0; b < kMostLeaves; ++b) {
            if (b > a) continue;
            L z = broadcast<L>(star.inverse_mass[0]) * dot(arm[a], arm[b]);  // 0 beyond
            if (a == b) z = own ? broadcast<L>(star.inverse_mass[0] + star.inverse_mass[a + 1]) : one;
LANE_UNROLL
            for (int k = 0; k < kMostLeaves; ++k)
                if (k < b) z = fma(-factor[a][k], factor[b][k], z);
            factor[a][b] = a == b ? sqrt_exact(max(z, tiny)) : z / factor[b][b];
        }
        sum = sum + log<Portable>(factor[a][a]);
    }
    return sum;
}

struct MoleculeWeightBody {
    const StarEntry* stars;
    index count;
    float beta;
    const float *x, *energy, *log_jacobian, *log_density;
    index row, energy_row;
    float* out;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        L total = broadcast<L>(0.0f);
        for (int t = 0; t < kForceTerms; ++t) total = total + load<L>(energy + t * energy_row, i);
        L w = fma(broadcast<L>(-beta), total,
                  load<L>(log_jacobian, i) - load<L>(log_density, i));
        for (index k = 0; k < count; ++k) w = w + log_star_measure<L>(stars[k], x, row, i);
        store(out, i, select(is_bad(w), broadcast<L>(-3.0e38f), w));
    }
};

HOST_PASS_BEGIN

void launch_molecule_weights(Stream& stream, index n, const MoleculeWeightBody& body) {
    for_each_lane(stream, n, body);
}

HOST_PASS_END

#if !defined(__CUDACC__)

std::string MoleculeProposer::refusal(const Molecule& molecule, const MoleculeCoordinates& coordinates,
                                      const Generator& generator) {
    if (!generator.has_density())
        return "a generator of kind '" + generator.kind() +
               "' has no density; use kind = \"flow\" or \"score\"";
    if (!coordinates.exact())
        return "a collective variable is no torsion of its bonds; use healing instead";
    if (!molecule.restraints.empty()) return "it is held in space by restraints";
    return "";
}

MoleculeProposer::MoleculeProposer(Stream& stream, const Molecule& molecule, double temperature,
                                   MoleculeCoordinates& coordinates, Generator& generator)
    : stream_(stream), molecule_(molecule), beta_(1 / (kGasConstant * temperature)),
      coordinates_(coordinates), generator_(generator) {
    if (const std::string no = refusal(molecule, coordinates, generator); !no.empty())
        throw InputError("states of a molecule cannot be weighted: " + no);
    std::vector<StarEntry> own;
    for (const StarEntry& star : molecule_stars(molecule, {}))
        if (star.leaves > 0) own.push_back(star);
    star_count_ = static_cast<index>(own.size());
    stars_ = Buffer<StarEntry>(stream.device(), std::max<index>(1, star_count_));
    if (star_count_ > 0) copy_to_device(stream, stars_.span(), own.data());
}

void MoleculeProposer::reserve(index n) {
    if (n <= capacity_) return;
    capacity_ = n;
    const Device& device = stream_.device();
    const index d = 3 * molecule_.size();
    conditions_ = Buffer<float>(device, generator_.conditions() * n);
    states_ = Buffer<float>(device, coordinates_.states() * n);
    log_density_ = Buffer<float>(device, n);
    log_jacobian_ = Buffer<float>(device, n);
    x_ = Buffer<float>(device, d * n);
    force_ = Buffer<float>(device, d * n);
    energy_ = Buffer<float>(device, kForceTerms * n);
    forces_ = std::make_unique<MoleculeForces<float>>(stream_, molecule_, n);
}

void MoleculeProposer::weights(Matrix<const float> x, float* log_weight) {
    const index n = x.columns, row = x.stride;
    for (index d = 0; d < x.rows; ++d)
        copy(stream_, x_.span().subspan(d * n, n), Span<const float>(x.data + d * row, n));
    forces_->evaluate(stream_, Span<const float>(x_.data(), x.rows * n), n, n, force_.span(), energy_.span());
    launch_molecule_weights(
        stream_, n,
        MoleculeWeightBody{stars_.data(), star_count_, static_cast<float>(beta_),
                           x_.data(), energy_.data(),
                           log_jacobian_.data(), log_density_.data(), n, n, log_weight});
}

void MoleculeProposer::propose(Matrix<const float> s, uint64 seed, uint32 stream_id, uint64 first,
                               Matrix<float> x, float* log_weight) {
    const index n = x.columns;
    reserve(n);
    for (index k = 0; k < s.rows; ++k)
        copy(stream_, conditions_.span().subspan(k * n, n), Span<const float>(s.data + k * s.stride, n));
    const Span<float> states = states_.span().subspan(0, coordinates_.states() * n);
    const Span<const float> conditions(conditions_.data(), s.rows * n);
    generator_.propose(stream_, conditions, n, seed, stream_id, first, states,
                       log_density_.span().subspan(0, n));
    coordinates_.from_states(stream_, {states.data, coordinates_.states(), n, n}, s, x, log_jacobian_.data());
    weights(x, log_weight);
}

void MoleculeProposer::weigh(Matrix<const float> x, Matrix<const float> s, float* log_weight) {
    const index n = x.columns;
    reserve(n);
    for (index k = 0; k < s.rows; ++k)
        copy(stream_, conditions_.span().subspan(k * n, n), Span<const float>(s.data + k * s.stride, n));
    const Span<float> states = states_.span().subspan(0, coordinates_.states() * n);
    coordinates_.to_states(stream_, x, s, {states.data, coordinates_.states(), n, n}, log_jacobian_.data());
    generator_.log_density(stream_, Span<const float>(conditions_.data(), s.rows * n), n, states,
                           log_density_.span().subspan(0, n));
    weights(x, log_weight);
}

#endif

}  // namespace microlift
