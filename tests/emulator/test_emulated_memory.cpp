#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <csignal>
#include <cstring>
#include <new>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {

template <class F>
std::string fault_in(const F& f) {
    try {
        f();
    } catch (const Fault& fault) {
        return fault.what();
    }
    return "";
}

}  // namespace

TEST_CASE("emulated memory: buffers are apart, aligned, and end where they end") {
    Memory& m = Memory::device();
    const std::size_t live = m.live_buffers(), room = m.free_bytes();
    const std::uint64_t a = m.allocate(100, "a"), b = m.allocate(8, "b");
    CHECK(a % 256 == 0);
    CHECK(b >= a + 100 + 256);
    CHECK(Memory::is_device(a));
    CHECK(!Memory::is_device(reinterpret_cast<std::uint64_t>(&m)));
    CHECK(m.live_buffers() == live + 2);
    CHECK(m.free_bytes() == room - 108);
    std::memset(m.at(a, 100, Access::write), 7, 100);
    CHECK(static_cast<int>(*m.at(a + 99, 1, Access::read)) == 7);
    CHECK(contains(fault_in([&] { m.at(a, 101, Access::write); }),
                   "0 bytes past the end of buffer 'a' (100 bytes)"));
    CHECK(contains(fault_in([&] { m.at(a + 2, 4, Access::read, 4); }), "not aligned to 4"));
    CHECK(contains(fault_in([&] { m.at(b, 8, Access::read); }),
                   "byte 0 of buffer 'b' (8 bytes), which was never written"));
    CHECK_NOTHROW(m.at(b, 8, Access::peek));
    m.free(a);
    CHECK(contains(fault_in([&] { m.at(a + 5, 1, Access::read); }),
                   "byte 5 of the freed buffer 'a'"));
    CHECK(contains(fault_in([&] { m.free(a); }), "freed twice"));
    CHECK(contains(fault_in([&] { m.free(b + 1); }), "no buffer starts at"));
    m.free(b);
    CHECK(m.free_bytes() == room);
    CHECK_THROWS_AS(m.allocate(m.total_bytes() + 1, "too much"), std::bad_alloc);
}

TEST_CASE("emulated memory: a fresh buffer is unwritten even where another was") {
    Memory& m = Memory::device();
    const std::uint64_t a = m.allocate(1 << 20, "a");
    m.at(a, 1 << 20, Access::write);
    m.free(a);
    const std::uint64_t b = m.allocate(1 << 20, "b");
    CHECK_THROWS_AS(m.at(b + 5000, 1, Access::read), Fault);
    m.free(b);
}

TEST_CASE("emulated memory: copies inside the device keep what was never written") {
    Memory& m = Memory::device();
    const std::uint64_t a = m.allocate(16, "a"), b = m.allocate(16, "b");
    std::memset(m.at(a, 8, Access::write), 3, 8);
    m.copy(b, a, 16);
    CHECK(static_cast<int>(*m.at(b + 7, 1, Access::read)) == 3);
    CHECK_THROWS_AS(m.at(b + 8, 1, Access::read), Fault);
    m.free(a);
    m.free(b);
}

TEST_CASE("emulated memory: the host stops where it reads a device address") {
    const Array<int> x(std::vector<int>{1, 2});
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*reinterpret_cast<volatile int*>(x.address()) == 1 ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGSEGV);
}
