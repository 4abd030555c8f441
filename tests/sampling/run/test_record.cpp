// The record of a run: keys in the order of insertion, values that never move.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "engine/files/json.h"

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
    const Json again = Json::parse(text).value();
    CHECK(again == record);
    CHECK(again.dump() == text);
    const Json copy = record;
    record.erase("stages");
    CHECK(!record.contains("stages"));
    CHECK(copy.at("stages").at("sample").value("seconds", 0.0) == 7);
    CHECK(copy.value("missing", std::string("none")) == "none");
    CHECK_THROWS_AS(copy.at("missing"), std::out_of_range);
    const Json repeated = Json::parse("{\"a\": 1, \"a\": 2}").value();
    CHECK(repeated.size() == 1);
    CHECK(repeated.at("a") == 2);
}

TEST_CASE("record: texts are those of the library that parses them") {
    const std::string text = R"({"empty": {"list": [], "object": {}}, "null": null, "yes": true,
        "numbers": [0, -1, 18446744073709551615, 0.1, 1e300, -2.5e-7, 1.0, 123456789012345.6],
        "text": "a \"quoted\" line\n\u00e9", "nested": [[1, 2], {"a": [{"b": "c"}]}]})";
    const Json record = Json::parse(text).value();
    const auto other = nlohmann::ordered_json::parse(text);
    for (const int indent : {-1, 0, 1, 4}) CHECK(record.dump(indent) == other.dump(indent));
    for (const char* wrong : {"", "{", "[1,]", "{\"a\" 1}", "nul", "1 2"})
        CHECK(!Json::parse(wrong));
    CHECK(Json::parse(std::string(200, '[') + std::string(200, ']')));
    CHECK(!Json::parse(std::string(201, '[') + std::string(201, ']')));
}

TEST_CASE("record: lists in braces are objects where every item is named") {
    const Json pairs{{"value", 1.5}, {"error", "none"}};
    CHECK(pairs.dump() == R"({"value":1.5,"error":"none"})");
    Json list;
    list.push_back({1, 2.5, "three"});
    list.push_back(std::vector<double>{0.5, 1});
    CHECK(list.dump() == R"([[1,2.5,"three"],[0.5,1.0]])");
    CHECK(list[1].get<std::vector<double>>() == std::vector<double>{0.5, 1});
    CHECK(Json(3) == Json(3.0));
    CHECK(Json(-1) != Json(~std::uint64_t{0}));
    CHECK_THROWS_AS(list["key"], std::runtime_error);
    CHECK_THROWS_AS(pairs.at("error").get<double>(), std::runtime_error);
}

}  // namespace microlift
