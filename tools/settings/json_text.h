// SPDX-License-Identifier: MIT
// Parses JSON from a file that may be damaged, and shows a value in a message.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace gradamp {

/// The document in `text`. Error (without the file's name) if it is no JSON, or if more than 100 lists and objects are
/// nested: functions that walk through it call themselves for each.
nlohmann::json parse_json(std::string_view text);

/// The value for a message of an Error: at most about 60 characters, "a list" or "an object".
std::string value_text(const nlohmann::json& value);

}  // namespace gradamp
