// engine/comm/: the processes that compute one run together. May include engine/ and engine/device/.
//
// Every process holds the whole run and takes the same decisions; loops over trajectories are shared out, and
// what comes of them is gathered in the order of their numbers, so that no bit depends on how many share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

// The part of n things, in their order, that one process works on.
struct Share {
    index first = 0, count = 0;
};
Share share_of(index n, int rank, int size);

class Communicator {
public:
    // The processes that MPI started; this one alone before begin(), without MPI, and where nothing started it.
    static Communicator& world();
    // Version of the MPI library; empty: built without.
    static std::string library();

    // Before all else: how a message is told that ends this process or all.
    void tell_through(void (*tell)(const std::string&)) { tell_ = tell; }
    // Joins the others. InputError where there are some and this build has no MPI.
    void begin();
    // Waits for the others, and leaves.
    void finish();
    // This process cannot go on: ends all. The message is told once, by the first process if it answers. Returns
    // where all fail together.
    void fail(int status, const std::string& message);
    // What the first process does before an error of another ends it where it stands.
    void before_end(std::function<void(int status, const std::string& message)> last) { last_ = std::move(last); }

    int rank() const { return rank_; }
    int size() const { return size_; }
    bool alone() const { return size_ == 1; }
    bool first() const { return rank_ == 0; }  // who writes files and speaks
    Share share(index n) const { return share_of(n, rank_, size_); }
    // Likewise of trajectories, which nobody goes without: too few are not shared out.
    Share share_or_all(index n) const { return n < size_ ? Share{0, n} : share(n); }
    // Of the processes on the same machine.
    int local_rank() const { return local_rank_; }
    int local_size() const { return local_size_; }

    // Every process calls these in the same order.
    void wait_for_all();
    bool any(bool here) { return alone() ? here : most(here ? 1 : 0) > 0; }
    uint64 most(uint64 here);
    uint64 least(uint64 here);
    uint64 sum(uint64 here);
    void sum(std::vector<uint64>& values);
    // Of values of 4 bytes, one after the other, every process r has its words[r]; afterwards all have all. They may
    // lie in a device's memory where reaches() says so.
    void gather(void* values, const std::vector<index>& words);
    // The memory of a CPU, and of a GPU if the library knows how; of neither where MICROLIFT_MPI_STAGED=1 is set.
    bool reaches(bool cpu) const { return !staged_ && (cpu || reaches_gpus_); }

private:
    uint64 reduce(uint64 here, int operation);
    void wait(void* request);
    bool take_report(int& status, std::string& message);
    std::string of_process(const std::string& message, int rank) const;
    void look_for_errors();
    bool fails_together(int status, const std::string& message);

    int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
    bool begun_ = false, staged_ = false, reaches_gpus_ = false;
    void (*tell_)(const std::string&) = nullptr;
    std::function<void(int, const std::string&)> last_;
    int told_ = 0;  // processes that reported an error, in the first
};

}  // namespace microlift
