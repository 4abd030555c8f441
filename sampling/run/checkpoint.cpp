#include "sampling/run/checkpoint.h"

#include "engine/comm/communicator.h"
#include "engine/stop.h"
#include "engine/stop_together.h"
#include "sampling/dynamics/mathematics.h"
#include "sampling/run/agreement.h"
#include "sampling/run/meter.h"
#include "sampling/run/files/sample_files.h"

namespace microlift {

namespace {

constexpr double kCheckpointSeconds = 10;

// A run that is complete has nothing to go on from.
bool is_kept(const Run& run, const Product* product) {
    return !run.position.done() || product == &run.position || product == &run.record;
}

void need_same_configuration(const Run& run, const Store& store) {
    const auto found = store.attributes.find("configuration");
    // There is none in a checkpoint of an earlier version.
    if (found != store.attributes.end() && found->second != run.config.checksum())
        throw InputError((run.dir / "checkpoint.h5").string() +
                         ": it belongs to another configuration than config.toml beside it; put back "
                         "the one that is missing, or begin anew with --force");
}

}  // namespace

bool SaveClock::due() {
    Communicator& world = Communicator::world();
    const bool late = world.first() && seconds_since(saved_) > kCheckpointSeconds;
    const auto agreed = static_cast<int>(world.most(2 * static_cast<uint64>(pending_signal()) + (late ? 1 : 0)));
    if (agreed > 1) stop_as_told(agreed / 2);
    if (agreed > 0) saved_ = Clock::now();
    return agreed > 0;
}

bool stops_alone() { return pending_signal() != 0 && Communicator::world().alone(); }

void save_checkpoint(Run& run) {
    const Clock::time_point began = Clock::now();
    write_segments(run);
    Store store;
    for (const Product* product : run.products())
        if (is_kept(run, product)) product->save(store);
    store.attributes["math"] = mathematics_name(run.config.integrator.portable_math);
    store.attributes["configuration"] = run.config.checksum();
    store.save(run.dir / "checkpoint.h5");
    remove_segments(run);
    // As the first process takes it, whom all wait for here.
    const double seconds = 1e-6 * static_cast<double>(Communicator::world().most(static_cast<uint64>(1e6 * seconds_since(began))));
    expect_checkpoint(seconds);
    run.progress.figure("checkpoint_seconds", seconds);
}

std::optional<Store> read_checkpoint(const fs::path& dir) {
    const fs::path file = dir / "checkpoint.h5";
    if (!fs::exists(file)) return std::nullopt;
    return Store::load(file);
}

std::string mathematics_of(const Store& store) {
    const auto found = store.attributes.find("math");
    if (found == store.attributes.end()) return mathematics_name(true);  // of an earlier version
    if (found->second != mathematics_name(true) && found->second != mathematics_name(false))
        throw InputError("checkpoint.h5: it does not say in which mathematics it was computed; begin "
                         "anew with --force");
    return found->second;
}

void load_checkpoint(Run& run, const Store& store) {
    need_same_configuration(run, store);
    try {
        for (Product* product : run.products())
            if (is_kept(run, product)) product->load(store);
        if (!run.position.done()) check_agreement(run);
    } catch (const std::logic_error&) {
        throw InputError((run.dir / "checkpoint.h5").string() +
                         ": it was written by another version; begin anew with --force");
    }
}

}  // namespace microlift
