// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_record.h"

#include <cmath>
#include <limits>
#include <utility>

#include "gradamp/core/error.h"
#include "gradamp/tools/settings/json_text.h"

namespace gradamp {
namespace {

constexpr const char* kReasons = "not_finite";

const char* reason_of(double value) {
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

/// The number for which a reason stands. Files of schema 1 can have "-nan".
double number_of(const nlohmann::json& reason, const char* field) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (reason == "nan" || reason == "-nan") return std::numeric_limits<double>::quiet_NaN();
  if (reason == "inf") return kInfinity;
  if (reason == "-inf") return -kInfinity;
  fail("'{}': expected \"nan\", \"inf\" or \"-inf\", got {}", field, value_text(reason));
}

bool is_of_schema_1(const nlohmann::json& record) {
  const auto schema = record.find("schema");
  return schema != record.end() && *schema == 1;
}

}  // namespace

std::string record_text(nlohmann::ordered_json record, int indent) {
  nlohmann::ordered_json reasons = nlohmann::ordered_json::object();
  for (auto field = record.begin(); field != record.end(); ++field) {
    if (!field->is_number_float() || std::isfinite(field->get<double>())) continue;
    reasons[field.key()] = reason_of(field->get<double>());
    *field = nullptr;
  }
  if (!reasons.empty()) record[kReasons] = std::move(reasons);
  return record.dump(indent);
}

void check_schema(const nlohmann::json& record, const std::filesystem::path& file) {
  const auto schema = record.find("schema");
  check(schema != record.end() && schema->is_number_integer(), "{} is damaged: it has no schema number", file.string());
  check(*schema >= 1 && *schema <= kRecordSchema,
        "{} has schema {}: this release reads only up to schema {}; use a later release", file.string(), schema->dump(),
        kRecordSchema);
}

double number_in(const nlohmann::json& record, const char* field) {
  check(record.contains(field), "it has no '{}'", field);
  const std::optional<double> number = optional_number_in(record, field);
  check(number.has_value(), "'{}': expected a number, or null with a reason in '{}', got null", field, kReasons);
  return *number;
}

std::optional<double> optional_number_in(const nlohmann::json& record, const char* field) {
  const auto value = record.find(field);
  if (value == record.end()) return std::nullopt;
  if (value->is_number()) return value->get<double>();
  if (value->is_string() && is_of_schema_1(record)) return number_of(*value, field);
  check(value->is_null(), "'{}': expected a number or null, got {}", field, value_text(*value));
  const auto reasons = record.find(kReasons);
  if (reasons == record.end()) return std::nullopt;
  check(reasons->is_object(), "'{}': expected an object, got {}", kReasons, value_text(*reasons));
  const auto reason = reasons->find(field);
  return reason == reasons->end() ? std::nullopt : std::optional(number_of(*reason, field));
}

}  // namespace gradamp
