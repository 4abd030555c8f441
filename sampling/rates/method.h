// A method: how a rate is made of many short trajectories. To add one: its file here, its line in methods.cpp.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/files/json.h"
#include "engine/files/store.h"
#include "sampling/rates/basin.h"

namespace microlift {

// "mfpt", "rate", "probability"
struct RateFigure {
    std::string quantity;
    double value = 0, error = 0;
};

// What a method found.
struct RateResult {
    std::vector<RateFigure> figures;
    Json metrics = Json::object();  // what the report draws
    std::vector<std::string> warnings;
    Store paths;  // of splitting: trajectories that reached `to`
};

// A method at work.
class RateMethod {
public:
    RateMethod(Stream& stream, const RateSetup& setup, index most, index basin, index loops)
        : stream_(stream), setup_(setup), ladder_(ladder_of(setup.rates)), lanes_(stream, setup_, most),
          basin_(stream, setup_, lanes_, basin, loops) {}
    virtual ~RateMethod() = default;
    RateMethod(const RateMethod&) = delete;
    RateMethod& operator=(const RateMethod&) = delete;

    // One look, and what follows from it; false: all is done. Between two of them a run may be stopped.
    virtual bool advance() = 0;
    virtual double share() const = 0;  // that is done, roughly
    // What is known now, at the end of all looks.
    virtual RateResult result() = 0;

    // Its trajectories.
    const RateLanes& lanes() const { return lanes_; }

    // Into a checkpoint, and back: what goes on from there has the same bits.
    virtual void save(Store& store) const {
        lanes_.save(store);
        basin_.save(store);
    }
    virtual void load(const Store& store) {
        lanes_.load(store);
        basin_.load(store);
    }

protected:
    index levels() const { return static_cast<index>(ladder_.levels.size()); }
    // mfpt and rate of ln(mfpt) in looks, by leaving out one repeat at a time; of(−1) leaves out none.
    void add_times(RateResult& result, const std::function<double(index)>& log_mfpt) const;

    Stream& stream_;
    const RateSetup setup_;
    const LevelLadder ladder_;
    RateLanes lanes_;
    Basin basin_;
};

// A figure and its standard error from `repeats` independent repeats, by leaving out one at a time.
RateFigure jackknife(index repeats, const std::function<double(index)>& of);

}  // namespace microlift
