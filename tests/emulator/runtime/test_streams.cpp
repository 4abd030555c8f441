// Streams, capture and graphs of the emulated device: which orders happen, and what is refused. Work here is a call
// of the host that writes its letter.
#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <string>
#include <thread>

#include "tests/emulator/fault.h"
#include "tests/emulator/runtime/streams.h"

namespace emulator {
namespace {

constexpr std::uint64_t kSeeds = 64;

struct Device {
    Streams streams;
    std::string order;
    explicit Device(std::uint64_t seed) : streams(seed) {}
    void give(Stream& stream, char letter) {
        streams.scheduler().stir();
        streams.submit(stream, {std::string(1, letter), {}}, [this, letter] { order += letter; });
    }
};

// Every order that `work` leads to over the seeds.
std::set<std::string> orders(const std::function<void(Device&)>& work) {
    std::set<std::string> found;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        Device device(seed);
        work(device);
        device.streams.scheduler().finish_all();
        found.insert(device.order);
    }
    return found;
}

template <class Call>
Status refused(const Call& call) {
    try {
        call();
    } catch (const Refusal& refusal) {
        return refusal.status();
    }
    return Status::success;
}

using Orders = std::set<std::string>;

}  // namespace

TEST_CASE("streams: one stream keeps its order, two have every order") {
    CHECK(orders([](Device& d) {
              Stream& s = d.streams.create(false);
              for (const char c : std::string("abcd")) d.give(s, c);
          }) == Orders{"abcd"});
    CHECK(orders([](Device& d) {
              Stream &s = d.streams.create(false), &t = d.streams.create(false);
              d.give(s, 'a'), d.give(t, 'x'), d.give(s, 'b'), d.give(t, 'y');
          }) == Orders{"abxy", "axby", "axyb", "xaby", "xayb", "xyab"});
}

TEST_CASE("streams: nothing happens before it is needed with seed 0") {
    Device d(0);
    Stream &s = d.streams.create(false), &t = d.streams.create(false);
    d.give(s, 'a'), d.give(t, 'x'), d.give(s, 'b');
    CHECK(d.order.empty());
    d.streams.synchronize(s);
    CHECK(d.order == "ab");
    CHECK(d.streams.idle(s));
    CHECK_FALSE(d.streams.idle(t));  // a host that polls sees progress
    CHECK(d.streams.idle(t));
    CHECK(d.order == "abx");
}

TEST_CASE("streams: waiting for one does what it was given, whatever the seed") {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        Device d(seed);
        Stream &s = d.streams.create(false), &t = d.streams.create(false);
        d.give(t, 'x'), d.give(s, 'a'), d.give(t, 'y'), d.give(s, 'b');
        d.streams.synchronize(s);
        CHECK(d.order.find('a') < d.order.find('b'));
        CHECK(d.order.find('b') != std::string::npos);
    }
}

TEST_CASE("streams: the legacy stream waits for blocking streams, and they for it") {
    CHECK(orders([](Device& d) {
              Stream &s = d.streams.create(true), &t = d.streams.create(true);
              d.give(s, 'a'), d.give(d.streams.legacy(), 'L'), d.give(t, 'x');
          }) == Orders{"aLx"});
    // Of work of a stream that is gone, too.
    CHECK(orders([](Device& d) {
              Stream& s = d.streams.create(true);
              d.give(s, 'a');
              d.streams.destroy(s);
              d.give(d.streams.legacy(), 'L');
          }) == Orders{"aL"});
}

TEST_CASE("streams: the legacy stream comes late for a stream that does not wait for it") {
    const auto late = [](Device& d) {
        Stream& s = d.streams.create(false);
        d.give(d.streams.legacy(), 'L');
        d.give(s, 'a'), d.give(s, 'b'), d.give(s, 'c');
        d.streams.synchronize(s);
    };
    CHECK(orders(late) == Orders{"aLbc", "abLc", "abcL"});
}

