// SPDX-License-Identifier: MIT
// The records of a run's JSON files: objects with a schema number. JSON has no infinities and NaNs. In schema 2 such a
// number is null, and the record's object "not_finite" has its reason, "nan", "inf" or "-inf":
//
//   {"schema": 2, "epoch": 3, "train_loss": null, "test_loss": 2.5, "not_finite": {"train_loss": "nan"}}
//
// A null without a reason means that there is no number. In schema 1 the number was the string "nan", "inf" or "-inf".
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace gradamp {

/// The schema of the records that this release writes. It reads 1 to this one.
inline constexpr int kRecordSchema = 2;

/// The JSON text of an object of schema kRecordSchema. Numbers in its fields that are not finite become null, and
/// "not_finite" is added. `indent`: spaces per level; -1: one line.
std::string record_text(nlohmann::ordered_json record, int indent = -1);

/// Error, which names the file, unless this release reads the record's schema.
void check_schema(const nlohmann::json& record, const std::filesystem::path& file);

/// A number of a record of any schema, which may be infinite or a NaN. Error if the field is missing or no number.
double number_in(const nlohmann::json& record, const char* field);
/// The same, or nothing if the field is missing or null without a reason.
std::optional<double> optional_number_in(const nlohmann::json& record, const char* field);

}  // namespace gradamp
