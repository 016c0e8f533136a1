// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_record.h"

#include <cmath>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/core/error_of.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(RunRecord, NumbersThatAreNotFiniteAreNullWithTheirReasons) {
  EXPECT_EQ(record_text({{"schema", 2}, {"loss", 0.5}, {"rate", nullptr}, {"name", "nan"}}),
            R"({"schema":2,"loss":0.5,"rate":null,"name":"nan"})");
  EXPECT_EQ(record_text({{"a", kNaN}, {"b", 1.0}, {"c", kInfinity}, {"d", -kInfinity}, {"e", -kNaN}}),
            R"({"a":null,"b":1.0,"c":null,"d":null,"e":null,)"
            R"("not_finite":{"a":"nan","c":"inf","d":"-inf","e":"nan"}})");
  EXPECT_EQ(record_text({{"a", kNaN}, {"f", -std::numeric_limits<float>::infinity()}}, 1),
            "{\n \"a\": null,\n \"f\": null,\n \"not_finite\": {\n  \"a\": \"nan\",\n  \"f\": \"-inf\"\n }\n}");
}

TEST(RunRecord, NumbersOfBothSchemasAreRead) {
  const nlohmann::json two =
      nlohmann::json::parse(R"({"schema": 2, "x": 0.1, "i": 3, "none": null, "n": null, "p": null, "m": null,
                                   "not_finite": {"n": "nan", "p": "inf", "m": "-inf"}})");
  const nlohmann::json one =
      nlohmann::json::parse(R"({"schema": 1, "x": 0.1, "i": 3, "none": null, "n": "nan", "p": "inf", "m": "-inf",
                                   "minus": "-nan"})");
  for (const nlohmann::json& record : {one, two}) {
    EXPECT_EQ(number_in(record, "x"), 0.1);
    EXPECT_EQ(number_in(record, "i"), 3.0);
    EXPECT_TRUE(std::isnan(number_in(record, "n")));
    EXPECT_EQ(number_in(record, "p"), kInfinity);
    EXPECT_EQ(number_in(record, "m"), -kInfinity);
    EXPECT_EQ(optional_number_in(record, "none"), std::nullopt);
    EXPECT_EQ(optional_number_in(record, "missing"), std::nullopt);
    EXPECT_EQ(optional_number_in(record, "p"), kInfinity);
    EXPECT_EQ(error_of([&] { number_in(record, "missing"); }), "it has no 'missing'");
    EXPECT_EQ(error_of([&] { number_in(record, "none"); }),
              "'none': expected a number, or null with a reason in 'not_finite', got null");
  }
  EXPECT_TRUE(std::isnan(number_in(one, "minus")));
}

TEST(RunRecord, WhatIsNoNumberIsRefused) {
  const auto error = [](const char* text) {
    return error_of([&] { optional_number_in(nlohmann::json::parse(text), "x"); });
  };
  EXPECT_EQ(error(R"({"schema": 2, "x": "nan"})"), "'x': expected a number or null, got \"nan\"");
  EXPECT_EQ(error(R"({"schema": 1, "x": "many"})"), "'x': expected \"nan\", \"inf\" or \"-inf\", got \"many\"");
  EXPECT_EQ(error(R"({"schema": 2, "x": true})"), "'x': expected a number or null, got true");
  EXPECT_EQ(error(R"({"schema": 2, "x": [1]})"), "'x': expected a number or null, got a list");
  EXPECT_EQ(error(R"({"schema": 2, "x": null, "not_finite": 3})"), "'not_finite': expected an object, got 3");
  EXPECT_EQ(error(R"({"schema": 2, "x": null, "not_finite": {"x": 3}})"),
            "'x': expected \"nan\", \"inf\" or \"-inf\", got 3");
  EXPECT_EQ(error(R"({"schema": 2, "x": null, "not_finite": {"y": 3}})"), "");
}

TEST(RunRecord, SchemasOneAndTwoAreRead) {
  const auto error = [](const nlohmann::json& record) {
    return error_of([&] { check_schema(record, "run/metrics.jsonl"); });
  };
  EXPECT_EQ(error({{"schema", 1}}), "");
  EXPECT_EQ(error({{"schema", 2}}), "");
  EXPECT_EQ(error({{"schema", 3}}),
            "run/metrics.jsonl has schema 3: this release reads only up to schema 2; use a later release");
  EXPECT_THAT(error({{"schema", 0}}), HasSubstr("has schema 0"));
  for (const nlohmann::json& none : {nlohmann::json::object(), nlohmann::json({{"schema", "1"}}),
                                     nlohmann::json({{"schema", 1.5}}), nlohmann::json::array()})
    EXPECT_EQ(error(none), "run/metrics.jsonl is damaged: it has no schema number") << none;
}

}  // namespace
}  // namespace gradamp
