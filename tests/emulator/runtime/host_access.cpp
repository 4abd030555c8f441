// The host has no way into the device's range of addresses: a read or write there is a segmentation fault, and
// this says whose. Test frameworks put handlers of their own in front; each call of the runtime looks again.
#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "tests/emulator/memory.h"
#include "tests/emulator/runtime/runtime.h"

namespace emulator {

namespace {

struct sigaction theirs;

void say(int signal, siginfo_t* info, void*) {
    const auto address = reinterpret_cast<std::uint64_t>(info->si_addr);
    if (Memory::is_device(address)) {
        // The process ends here: what is not safe in a handler can do no further harm.
        const std::string text = "emulated device: the host used as its own " +
                                 Memory::device().describe(address) + "\n";
        if (write(STDERR_FILENO, text.data(), text.size()) < 0) return;
    }
    sigaction(signal, &theirs, nullptr);  // the access is repeated, and theirs sees it
}

}  // namespace

void watch_host_accesses() {
    struct sigaction now;
    if (sigaction(SIGSEGV, nullptr, &now) != 0) return;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == say) return;
    theirs = now;
    struct sigaction ours;
    std::memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = say;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    sigaction(SIGSEGV, &ours, nullptr);
}

}  // namespace emulator
