// Devices, streams, buffers, the arena, graphs, transfer counters, launches, the thread pool.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include "engine/device/buffer.h"
#include "engine/device/staging.h"
#include "engine/launch/rows.h"
#include "engine/launch/teams.h"
#include "engine/error.h"
#include "engine/device/thread_pool.h"
#include "tests/support/devices.h"
#include "tests/support/launch_bodies.h"

namespace microlift {

namespace {

template <class E>
std::string message_of(const std::string& device) {
    try {
        Device::pick(device);
    } catch (const E& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("device: names") {
    CHECK(Device::pick("cpu").is_cpu());
    CHECK(Device::pick("cpu", 3).threads() == 3);
    CHECK(Device::pick("auto").is_cpu() == (Device::cuda_count() == 0));
    CHECK(Device::cpu().threads() >= 1);
    CHECK(Device::cpu(2).description().find("2 threads") != std::string::npos);
    CHECK(Device::cpu(1).memory_bytes() > (std::size_t{1} << 20));
    for (const char* wrong : {"gpu", "", "cuda:", "cuda:x", "cuda:1x", "CPU", "cpu:0"}) {
        const std::string name = wrong;
        CAPTURE(name);
        const std::string message = message_of<InputError>(name);
        CHECK(message.find("use auto, cpu, cuda or cuda:N") != std::string::npos);
    }
}

TEST_CASE("device: one that is not there is a DeviceError that says what to do") {
    const std::string beyond = "cuda:" + std::to_string(Device::cuda_count());
    CHECK(message_of<DeviceError>(beyond).find("use --device cpu") != std::string::npos);
    CHECK(!message_of<DeviceError>("cuda:-1").empty());
    if (Device::cuda_count() == 0) CHECK(!message_of<DeviceError>("cuda").empty());
    CHECK(DeviceError("x").exit_code() == 3);
    CHECK(InputError("x").exit_code() == 2);
    CHECK(NumericError("x").exit_code() == 4);
    CHECK(Interrupted(15).exit_code() == 143);
}

TEST_CASE("device: a fault is told in the words of the library whose call it was") {
    const auto said = [](int status, const char* call) {
        try {
            throw_cuda_error(status, call, "file.cpp", 7);
        } catch (const DeviceError& error) {
            return std::string(error.what());
        }
    };
    const std::string text = said(1, "nvrtcGetPTX(program, text)");
    CHECK(text.find("in nvrtcGetPTX(program, text) (file.cpp:7)") != std::string::npos);
    if (!kHaveCuda) return;
    CHECK(text.find("NVRTC_ERROR_OUT_OF_MEMORY") != std::string::npos);
    CHECK(said(2, "cudaMallocAsync(&data, n, s)").find("out of memory") != std::string::npos);
    CHECK(said(2, "cub::DeviceRadixSort::SortKeys()").find("out of memory") != std::string::npos);
    CHECK(said(2, "thrust::gather").find("out of memory") != std::string::npos);
    CHECK(said(15, "cublasLtMatmul()").find("NOT_SUPPORTED") != std::string::npos);
    CHECK(said(3, "other(1)").find("status 3 of other") != std::string::npos);
}

TEST_CASE("device: a process works with one GPU, and can ask about others") {
    if (Device::cuda_count() < 2) return;
    Stream stream(Device::cuda(0));
    const Device other = Device::cuda(1);
    CHECK(!other.description().empty());
    CHECK_THROWS_AS(Stream{other}, DeviceError);
    CHECK_THROWS_AS((Buffer<float>(other, 10)), DeviceError);
    const Buffer<float> a(stream.device(), 10);
    CHECK(to_host(stream, a.span()) == std::vector<float>(10));
}

TEST_CASE("buffer: memory that is freed while work on it waits is clear for the next") {
    for (const Device& device : test_devices()) {
        CAPTURE(device.description());
        Stream stream(device), another(device);
        const std::vector<float> ones(4096, 1.0f), zeros(4096);
        Buffer<float> source(device, 4096), kept(device, 4096);
        copy_to_device(stream, source.span(), ones.data());
        for (int turn = 0; turn < 20; ++turn) {
            Buffer<float> a(device, 4096);
            copy<float>(turn % 2 ? stream : another, kept.span(), a.span());
            copy<float>(stream, a.span(), source.span());
        }
        CHECK(to_host(another, kept.span()) == zeros);
    }
}

TEST_CASE("buffer: zeroed, aligned, moved, copied back") {
    for (const Device& device : test_devices()) {
        CAPTURE(device.description());
        Stream stream(device);
        Buffer<float> a(device, 1000);
        CHECK(a.size() == 1000);
        CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
        CHECK(to_host(stream, a.span()) == std::vector<float>(1000, 0.0f));
        std::vector<float> host(1000);
        std::iota(host.begin(), host.end(), 0.0f);
        copy_to_device(stream, a.span(), host.data());
        float* data = a.data();
        Buffer<float> b(std::move(a));
        CHECK(b.data() == data);
        Buffer<float> c;
        c = std::move(b);
        CHECK(c.data() == data);
        CHECK(to_host(stream, c.span()) == host);
        Buffer<float> d(device, 1000);
        copy<float>(stream, d.span().subspan(500, 500), c.span().subspan(0, 500));
        CHECK(to_host(stream, d.span())[499] == 0.0f);
        CHECK(to_host(stream, d.span())[500] == 0.0f);
        CHECK(to_host(stream, d.span())[999] == 499.0f);
        fill_zero(stream, c.span());
        CHECK(to_host(stream, c.span()) == std::vector<float>(1000, 0.0f));
        const Buffer<float> none(device, 0);
        CHECK(none.span().size == 0);
        CHECK(to_host(stream, none.span()).empty());
    }
}

TEST_CASE("transfer counters count every byte across, and nothing else") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        Buffer<float> a(device, 100), b(device, 100);
        const std::vector<float> host(100);
        const TransferCounters before = transfer_counters();
        copy_to_device(stream, a.span(), host.data());
        copy_to_device(stream, a.span().subspan(0, 10), host.data());
        to_host(stream, a.span());
        const TransferCounters after = transfer_counters();
        CHECK(after.bytes_to_device - before.bytes_to_device == 440);
        CHECK(after.bytes_to_host - before.bytes_to_host == 400);
        CHECK(after.waits - before.waits == 1);  // what goes to the host is waited for
        copy<float>(stream, b.span(), a.span());
        fill_zero(stream, a.span());
        stream.synchronize();
        const TransferCounters last = transfer_counters();
        CHECK(last.bytes_to_device == after.bytes_to_device);
        CHECK(last.bytes_to_host == after.bytes_to_host);
        CHECK(last.waits - after.waits == 1);
    }
}

TEST_CASE("copies between host and device take what was there, in pieces of any size") {
    for (const Device& device : test_devices()) {
        CAPTURE(device.description());
        Stream stream(device);
        const index most = static_cast<index>(kStagedBytes) / 4;
        Buffer<float> a(device, 3 * most), b(device, 3 * most);
        std::vector<float> host, all;
        index at = 0;
        // More small ones than are staged at once, ones that do not end where a block does, and large ones.
        for (const index n : {index{1}, index{300}, most / 8, most / 8 + 1, most - 3, most, most / 2}) {
            host.assign(static_cast<std::size_t>(n), 0.0f);
            std::iota(host.begin(), host.end(), static_cast<float>(at % 1000));
            all.insert(all.end(), host.begin(), host.end());
            const TransferCounters before = transfer_counters();
            copy_to_device(stream, a.span().subspan(at, n), host.data());
            CHECK(transfer_counters().waits - before.waits == 0);
            std::fill(host.begin(), host.end(), -1.0f);  // it was taken already
            copy<float>(stream, b.span().subspan(at, n), a.span().subspan(at, n));
            at += n;
        }
        for (int turn = 0; turn < 100; ++turn) {
            const float one = static_cast<float>(turn);
            copy_to_device(stream, b.span().subspan(turn, 1), &one);
            all[static_cast<std::size_t>(turn)] = one;
        }
        CHECK(to_host(stream, b.span().subspan(0, at)) == all);
        CHECK(to_host(stream, b.span().subspan(at - 5, 5)) ==
              std::vector<float>(all.end() - 5, all.end()));
        const TransferCounters before = transfer_counters();
        copy_to_device(stream, a.span().subspan(0, most + 1), all.data());
        CHECK(transfer_counters().waits - before.waits == 1);  // for what is staged
        CHECK(to_host(stream, a.span().subspan(most, 1))[0] == all[static_cast<std::size_t>(most)]);
    }
}

TEST_CASE("launches are counted by kernel, with their lanes; a graph's where it is recorded") {
    for (const Device& device : test_devices()) {
        Stream stream(device);
        Buffer<float> x(device, 100), y(device, 100);
        const std::string name = "microlift::AxpyTestBody";
        const auto before = launches_by_kernel()[name];
        const uint64 all = transfer_counters().kernel_launches;
        launch_axpy(stream, 2, x.span(), y.span());
        const Graph graph = stream.record([&] { launch_axpy(stream, 2, x.span(), y.span()); });
        graph.replay(stream);
        graph.replay(stream);
        stream.synchronize();
        CHECK(launches_by_kernel()[name].launches - before.launches == 2);
        CHECK(launches_by_kernel()[name].lanes - before.lanes == 200);
        CHECK(transfer_counters().kernel_launches - all == 2);
    }
}

TEST_CASE("graph: recorded work runs only on replay, as often as replayed") {
    for (const Device& device : test_devices()) {
        CAPTURE(device.description());
        Stream stream(device);
        Buffer<float> a(device, 64), b(device, 64);
        const std::vector<float> ones(64, 1.0f), twos(64, 2.0f), zeros(64);
        copy_to_device(stream, a.span(), ones.data());
        const Graph graph = stream.record([&] {
            copy<float>(stream, b.span(), a.span());
            fill_zero(stream, a.span());
        });
        CHECK(graph.nodes() == 2);
        CHECK(to_host(stream, b.span()) == zeros);
        graph.replay(stream);
        CHECK(to_host(stream, b.span()) == ones);
        CHECK(to_host(stream, a.span()) == zeros);
        copy_to_device(stream, a.span(), twos.data());
        graph.replay(stream);
        CHECK(to_host(stream, b.span()) == twos);
        // An exception ends the recording, and the stream works on.
        CHECK_THROWS_AS(stream.record([&] {
            copy<float>(stream, a.span(), b.span());
            throw std::runtime_error("stop");
        }),
                        std::runtime_error);
        CHECK(to_host(stream, a.span()) == zeros);
        copy<float>(stream, a.span(), b.span());
        CHECK(to_host(stream, a.span()) == twos);
    }
}

TEST_CASE("launch: every lane once, whatever the number of threads; recorded like any call") {
    std::vector<Device> devices{Device::cpu(1), Device::cpu(5)};
    for (const Device& device : test_devices()) devices.push_back(device);
    for (const Device& device : devices) {
        CAPTURE(device.description());
        Stream stream(device);
        for (const index n : {1ll, 15ll, 16ll, 17ll, 63ll, 1000ll, 4097ll}) {
            CAPTURE(n);
            const std::size_t size = static_cast<std::size_t>(n);
            std::vector<float> x(size), y(size), expected(size);
            for (std::size_t i = 0; i < size; ++i) {
                x[i] = 0.1f * static_cast<float>(i);
                y[i] = 1.0f + static_cast<float>(i);
                expected[i] = fma(0.3f, x[i], y[i]);
            }
            Buffer<float> device_x(device, n), device_y(device, n);
            copy_to_device(stream, device_x.span(), x.data());
            copy_to_device(stream, device_y.span(), y.data());
            const uint64 before = transfer_counters().kernel_launches;
            launch_axpy(stream, 0.3f, device_x.span(), device_y.span());
            CHECK(transfer_counters().kernel_launches == before + 1);
            CHECK(to_host(stream, device_y.span()) == expected);
            Buffer<int> count(device, n);
            launch_count(stream, count.span());
            CHECK(to_host(stream, count.span()) == std::vector<int>(size, 1));
            Buffer<double> z(device, n);
            const Graph graph = stream.record([&] { launch_add_one(stream, z.span()); });
            CHECK(graph.nodes() == 1);
            CHECK(to_host(stream, z.span()) == std::vector<double>(size, 0.0));
            graph.replay(stream);
            graph.replay(stream);
            CHECK(to_host(stream, z.span()) == std::vector<double>(size, 2.0));
        }
        launch_axpy(stream, 0.3f, {}, {});
    }
}

TEST_CASE("rows: memory for one thread does not serve a device with more") {
    const Device one = Device::cpu(1), four = Device::cpu(4);
    const RowMemory<float> few(one, 3, 1000), enough(four, 3, 1000);
    CHECK(few.serves(one, 1000));
    CHECK(!few.serves(four, 1000));
    CHECK(enough.serves(one, 1000));
    CHECK(enough.serves(four, 1000000));  // a thread has one pack at work, however many there are
    CHECK(!RowMemory<float>().serves(one, 1));
}

TEST_CASE("teams: many small items have a lane each; few or large ones share a warp as its memory allows") {
    for (const Device& device : test_devices()) {
        const auto lanes = [&](index items, index numbers, bool large, int most) {
            return team_lanes(device, {items, numbers, large, most});
        };
        if (device.is_cpu()) {
            CHECK(lanes(1, 4000, true, 80) == 1);
            continue;
        }
        CHECK(lanes(1 << 20, 500, false, 11) == 1);
        CHECK(lanes(64, 500, false, 11) == 8);  // as many as find work
        CHECK(lanes(64, 100, false, 3) == 1);
        CHECK(lanes(1 << 20, 1000000, true, 80) == 1);  // no shared memory holds it
        CHECK(lanes(1, 4000, true, 80) == 32);
        if (!is_emulated(device)) continue;  // by numbers of an H100
        CHECK(lanes(1 << 20, 1500, true, 26) == 16);
        CHECK(lanes(1 << 20, 4100, true, 83) == 32);
        CHECK(lanes(132 * 128, 500, false, 11) == 1);
        CHECK(lanes(132 * 128 - 1, 500, false, 11) == 4);
        CHECK(lanes(132 * 64, 500, false, 11) == 8);
        CHECK(lanes(1 << 20, 30000, true, 83) == 32);  // one warp for each processor
        CHECK(lanes(1, 14000, false, 8) == 8);
        CHECK(lanes(1, 20000, false, 8) == 16);  // else its shared memory would not do
    }
    for (const int lanes : {4, 8, 16, 32})
        for (const index numbers : {96, 1500, 1501, 4127}) {
            const index stride = team_stride(numbers, lanes);
            CHECK(stride >= numbers);
            CHECK(stride < numbers + 32);
            CHECK((stride - 3 * lanes) % 32 == 0);
        }
    setenv("MICROLIFT_TEAM", "16", 1);
    CHECK(team_lanes(test_devices().back(), {1 << 20, 500, false, 11}) == (test_devices().size() > 1 ? 16 : 1));
    setenv("MICROLIFT_TEAM", "5", 1);
    if (test_devices().size() > 1)
        CHECK_THROWS_WITH_AS(team_lanes(test_devices().back(), {1, 500, false, 11}),
                             doctest::Contains("MICROLIFT_TEAM is '5': lanes of a replica's team are 1, 4, 8, 16 or 32"),
                             InputError);
    unsetenv("MICROLIFT_TEAM");
}

TEST_CASE("thread pool: every task once, on several threads, again and again") {
    for (const int threads : {1, 2, 4}) {
        ThreadPool pool(threads);
        CHECK(pool.threads() == threads);
        for (int round = 0; round < 2000; ++round) {
            std::atomic<long long> sum{0};
            const index tasks = round % 37;
            pool.run(tasks, [&](index t) { sum += t + 1; });
            REQUIRE(sum == tasks * (tasks + 1) / 2);
        }
    }
    // Two tasks that wait for each other end only if two threads run them.
    ThreadPool pool(2);
    std::atomic<int> arrived{0};
    pool.run(2, [&](index) {
        ++arrived;
        while (arrived < 2) std::this_thread::yield();
    });
    CHECK(arrived == 2);
}

TEST_CASE("thread pool: after a pause workers wake up again") {
    ThreadPool pool(3);
    for (int round = 0; round < 5; ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::atomic<int> ran{0};
        pool.run(50, [&](index) { ++ran; });
        CHECK(ran == 50);
    }
}

TEST_CASE("thread pool: an exception of a task reaches the caller, and the pool goes on") {
    for (const int threads : {1, 2, 4}) {
        ThreadPool pool(threads);
        for (int round = 0; round < 200; ++round) {
            std::string caught;
            try {
                pool.run(20, [&](index t) {
                    if (t % 7 == 3) throw NumericError("task " + std::to_string(t));
                });
            } catch (const NumericError& error) {
                caught = error.what();
            }
            REQUIRE(caught.rfind("task ", 0) == 0);
            std::atomic<int> ran{0};
            pool.run(20, [&](index) { ++ran; });
            REQUIRE(ran == 20);
        }
    }
}

}  // namespace microlift