TEST_CASE("events: a stream that waits for one comes after it") {
    CHECK(orders([](Device& d) {
              Stream &s = d.streams.create(false), &t = d.streams.create(false);
              Event event;
              d.give(s, 'a');
              d.streams.record(event, s);
              d.give(s, 'b');
              d.streams.wait(t, event);
              d.give(t, 'x');
          }) == Orders{"abx", "axb"});
    Device d(0);
    Stream& s = d.streams.create(false);
    Event event;
    d.give(s, 'a');
    d.streams.record(event, s);
    d.give(s, 'b');
    CHECK_FALSE(d.streams.happened(event));
    d.streams.synchronize(event);
    CHECK(d.streams.happened(event));
    CHECK(d.order == "a");
}

TEST_CASE("capture: nothing runs, and each launch of the graph does it all in its order") {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        Device d(seed);
        Stream& s = d.streams.create(false);
        d.streams.begin_capture(s, CaptureMode::local);
        d.give(s, 'a'), d.give(s, 'b');
        auto graph = std::make_shared<Executable>();
        graph->graph = d.streams.end_capture(s);
        d.streams.scheduler().finish_all();
        CHECK(d.order.empty());
        CHECK(graph->graph.nodes.size() == 2);
        d.give(s, '-');
        d.streams.launch(graph, s);
        d.give(s, '+');
        d.streams.launch(graph, s);
        d.streams.synchronize(s);
        CHECK(d.order == "-ab+ab");
    }
}

TEST_CASE("capture: forked streams have every order, joined again") {
    CHECK(orders([](Device& d) {
              Stream &s = d.streams.create(false), &t = d.streams.create(false);
              Event fork, join;
              d.streams.begin_capture(s, CaptureMode::local);
              d.give(s, 'a');
              d.streams.record(fork, s);
              d.streams.wait(t, fork);
              d.give(s, 'b'), d.give(t, 'x');
              d.streams.record(join, t);
              d.streams.wait(s, join);
              d.give(s, 'c');
              auto graph = std::make_shared<Executable>();
              graph->graph = d.streams.end_capture(s);
              d.streams.launch(graph, s);
          }) == Orders{"abxc", "axbc"});
}

TEST_CASE("capture: two launches of one graph do not overlap, other streams come between its nodes") {
    const Orders found = orders([](Device& d) {
        Stream &s = d.streams.create(false), &t = d.streams.create(false);
        d.streams.begin_capture(s, CaptureMode::local);
        d.give(s, 'a'), d.give(s, 'b');
        auto graph = std::make_shared<Executable>();
        graph->graph = d.streams.end_capture(s);
        d.streams.launch(graph, s);
        d.streams.launch(graph, t);
    });
    CHECK(found == Orders{"abab"});
    CHECK(orders([](Device& d) {
              Stream &s = d.streams.create(false), &t = d.streams.create(false);
              d.streams.begin_capture(s, CaptureMode::local);
              d.give(s, 'a'), d.give(s, 'b');
              auto graph = std::make_shared<Executable>();
              graph->graph = d.streams.end_capture(s);
              d.streams.launch(graph, s);
              d.give(t, 'x');
          }) == Orders{"abx", "axb", "xab"});
}

