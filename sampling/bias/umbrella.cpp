#include "sampling/bias/umbrella.h"

#include "engine/files/store.h"
#include "sampling/bias/energy.h"

namespace microlift {

Umbrella::Umbrella(Stream& stream, const BiasSetup& setup)
    : stream_(stream), setup_(setup), options_(options_of<UmbrellaOptions>(setup)),
      center_(stream.device(), setup.cvs * setup.trajectories),
      stiffness_(stream.device(), setup.cvs * setup.trajectories), counters_(stream.device(), 2) {
    const BiasWindows& windows = options_.windows;
    if (windows.size() * options_.replicas != setup.trajectories)
        throw InputError("umbrella: windows times replicas are not the number of trajectories");
    const index n = setup.trajectories;
    std::vector<float> center(static_cast<std::size_t>(setup.cvs * n)), stiffness(center.size());
    for (int k = 0; k < setup.cvs; ++k)
        for (index t = 0; t < n; ++t) {
            const auto w = static_cast<std::size_t>(t / options_.replicas);
            const auto at = static_cast<std::size_t>(k * n + t);
            center[at] = static_cast<float>(windows.center[w][static_cast<std::size_t>(k)]);
            stiffness[at] = static_cast<float>(windows.stiffness[w][static_cast<std::size_t>(k)]);
        }
    copy_to_device(stream, center_.span(), center.data());
    copy_to_device(stream, stiffness_.span(), stiffness.data());
    fill_zero(stream, counters_.span());
}

void Umbrella::begin(Ensemble& ensemble) {
    copy(stream_, ensemble.center(), Span<const float>(center_.span()));
    copy(stream_, ensemble.stiffness(), Span<const float>(stiffness_.span()));
}

void Umbrella::step(Ensemble& ensemble, Span<const float> xi) {
    const uint64 attempt = ensemble.step() / static_cast<uint64>(options_.exchange);
    ExchangeGrid grid;
    grid.replicas = options_.replicas;
    for (int k = 0; k < setup_.cvs; ++k) {
        grid.windows[k] = options_.grid[static_cast<std::size_t>(k)];
        grid.beta[k] = static_cast<float>(setup_.beta[static_cast<std::size_t>(k)]);
        grid.round[k] = options_.round[static_cast<std::size_t>(k)];
    }
    const int axis = setup_.cvs == 2 ? static_cast<int>(attempt / 2 % 2) : 0;
    const uint64 of_axis = setup_.cvs == 2 ? attempt / 4 * 2 + attempt % 2 : attempt;
    const index first = static_cast<index>(
        of_axis % (grid.round[axis] ? static_cast<uint64>(grid.windows[axis]) : 2));
    exchange_neighbours(stream_, ensemble, grid, axis, first, setup_.seed, attempt, xi,
                        counters_.span());
}

void Umbrella::energy(Stream& stream, Span<const float> xi, index row, index n,
                      Span<float> out) const {
    CvPeriods periods;
    for (int k = 0; k < setup_.cvs; ++k)
        periods.period[k] = static_cast<float>(options_.windows.period[static_cast<std::size_t>(k)]);
    bias_energy(stream, {center_.data(), stiffness_.data(), setup_.trajectories, periods}, setup_.cvs,
                xi, row, n, out);
}

void Umbrella::save(Stream& stream, Store& store) const {
    const std::vector<uint64> counts = to_host(stream, Span<const uint64>(counters_.span()));
    store.put("umbrella_exchanges", std::vector<long long>(counts.begin(), counts.end()));
}

void Umbrella::load(Stream& stream, const Store& store) {
    const auto stored = store.get<long long>("umbrella_exchanges", 2);
    const std::vector<uint64> counts(stored.begin(), stored.end());
    copy_to_device(stream, counters_.span(), counts.data());
}

std::unique_ptr<BiasMethod> make_umbrella(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<Umbrella>(stream, setup);
}

}  // namespace microlift
