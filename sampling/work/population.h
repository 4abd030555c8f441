// Population annealing (Hukushima, Iba, AIP Conf. Proc. 690 (2003) 200; Machta, Phys. Rev. E 82 (2010) 026704): walkers
// in equilibrium at one temperature are drawn anew by their weights at the next. The mean weight is the ratio of both
// partition functions. Walkers are drawn within islands, which know nothing of one another: their ratios are unbiased and
// independent, and tell the error.
#pragma once

#include <array>
#include <vector>

#include "engine/device/buffer.h"

namespace microlift {

class Stream;

// The largest number of islands, four to 32, that share so many walkers evenly, eight or more each; 0: there is none.
index population_islands(index walkers);

class Population {
public:
    Population(Stream& stream, index walkers, uint64 seed);

    index islands() const { return islands_; }
    // The parents of a population that goes from one inverse temperature on by `step`, from energies (walkers) at the
    // first; adds to log_z(). `rung` numbers the draw.
    void choose(double step, Span<const float> energy, uint64 rung);
    // Of one in which islands count by what they hold: the last of all.
    void merge(uint64 rung);
    // x (rows, walkers) of the parents, times `factor`.
    void draw(Span<float> x, index rows, float factor = 1);

    // ln of the mean weight so far, of each island.
    const std::vector<double>& log_z() const { return log_z_; }
    // Walkers of the first temperature that still have offspring.
    index families() const;

    std::vector<long long> family() const;
    void load(const std::vector<long long>& family, const std::vector<double>& log_z);

private:
    void choose_among(index islands, uint64 rung);

    Stream& stream_;
    index walkers_, islands_;
    uint64 seed_;
    std::vector<double> log_z_;
    Buffer<double> weight_, sums_, largest_, scratch_;
    Buffer<index> parent_, family_, drawn_family_;
    Buffer<float> drawn_;
};

struct LogRatio {
    double value = 0, error = 0;
};
// Of ln of the mean of e^{log_z}.
LogRatio log_ratio(const std::vector<double>& log_z);

}  // namespace microlift
