#pragma once
// What a long run shows on stderr.

#include <chrono>
#include <string>
#include <vector>

#include "engine/stop.h"

namespace microlift {

// A stage on its way.
struct StageProgress {
    std::string stage, unit;
    double total = 0.0, done = 0.0;
    double first = 0.0;  // done by an earlier process
    std::chrono::steady_clock::time_point started{};
    // Since it began in this process.
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count(); }
    double rate() const;          // units a second, 0: not known
    double seconds_left() const;  // negative: not known
};

// Who else wants to know, from the thread that works: the log and the status of a run, the Python module. Told
// whether or not anything is shown.
class ProgressListener {
public:
    virtual ~ProgressListener() = default;
    // A stage begins, moves, ends; a line of note, a warning, a line of the summary; a figure by its name.
    virtual void begun(const StageProgress&) {}
    virtual void moved(const StageProgress&) {}  // often: to be cheap
    virtual void ended(const StageProgress&) {}
    virtual void noted(const std::string&) {}
    virtual void warned(const std::string&) {}
    virtual void told(const std::string&) {}
    virtual void found(const std::string&, double) {}
};

// A bar with rate and time left on a terminal, a line every few seconds elsewhere, nothing if quiet.
class Progress {
public:
    explicit Progress(bool quiet = false);
    // Nothing is shown: `instead` hears it, as the Python module does.
    explicit Progress(ProgressListener& instead);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // A stage of `total` units ("steps", "updates", …); ends the one before.
    // `already` units were done by an earlier process and do not count for the rate.
    void begin(const std::string& stage, double total, const std::string& unit,
               double already = 0.0);
    void update(double done);  // cheap: draws at most ten times a second
    void end();
    // A line of its own, above the bar: a warning, a finding.
    void note(const std::string& line);
    // A figure so far, such as an acceptance, which is not shown but told to listeners.
    void figure(const std::string& name, double value);
    // What the user has to know, quiet or not: "microlift: warning: …".
    void warn(const std::string& message);
    // The closing summary, to stdout.
    void tell(const std::string& text);
    // `listener` hears it, too, until it is forgotten; it has to live as long.
    void add(ProgressListener& listener) { listeners_.push_back(&listener); }
    void forget(ProgressListener& listener);

    // Whether it shows nothing.
    bool quiet() const { return quiet_; }

private:
    using Clock = std::chrono::steady_clock;
    void draw(bool last);
    void clear_line();

    bool quiet_;
    bool silent_ = false;
    bool terminal_;
    bool open_ = false;
    bool drawn_ = false;
    StageProgress at_;
    Clock::time_point shown_;
    std::vector<ProgressListener*> listeners_;
};

// "3.2e8" as people read it: 320M, 1.2k; "1h 02m", "3m 20s", "12s".
std::string format_count(double value);
std::string format_seconds(double seconds);

}  // namespace microlift
