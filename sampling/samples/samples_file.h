#pragma once
// samples.h5: the stored samples, readable with h5py. /state (sample, variable) and /cv (sample, cv)
// are float32, /window (sample) int64, /weight (sample) float64, the log of the unbiasing weight, which is
// missing where no free energy was estimated.
// Attributes: variables, units of /state; centers, stiffness and blocks of /window; variables, units of /cv; units of /weight; of the file, the system
// and the checksum of the run's configuration.

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/files/array_file.h"

namespace microlift {

// What a file holds besides numbers.
struct SamplesInfo {
    index samples = 0;
    bool weighted = true;
    std::vector<std::string> variables;  // of the state
    std::vector<std::string> units;      // one for each variable, or empty for none
    std::vector<std::string> cvs;
    std::vector<std::string> cv_units;
    std::vector<double> centers;    // (window, cv), of the bias; an attribute of /window
    std::vector<double> stiffness;  // one for each cv
    // Of each run of samples: first window, windows, replicas, samples; sample s of trajectory t is row first + s ·
    // trajectories + t. Empty in files of an earlier version.
    std::vector<double> blocks;
    std::string system;             // what made them, for people
    std::string configuration;      // its checksum; empty in files of an earlier version
    int compression = 0;            // deflate's level, 0: none
};

// Writes a file piece by piece; it is there, whole, after finish().
class SamplesWriter {
public:
    SamplesWriter(const std::filesystem::path& file, const SamplesInfo& info);
    // The next `count` samples from variable-major arrays: variable d of sample i is
    // state[d * stride + i], collective variable c is cv[c * cv_stride + i]. Without weights the last is
    // null.
    void append(index count, const float* state, index stride, const float* cv, index cv_stride,
                const int* window, const double* log_weight);
    // Likewise of rows, as the file has them.
    void append_rows(index count, const float* state, const float* cv, const long long* window, const double* log_weight);
    void finish();  // every sample must be there

private:
    SamplesInfo info_;
    ArrayFileWriter file_;
    index written_ = 0;
    std::vector<float> states_, cvs_;
    std::vector<long long> windows_;
};

// Refuses a file that was truncated or altered.
class SamplesReader {
public:
    explicit SamplesReader(const std::filesystem::path& file);
    const SamplesInfo& info() const { return info_; }  // of the file
    // Samples [first, first + count), by rows; a null pointer leaves that array out. InputError names a
    // sample that no run can have left.
    void read(index first, index count, float* state, float* cv, long long* window,
              double* log_weight) const;

private:
    void check(index first, index count, const float* state, const float* cv,
               const long long* window, const double* log_weight) const;
    [[noreturn]] void refuse(index sample, const std::string& what) const;
    ArrayFileReader file_;
    SamplesInfo info_;
};

}  // namespace microlift
