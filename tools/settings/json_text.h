// SPDX-License-Identifier: MIT
// Parses JSON from a file that may be damaged, and shows a value in a message.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"

namespace gradamp {

/// The document in `text`. Error (without the file's name) if it is no JSON, or if more than 100 lists and objects are
/// nested: functions that walk through it call themselves for each.
nlohmann::json parse_json(std::string_view text);

/// The value for a message of an Error: at most about 60 characters, "a list" or "an object".
std::string value_text(const nlohmann::json& value);

/// The whole number of type T that the value is. Error if it is none, or none of that type: nlohmann's own conversion
/// would cut it.
template <typename T>
T whole_number(const nlohmann::json& value) {
  check(value.is_number_integer(), "expected a whole number, got {}", value_text(value));
  const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                               : std::in_range<T>(value.get<std::int64_t>());
  check(fits, "expected a whole number from {} to {}, got {}", std::numeric_limits<T>::min(),
        std::numeric_limits<T>::max(), value_text(value));
  return value.get<T>();
}

}  // namespace gradamp
