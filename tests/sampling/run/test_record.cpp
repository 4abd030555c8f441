// The record of a run: keys in the order of insertion, values that never move.
#include <doctest/doctest.h>

#include <string>

#include "sampling/run/record.h"

namespace microlift {

TEST_CASE("record: a reference stays good while other keys are added, and order is kept") {
    Json record = Json::object();
    Json& stages = record["stages"];
    Json& sample = stages["sample"];
    sample["seconds"] = 1;
    const Json* where = &sample["seconds"];
    for (int i = 0; i < 1000; ++i) {
        record["key " + std::to_string(i)] = i;
        stages["stage " + std::to_string(i)]["seconds"] = i;
        sample["figure " + std::to_string(i)] = i;
    }
    CHECK(where == &record["stages"]["sample"]["seconds"]);
    sample["seconds"] = 7;
    CHECK(record["stages"]["sample"]["seconds"] == 7);
    CHECK(record.dump().substr(0, 41) == R"({"stages":{"sample":{"seconds":7,"figure )");
    CHECK(record.size() == 1001);

    const std::string text = record.dump();
    const Json again = Json::parse(text);
    CHECK(again == record);
    CHECK(again.dump() == text);
    const Json copy = record;
    record.erase("stages");
    CHECK(!record.contains("stages"));
    CHECK(copy.at("stages").at("sample").value("seconds", 0.0) == 7);
    CHECK(copy.value("missing", std::string("none")) == "none");
    CHECK_THROWS_AS(copy.at("missing"), Json::out_of_range);
    CHECK(Json::parse("{\"a\": 1, \"a\": 2}").size() == 1);
}

}  // namespace microlift
