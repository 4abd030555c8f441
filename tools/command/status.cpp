// status: what a run is doing, from its files alone.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "engine/files/status_file.h"
#include "engine/progress.h"
#include "engine/text.h"
#include "sampling/run/pipeline.h"
#include "tools/command/commands.h"

namespace microlift {
namespace {

std::string state_line(const Json& status) {
    const std::string state = status.at("state").get<std::string>();
    const std::string where = "process " + std::to_string(status.at("process").get<long long>()) + " on " +
                              status.at("host").get<std::string>();
    const double looked = status.at("looked").get<double>();
    const std::string lasted = format_seconds(looked - status.at("started").get<double>());
    const std::string ago = format_seconds(status.at("since_look").get<double>()) + " ago";
    if (state == "running") return "running for " + lasted + ", " + where;
    if (state == "stale")
        return "stale: " + where + " was last heard of " + ago + ", after " + lasted +
               "; if it is gone, go on with --resume";
    if (state == "killed")
        return "killed: " + where + " is gone, last heard of " + ago + ", after " + lasted + "; go on with --resume";
    return state + " " + ago + ", after " + lasted + ", " + where + ", exit status " +
           std::to_string(status.at("exit_status").get<long long>());
}

void print_stage(const Json& status) {
    const std::string stage = status.at("stage").get<std::string>();
    if (stage.empty()) return;
    const double total = status.at("total").get<double>(), done = status.at("done").get<double>();
    const std::string unit = status.at("unit").get<std::string>();
    std::cout << "stage: " << printable(stage, kWholeText, Controls::blank);
    if (total > 0) std::cout << ", " << std::floor(100 * done / total) << " %";
    std::cout << ", " << format_count(done) << " of " << format_count(total) << " " << unit;
    if (const double rate = status.at("rate").get<double>(); rate > 0)
        std::cout << ", " << format_count(rate) << " " << unit << "/s";
    if (const Json& left = status.at("seconds_left"); left.is_number() && status.at("state").get<std::string>() == "running")
        std::cout << ", " << format_seconds(left.get<double>()) << " left";
    std::cout << "\n";
}

}  // namespace

void command_status(const std::string& dir, bool json) {
    const std::filesystem::path file = std::filesystem::path(dir) / kStatusName;
    const Json status = read_status(file);
    if (json) {
        std::cout << status.dump(1) << "\n";
        return;
    }
    try {
        std::cout << state_line(status) << "\n";
        if (const std::string message = status.value("message", ""); !message.empty())
            std::cout << "message: " << printable(message, kWholeText, Controls::blank) << "\n";
        print_stage(status);
        for (const auto& [name, value] : status.at("figures").items())
            std::cout << printable(name, kWholeText, Controls::blank) << ": "
                      << (value.is_number() ? number(value.get<double>(), 6) : "unknown") << "\n";
        if (const std::string note = status.value("note", ""); !note.empty())
            std::cout << "last said: " << printable(note, kWholeText, Controls::blank) << "\n";
    } catch (const std::exception&) {
        throw InputError(file.string() + ": it is no status of a run; give the directory of a run");
    }
}

}  // namespace microlift
