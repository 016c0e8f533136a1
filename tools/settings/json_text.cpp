// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/json_text.h"

#include <algorithm>
#include <cstddef>

#include "gradamp/core/text.h"

namespace gradamp {
namespace {

constexpr std::size_t kMaxDepth = 100, kMaxBytes = 60;

/// The number of lists and objects in each other at the deepest point of `text`.
std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

nlohmann::json parse_json(std::string_view text) {
  check(depth_of(text) <= kMaxDepth, "its lists and objects are nested more than {} deep", kMaxDepth);
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    fail("it is no JSON at byte {}", error.byte);
  } catch (const nlohmann::json::out_of_range&) {
    fail("a number in it is too large");
  }
}

std::string value_text(const nlohmann::json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return printable(shortened(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), kMaxBytes));
}

}  // namespace gradamp
