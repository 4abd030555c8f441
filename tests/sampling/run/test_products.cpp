// What stages leave: it saves itself into a checkpoint's file and restores itself from it. And the table
// of the stages.
#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <set>

#include "sampling/run/products.h"
#include "sampling/run/config/run_config.h"
#include "sampling/run/stages.h"
#include "sampling/samples/samples_file.h"

namespace microlift {
namespace {

// By way of a file.
template <class T>
T restored(const T& product, T fresh = {}) {
    const fs::path file = fs::temp_directory_path() / "microlift_test_products.h5";
    Store store;
    product.save(store);
    store.save(file);
    fresh.load(Store::load(file));
    fs::remove(file);
    return fresh;
}

}  // namespace

TEST_CASE("products: where a run is, and its record") {
    Position position;
    position.stage = "train";
    position.round = 3;
    CHECK(restored(position).stage == "train");
    CHECK(restored(position).round == 3);
    CHECK_FALSE(position.done());

    Record record;
    record.add_cost("sample", {2.0, 100, 300, 5, 6, 7});
    record.add_cost("sample", {3.0, 100, 0, 5, 6, 7});
    record["figure"] = 0.1;
    CHECK(record.add_warning("once"));
    CHECK_FALSE(record.add_warning("once"));
    const Json& sample = record.stage("sample");
    CHECK(sample["seconds"] == 5.0);
    CHECK(sample["steps_per_second"] == 40.0);
    CHECK(sample["force_evaluations"] == 300.0);
    Record again = restored(record);
    CHECK(again.metrics == record.metrics);
    CHECK(again.cost("sample").seconds == 5.0);
    CHECK(again.cost("train").seconds == 0.0);
    again.add_cost("sample", {1.0, 40, 0, 0, 0, 0});
    CHECK(again.stage("sample")["steps_per_second"] == 40.0);
}

TEST_CASE("products: windows, free energy and coupling") {
    Windows windows;
    windows.center = {{-1, 0.5}, {0.25, 3}};
    windows.stiffness = {{10, 20}, {30, 40}};
    CHECK(restored(windows).center == windows.center);
    CHECK(restored(windows).stiffness == windows.stiffness);

    FreeEnergy free_energy;
    free_energy.profile = {0.5, 0};
    free_energy.error = {0.1, 0};
    free_energy.influence = {1, 2, 3, 4};
    free_energy.samples = {10, 20};
    free_energy.doubts = {"one", "another"};
    free_energy.overlaps = {{0, 1, 0.3}};
    free_energy.error_blocks.replica_groups = 4;
    free_energy.error_blocks.time_segments = 2;
    const FreeEnergy known = restored(free_energy);
    CHECK(known.profile == free_energy.profile);
    CHECK(known.error == free_energy.error);
    CHECK(known.influence == free_energy.influence);
    CHECK(known.samples == free_energy.samples);
    CHECK(known.doubts == free_energy.doubts);
    REQUIRE(known.overlaps.size() == 1);
    CHECK(known.overlaps[0].b == 1);
    CHECK(known.overlaps[0].overlap == 0.3);
    CHECK(known.error_blocks.count() == 8);
    CHECK(restored(FreeEnergy()).overlaps.empty());

    Coupling coupling;
    coupling.places = {{0.5, 0}, {0.75, 0}};
    coupling.discarded = 2;
    coupling.jump_acceptance = 0.125;
    coupling.profiles = {{1e6, {1, 2}, {3, 4}, {5}}, {2e6, {6, 7}, {8, 9}, {10}}};
    const Coupling coupled = restored(coupling);
    CHECK(coupled.places == coupling.places);
    CHECK(coupled.discarded == 2);
    CHECK(coupled.jump_acceptance == 0.125);
    REQUIRE(coupled.profiles.size() == 2);
    CHECK(coupled.profiles[1].force_evaluations == 2e6);
    CHECK(coupled.profiles[1].mean == coupling.profiles[1].mean);
    CHECK(coupled.profiles[1].free_energy == coupling.profiles[1].free_energy);
    CHECK(restored(Coupling()).profiles.empty());
}

TEST_CASE("products: samples, sampling and training that were interrupted") {
    Stream stream(Device::cpu(1));
    const fs::path dir = fs::temp_directory_path() / ("microlift_test_products_" + std::to_string(::getpid()));
    Samples samples(stream, dir, "1234");
    samples.reserve(2, 1, 8);
    samples.n = 3;
    samples.blocks = {{0, 0, 1, 3, 1}};
    samples.segments = {2, 1};
    samples.first_segment = 5;
    fs::create_directories(samples.folder());
    const auto write_segment = [&](std::size_t i, const std::string& configuration) {
        SamplesInfo info;
        info.samples = samples.segments[i];
        info.weighted = false;
        info.variables = {"x", "y"};
        info.cvs = {"x"};
        info.configuration = configuration;
        const std::vector<float> x = i == 0 ? std::vector<float>{1, 2, 4, 5} : std::vector<float>{3, 6, 3, 6};
        const std::vector<int> window(2, 0);
        SamplesWriter file(samples.segment(i), info);
        file.append(info.samples, x.data(), info.samples, x.data(), info.samples, window.data(), nullptr);
        file.finish();
    };
    write_segment(0, "1234");
    write_segment(1, "1234");
    CHECK(fs::exists(samples.folder() / "000006.h5"));
    const auto load_into = [&](index capacity) {
        Store store;
        samples.save(store);
        store.save(dir / "checkpoint.h5");
        Samples fresh(stream, dir, "1234");
        fresh.reserve(2, 1, capacity);
        fresh.load(Store::load(dir / "checkpoint.h5"));
        CHECK(fresh.n == 3);
        CHECK(fresh.blocks.size() == 1);
        CHECK(fresh.blocks[0].replicas == 3);
        CHECK(fresh.segments == samples.segments);
        const auto host = to_host(stream, Span<const float>(fresh.x.span()));
        CHECK(host[2] == 3);
        CHECK(host[static_cast<std::size_t>(capacity)] == 4);
        CHECK(host[static_cast<std::size_t>(capacity) + 2] == 6);
    };
    load_into(5);
    CHECK_THROWS_AS(load_into(2), InputError);
    write_segment(1, "4321");
    CHECK_THROWS_WITH(load_into(5), doctest::Contains("000006.h5: a run of another configuration"));
    samples.segments[1] = 2;
    write_segment(1, "1234");
    samples.segments[1] = 1;
    CHECK_THROWS_WITH(load_into(5), doctest::Contains("000006.h5: it holds 2 samples"));
    fs::remove(samples.segment(1));
    CHECK_THROWS_AS(load_into(5), InputError);
    fs::remove_all(dir);

    SamplingState sampling;
    CHECK(restored(sampling).ensemble.empty());
    sampling.ensemble = {1, 2};
    sampling.step = 1ull << 40;
    sampling.sampled = 7;
    sampling.energies = 0.5;
    sampling.counters = {1, 2, 3};
    CHECK(restored(sampling).ensemble == sampling.ensemble);
    CHECK(restored(sampling).step == sampling.step);
    CHECK(restored(sampling).sampled == 7);
    CHECK(restored(sampling).energies == 0.5);
    CHECK(restored(sampling).counters == sampling.counters);
    CHECK(restored(sampling).accepted.empty());

    TrainedGenerator generator;
    CHECK(restored(generator).weights.tensors.empty());
    generator.weights.tensors["w"] = Tensor::of(std::vector<float>{1, 2});
    generator.weights.metadata["kind"] = "cgan";
    generator.state["adam"] = Tensor::of(std::vector<double>{3});
    generator.updates = 10;
    generator.floor = 0.25;
    generator.conditions = {{0.5}, {1.5}};
    generator.distances = {{0.1, 0.2}, {0.3, 0.4}};
    const TrainedGenerator trained = restored(generator);
    CHECK(trained.weights.tensor("w").floats() == std::vector<float>{1, 2});
    CHECK(trained.weights.text("kind") == "cgan");
    CHECK(trained.state.at("adam").doubles() == std::vector<double>{3});
    CHECK(trained.updates == 10);
    CHECK(trained.floor == 0.25);
    CHECK(trained.conditions == generator.conditions);
    CHECK(trained.distances == generator.distances);
}

TEST_CASE("stages: each has a name of its own, a section that there is, and files of its own") {
    std::set<std::string> names, files;
    const auto sections = run_schema().sections();
    for (const Stage& stage : stages()) {
        CAPTURE(stage.name);
        CHECK(names.insert(stage.name).second);
        CHECK(std::find(sections.begin(), sections.end(), stage.section) != sections.end());
        for (const std::string& file : stage.files) CHECK(files.insert(file).second);
    }
}

}  // namespace microlift