TEST_CASE("capture: what it forbids is refused, and breaks it") {
    const auto broken_by = [](CaptureMode mode, bool blocking, const auto& call) {
        Device d(0);
        Stream& s = d.streams.create(blocking);
        d.streams.begin_capture(s, mode);
        const Status first = refused([&] { call(d, s); });
        // Later work and the end of a broken capture are refused.
        const bool broken = s.capture->broken;
        if (broken) CHECK(refused([&] { d.give(s, 'z'); }) == Status::capture_invalidated);
        CHECK((refused([&] { d.streams.end_capture(s); }) == Status::capture_invalidated) == broken);
        CHECK(broken == (first != Status::success));
        CHECK(refused([&] { d.give(s, 'a'), d.streams.synchronize(s); }) == Status::success);
        CHECK(d.order.back() == 'a');  // the stream works again
        return first;
    };
    const auto allocate = [](Device& d, Stream&) { d.streams.forbid_in_capture(); };
    const auto wait = [](Device& d, Stream& s) { d.streams.synchronize(s); };
    const auto wait_other = [](Device& d, Stream&) { d.streams.synchronize(d.streams.create(false)); };
    const auto wait_all = [](Device& d, Stream&) { d.streams.synchronize_device(); };
    const auto legacy = [](Device& d, Stream&) { d.give(d.streams.legacy(), 'L'); };
    const auto outside = [](Device& d, Stream& s) {
        Event event;
        d.streams.record(event, d.streams.create(false));
        d.streams.wait(s, event);
    };
    const auto unjoined = [](Device& d, Stream& s) {
        Stream& t = d.streams.create(false);
        Event event;
        d.streams.record(event, s);
        d.streams.wait(t, event);
        d.give(t, 'x');
        d.streams.end_capture(s);
    };
    for (const CaptureMode mode : {CaptureMode::global, CaptureMode::local}) {
        CHECK(broken_by(mode, false, allocate) == Status::capture_unsupported);
        CHECK(broken_by(mode, false, wait) == Status::capture_unsupported);
        CHECK(broken_by(mode, false, wait_other) == Status::capture_unsupported);
        CHECK(broken_by(mode, false, wait_all) == Status::capture_unsupported);
        CHECK(broken_by(mode, false, legacy) == Status::success);
        CHECK(broken_by(mode, true, legacy) == Status::capture_implicit);
        CHECK(broken_by(mode, false, outside) == Status::capture_isolation);
    }
    CHECK(broken_by(CaptureMode::relaxed, false, allocate) == Status::success);
    CHECK(broken_by(CaptureMode::relaxed, false, wait) == Status::capture_unsupported);
    CHECK(broken_by(CaptureMode::relaxed, false, wait_other) == Status::success);
    CHECK(broken_by(CaptureMode::relaxed, false, wait_all) == Status::capture_unsupported);
    CHECK(broken_by(CaptureMode::relaxed, true, legacy) == Status::capture_implicit);
    Device d(0);
    Stream& s = d.streams.create(false);
    d.streams.begin_capture(s, CaptureMode::relaxed);
    CHECK(refused([&] { unjoined(d, s); }) == Status::capture_unjoined);
}

TEST_CASE("capture: a relaxed section of the thread may allocate") {
    Device d(0);
    Stream& s = d.streams.create(false);
    d.streams.begin_capture(s, CaptureMode::local);
    const CaptureMode before = Streams::exchange_mode(CaptureMode::relaxed);
    CHECK(refused([&] { d.streams.forbid_in_capture(); }) == Status::success);
    CHECK(Streams::exchange_mode(before) == CaptureMode::relaxed);
    CHECK(refused([&] { d.streams.forbid_in_capture(); }) == Status::capture_unsupported);
}

TEST_CASE("capture: of another thread forbids only where it is global, and ends in its thread") {
    for (const CaptureMode mode : {CaptureMode::global, CaptureMode::local, CaptureMode::relaxed}) {
        Device d(0);
        Stream& s = d.streams.create(false);
        Status allocation{}, end{};
        d.streams.begin_capture(s, mode);
        std::thread([&] {
            allocation = refused([&] { d.streams.forbid_in_capture(); });
            end = refused([&] { d.streams.end_capture(s); });
        }).join();
        CHECK(allocation == (mode == CaptureMode::global ? Status::capture_unsupported : Status::success));
        CHECK(end == (mode == CaptureMode::relaxed ? Status::success : Status::capture_wrong_thread));
    }
}

TEST_CASE("streams: handles that are none, and faults that name the work") {
    Device d(0);
    Stream& s = d.streams.create(false);
    d.streams.destroy(s);
    CHECK(refused([&] { d.streams.checked(&s); }) == Status::invalid_handle);
    Stream other;
    CHECK(refused([&] { d.streams.checked(&other); }) == Status::invalid_handle);
    Stream& t = d.streams.create(false);
    d.streams.submit(t, {"kernel k", {}}, [] { throw Fault("read past the end"); });
    CHECK_THROWS_WITH_AS(d.streams.synchronize(t), "kernel k on stream 2: read past the end", Fault);
}

}  // namespace emulator
