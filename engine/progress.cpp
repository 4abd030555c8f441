#include "engine/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "engine/text.h"

namespace microlift {
namespace {

constexpr double kTerminalSeconds = 0.1;
constexpr double kPlainSeconds = 5.0;
constexpr int kBarWidth = 24;

int terminal_width() {
    winsize size{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) {
        return size.ws_col;
    }
    return 80;
}

}  // namespace

double StageProgress::rate() const {
    const double since = seconds();
    return since > 0.0 ? (done - first) / since : 0.0;
}

double StageProgress::seconds_left() const {
    const double speed = rate();
    return speed > 0.0 && total > 0.0 ? std::max(0.0, total - done) / speed : -1.0;
}

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::Progress(ProgressListener& instead) : quiet_(true), silent_(true), terminal_(false), listeners_{&instead} {}

Progress::~Progress() {
    if (drawn_) {
        clear_line();
    }
}

void Progress::begin(const std::string& stage, double total, const std::string& unit,
                     double already) {
    end();
    at_ = {stage, unit, total, already, already, Clock::now()};
    open_ = true;
    shown_ = at_.started;
    for (ProgressListener* listener : listeners_) listener->begun(at_);
}

void Progress::update(double done) {
    if (!open_) {
        return;
    }
    at_.done = done;
    for (ProgressListener* listener : listeners_) listener->moved(at_);
    const double since = std::chrono::duration<double>(Clock::now() - shown_).count();
    if (!quiet_ && since >= (terminal_ ? kTerminalSeconds : kPlainSeconds)) {
        draw(false);
    }
}

void Progress::end() {
    if (!open_) {
        return;
    }
    if (!quiet_) {
        draw(true);
    }
    open_ = false;
    for (ProgressListener* listener : listeners_) listener->ended(at_);
}

void Progress::forget(ProgressListener& listener) { std::erase(listeners_, &listener); }

void Progress::figure(const std::string& name, double value) {
    for (ProgressListener* listener : listeners_) listener->found(name, value);
}

void Progress::note(const std::string& line) {
    for (ProgressListener* listener : listeners_) listener->noted(line);
    if (quiet_) {
        return;
    }
    if (drawn_) {
        clear_line();
    }
    std::fprintf(stderr, "%s\n", printable(line, kWholeText, Controls::escape).c_str());
}

void Progress::warn(const std::string& message) {
    for (ProgressListener* listener : listeners_) listener->warned(message);
    if (silent_) {
        return;
    }
    if (drawn_) {
        clear_line();
    }
    std::fprintf(stderr, "microlift: warning: %s\n", printable(message, kWholeText, Controls::escape).c_str());
}

void Progress::tell(const std::string& text) {
    for (ProgressListener* listener : listeners_) listener->told(text);
    if (!silent_) {
        std::cout << text;
    }
}

void Progress::clear_line() {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    drawn_ = false;
}

void Progress::draw(bool last) {
    shown_ = Clock::now();
    const double rate = at_.rate();
    const double share = at_.total > 0.0 ? std::clamp(at_.done / at_.total, 0.0, 1.0) : 0.0;
    std::string figures;
    if (rate > 0.0) {
        figures += "  " + format_count(rate) + " " + at_.unit + "/s";
    }
    if (last) {
        figures += "  " + format_seconds(at_.seconds());
    } else if (const double left = at_.seconds_left(); left >= 0.0) {
        figures += "  " + format_seconds(left) + " left";
    }
    char percent[16];
    std::snprintf(percent, sizeof percent, "%3d%%", static_cast<int>(std::floor(100.0 * share)));
    if (!terminal_) {
        if (last) {
            std::fprintf(stderr, "%s: done%s\n", at_.stage.c_str(), figures.c_str());
        } else {
            std::fprintf(stderr, "%s: %s%s\n", at_.stage.c_str(), percent, figures.c_str());
        }
        return;
    }
    const int full = static_cast<int>(std::lround(share * kBarWidth));
    std::string line = at_.stage;
    line.resize(std::max<std::size_t>(line.size(), 10), ' ');
    line += " [" + std::string(static_cast<std::size_t>(full), '#') +
            std::string(static_cast<std::size_t>(kBarWidth - full), '.') + "] " + percent + figures;
    line = line.substr(0, static_cast<std::size_t>(terminal_width() - 1));
    std::fprintf(stderr, "\r\033[K%s%s", line.c_str(), last ? "\n" : "");
    std::fflush(stderr);
    drawn_ = !last;
}

std::string format_count(double value) {
    static constexpr const char* kSuffix[] = {"", "k", "M", "G", "T", "P"};
    int power = 0;
    while (std::fabs(value) >= 999.5 && power < 5) {
        value /= 1000.0;
        ++power;
    }
    char text[32];
    std::snprintf(text, sizeof text, "%.3g%s", value, kSuffix[power]);
    return text;
}

std::string format_seconds(double seconds) {
    if (!std::isfinite(seconds) || seconds > 1e9) {
        return "very long";
    }
    const auto whole = static_cast<long long>(std::llround(seconds));
    char text[64];
    if (seconds < 9.95) {
        std::snprintf(text, sizeof text, "%.1fs", seconds);
    } else if (whole < 60) {
        std::snprintf(text, sizeof text, "%llds", whole);
    } else if (whole < 3600) {
        std::snprintf(text, sizeof text, "%lldm %02llds", whole / 60, whole % 60);
    } else {
        std::snprintf(text, sizeof text, "%lldh %02lldm", whole / 3600, whole / 60 % 60);
    }
    return text;
}

}  // namespace microlift
