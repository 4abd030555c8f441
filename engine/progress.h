#pragma once
// What a long run shows on stderr.

#include <chrono>
#include <string>

#include "engine/stop.h"

namespace microlift {

// A bar with rate and time left on a terminal, a line every few seconds elsewhere, nothing if quiet.
class Progress {
public:
    // Whoever hears all of it in place of stderr and stdout, from the thread that works: the Python module.
    class Listener {
    public:
        virtual ~Listener() = default;
        virtual void begin(const std::string& stage, double total, const std::string& unit, double already) = 0;
        virtual void update(double done) = 0;
        virtual void end() = 0;
        virtual void note(const std::string& line) = 0;
        virtual void warn(const std::string& message) = 0;
        virtual void tell(const std::string& text) = 0;
    };
    explicit Progress(bool quiet = false, Listener* listener = nullptr);
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
    // What the user has to know, quiet or not: "microlift: warning: …".
    void warn(const std::string& message);
    // The closing summary, to stdout.
    void tell(const std::string& text);

    bool quiet() const { return quiet_; }

private:
    using Clock = std::chrono::steady_clock;
    void draw(bool last);
    void clear_line();

    bool quiet_;
    bool terminal_;
    bool open_ = false;
    bool drawn_ = false;
    std::string stage_;
    std::string unit_;
    double total_ = 0.0;
    double done_ = 0.0;
    double first_ = 0.0;
    Clock::time_point started_;
    Clock::time_point shown_;
    Listener* listener_;
};

// "3.2e8" as people read it: 320M, 1.2k; "1h 02m", "3m 20s", "12s".
std::string format_count(double value);
std::string format_seconds(double seconds);

}  // namespace microlift
