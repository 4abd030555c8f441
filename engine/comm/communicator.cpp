#include "engine/comm/communicator.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>

#include "engine/error.h"
#include "engine/stop_together.h"

#if defined(MICROLIFT_HAVE_MPI)
#include <mpi.h>
#if defined(OPEN_MPI)
#include <mpi-ext.h>
#endif
#endif

namespace microlift {

namespace {

// What starters of processes say to each of them: how many there are.
int announced_size() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"})
        if (const char* text = std::getenv(name)) return std::max(1, std::atoi(text));
    return std::getenv("PMIX_RANK") || std::getenv("PMI_RANK") ? 2 : 1;  // of how many, MPI will say
}

#if defined(MICROLIFT_HAVE_MPI)

using SteadyClock = std::chrono::steady_clock;

constexpr int kErrorTag = 1, kEndTag = 2;
constexpr double kOthersSeconds = 2;   // until all who fail have said so
constexpr double kAnswerSeconds = 5;   // until the first process answers one that fails
enum Operation { kMost, kLeast, kSum };

MPI_Comm words = MPI_COMM_NULL, errors = MPI_COMM_NULL;

double seconds_since(SteadyClock::time_point start) {
    return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

bool hands_device_memory_on() {
#if defined(MPIX_CUDA_AWARE_SUPPORT) && MPIX_CUDA_AWARE_SUPPORT
    return MPIX_Query_cuda_support() == 1;
#else
    return false;
#endif
}

// Others may need the processor: after a moment it is given away.
void rest(SteadyClock::time_point since) {
    constexpr double kEager = 2e-3;
    if (seconds_since(since) < kEager) {
        ::sched_yield();
        return;
    }
    constexpr timespec pause{0, 50000};
    ::nanosleep(&pause, nullptr);
}

#endif

}  // namespace

Share share_of(index n, int rank, int size) {
    const index whole = n / size, more = n % size, r = rank;
    return {r * whole + std::min(r, more), whole + (r < more ? 1 : 0)};
}

Communicator& Communicator::world() {
    static Communicator communicator;
    return communicator;
}

#if defined(MICROLIFT_HAVE_MPI)

std::string Communicator::library() {
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
    int length = 0;
    MPI_Get_library_version(text, &length);
    const std::string whole(text);
    return whole.substr(0, whole.find_first_of(",\n"));
}

void Communicator::begin() {
    if (begun_ || announced_size() == 1) return;
    int provided = 0;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
        throw DeviceError("MPI does not start; see what it says, or run one process without mpirun");
    begun_ = true;
    MPI_Comm_dup(MPI_COMM_WORLD, &words);
    MPI_Comm_dup(MPI_COMM_WORLD, &errors);
    MPI_Comm_rank(words, &rank_);
    MPI_Comm_size(words, &size_);
    MPI_Comm node = MPI_COMM_NULL;
    MPI_Comm_split_type(words, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &local_rank_);
    MPI_Comm_size(node, &local_size_);
    MPI_Comm_free(&node);
    const char* const staged = std::getenv("MICROLIFT_MPI_STAGED");
    staged_ = staged && std::strcmp(staged, "1") == 0;
    reaches_gpus_ = hands_device_memory_on();
}

void Communicator::finish() {
    if (!begun_) return;
    wait_for_all();
    MPI_Finalize();
    begun_ = false;
}

void Communicator::fail(int status, const std::string& message) {
    if (first()) tell_(message);
    if (!begun_) return;
    if (!fails_together(status, message)) MPI_Abort(MPI_COMM_WORLD, status);
    MPI_Finalize();
    begun_ = false;
}

bool Communicator::fails_together(int status, const std::string& message) {
    const auto start = SteadyClock::now();
    if (first()) {
        int of_other = 0;
        std::string text;
        while (told_ < size_ - 1 && seconds_since(start) < kOthersSeconds) {
            take_report(of_other, text);
            rest(start);
        }
        for (int r = 1; told_ == size_ - 1 && r < size_; ++r) MPI_Send(nullptr, 0, MPI_CHAR, r, kEndTag, errors);
        return told_ == size_ - 1;
    }
    const std::string report = std::string(1, static_cast<char>(status)) + message;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(report.data(), static_cast<int>(report.size()), MPI_CHAR, 0, kErrorTag, errors, &request);
    for (int sent = 0, answered = 0; seconds_since(start) < kAnswerSeconds; rest(start)) {
        if (!sent) MPI_Test(&request, &sent, MPI_STATUS_IGNORE);
        MPI_Iprobe(0, kEndTag, errors, &answered, MPI_STATUS_IGNORE);
        if (!answered) continue;
        MPI_Recv(nullptr, 0, MPI_CHAR, 0, kEndTag, errors, MPI_STATUS_IGNORE);
        return true;
    }
    tell_(of_process(message, rank_));
    return false;
}

bool Communicator::take_report(int& status, std::string& message) {
    int found = 0;
    MPI_Status from;
    MPI_Iprobe(MPI_ANY_SOURCE, kErrorTag, errors, &found, &from);
    if (!found) return false;
    int length = 0;
    MPI_Get_count(&from, MPI_CHAR, &length);
    std::string report(static_cast<std::size_t>(length), '\0');
    MPI_Recv(report.data(), length, MPI_CHAR, from.MPI_SOURCE, kErrorTag, errors, MPI_STATUS_IGNORE);
    ++told_;
    status = static_cast<unsigned char>(report[0]);
    message = of_process(report.substr(1), from.MPI_SOURCE);
    return true;
}

std::string Communicator::of_process(const std::string& message, int rank) const {
    return message + " (process " + std::to_string(rank) + " of " + std::to_string(size_) + ")";
}

// What others sent or wait for lies in memory that must stay: nothing is unwound here.
void Communicator::look_for_errors() {
    int status = 0;
    std::string message;
    if (!take_report(status, message)) return;
    tell_(message);
    if (last_) last_(status, message);
    remove_unfinished();
    MPI_Abort(MPI_COMM_WORLD, status);
}

void Communicator::wait(void* request) {
    const auto start = SteadyClock::now();
    constexpr int kOften = 16;
    for (int turn = 1, done = 0;; ++turn) {
        MPI_Test(static_cast<MPI_Request*>(request), &done, MPI_STATUS_IGNORE);
        if (done) return;
        if (first() && turn % kOften == 0) look_for_errors();
        rest(start);
    }
}

void Communicator::wait_for_all() {
    if (alone()) return;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Ibarrier(words, &request);
    wait(&request);
}

uint64 Communicator::reduce(uint64 here, int operation) {
    if (alone()) return here;
    uint64 all = 0;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Iallreduce(&here, &all, 1, MPI_UINT64_T,
                   operation == kMost ? MPI_MAX : operation == kLeast ? MPI_MIN : MPI_SUM, words, &request);
    wait(&request);
    return all;
}

uint64 Communicator::most(uint64 here) { return reduce(here, kMost); }
uint64 Communicator::least(uint64 here) { return reduce(here, kLeast); }
uint64 Communicator::sum(uint64 here) { return reduce(here, kSum); }

void Communicator::sum(std::vector<uint64>& values) {
    if (alone()) return;
    constexpr std::size_t kPiece = std::size_t{1} << 30;  // counts are of 32 bits
    for (std::size_t done = 0; done < values.size(); done += kPiece) {
        MPI_Request request = MPI_REQUEST_NULL;
        MPI_Iallreduce(MPI_IN_PLACE, values.data() + done, static_cast<int>(std::min(kPiece, values.size() - done)),
                       MPI_UINT64_T, MPI_SUM, words, &request);
        wait(&request);
    }
}

void Communicator::gather(void* values, const std::vector<index>& words_of) {
    constexpr index kWord = 4, kMost = std::numeric_limits<int>::max();
    if (alone()) return;
    const index total = std::accumulate(words_of.begin(), words_of.end(), index{0});
    MPI_Request request = MPI_REQUEST_NULL;
    if (total <= kMost) {
        std::vector<int> counts(words_of.begin(), words_of.end()), places(words_of.size(), 0);
        std::partial_sum(counts.begin(), counts.end() - 1, places.begin() + 1);
        MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values, counts.data(), places.data(), MPI_UINT32_T, words,
                        &request);
        return wait(&request);
    }
    char* at = static_cast<char*>(values);
    for (int r = 0; r < size_; ++r)
        for (index left = words_of[static_cast<std::size_t>(r)]; left > 0;) {
            const index now = std::min(left, kMost);
            MPI_Ibcast(at, static_cast<int>(now), MPI_UINT32_T, r, words, &request);
            wait(&request);
            at += now * kWord;
            left -= now;
        }
}

#else

std::string Communicator::library() { return ""; }

void Communicator::begin() {
    if (announced_size() > 1)
        throw InputError("this microlift was built without MPI, so that every process would compute the same run; "
                         "start one, or build with -DMICROLIFT_MPI=ON");
}

void Communicator::finish() {}
void Communicator::fail(int, const std::string& message) { tell_(message); }
void Communicator::wait_for_all() {}
uint64 Communicator::most(uint64 here) { return here; }
uint64 Communicator::least(uint64 here) { return here; }
uint64 Communicator::sum(uint64 here) { return here; }
void Communicator::sum(std::vector<uint64>&) {}
void Communicator::gather(void*, const std::vector<index>&) {}

#endif

}  // namespace microlift
