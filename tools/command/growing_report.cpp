#include "tools/command/growing_report.h"

#include <utility>

#include "tools/command/commands.h"

namespace microlift {
namespace {

// A page costs some seconds of a processor: runs that are short have the last one alone, long ones few.
constexpr std::chrono::seconds kFirst{5}, kBetween{60};

}  // namespace

GrowingReport::GrowingReport(std::filesystem::path dir, Progress& progress)
    : dir_(std::move(dir)), progress_(progress), due_(Clock::now() + kFirst) {
    progress_.add(*this);
}

GrowingReport::~GrowingReport() {
    progress_.forget(*this);
    if (writer_.joinable()) writer_.join();
}

void GrowingReport::ended(const StageProgress&) {
    changed_ = true;
    write_if_due();
}

void GrowingReport::write_if_due() {
    if (!changed_ || busy_ || Clock::now() < due_ || !std::filesystem::exists(dir_ / "metrics.json")) return;
    if (writer_.joinable()) writer_.join();
    changed_ = false;
    busy_ = true;
    due_ = Clock::now() + kBetween;
    writer_ = std::thread([this] {
        try {
            write_report(dir_);
        } catch (...) {
            // The last page tells what is wrong.
        }
        busy_ = false;
    });
}

}  // namespace microlift
