// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/config_file.h"

#include <algorithm>
#include <cctype>
#include <cstddef>

#include <fmt/ranges.h>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool starts_comment(char c) { return c == '#' || c == ';'; }

/// Removes a quoted value from the beginning of `text` and returns it.
std::string take_quoted(std::string_view& text) {
  const char quote = text.front();
  std::string value;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == quote) {
      text.remove_prefix(i + 1);
      return value;
    }
    if (quote == '"' && text[i] == '\\') {
      const char escaped = i + 1 < text.size() ? text[++i] : ' ';
      check(escaped == '"' || escaped == '\\', "after \\ expected \\ or \" in a text (or write it in ' quotes)");
    }
    value += text[i];
  }
  fail("a text without its closing {}", quote);
}

/// Removes a bare value from the beginning of `text` and returns it. It ends before a comment that follows a blank, and
/// in a list also before the next separator.
std::string take_bare(std::string_view& text, bool in_list) {
  std::size_t end = 0;
  while (end < text.size()) {
    const bool comment = starts_comment(text[end]) && (end == 0 || kBlank.find(text[end - 1]) != kBlank.npos);
    if (comment || (in_list && (text[end] == ',' || text[end] == ']'))) break;
    ++end;
  }
  const std::string value(trim(text.substr(0, end)));
  text.remove_prefix(end);
  return value;
}

std::string take_value(std::string_view& text, bool in_list = false) {
  text = trim(text);
  if (!text.empty() && (text.front() == '"' || text.front() == '\'')) return take_quoted(text);
  std::string value = take_bare(text, in_list);
  check(!value.empty(), "expected a value (an empty text is \"\")");
  return value;
}

/// Removes a list from the beginning of `text`, which is its bracket, and returns its elements.
std::vector<std::string> take_list(std::string_view& text) {
  std::vector<std::string> elements;
  text = trim(text.substr(1));
  while (!text.starts_with(']')) {
    elements.push_back(take_value(text, true));
    text = trim(text);
    check(text.starts_with(',') || text.starts_with(']'), "a list without its closing ] on the same line");
    if (text.starts_with(',')) text = trim(text.substr(1));
  }
  text.remove_prefix(1);
  return elements;
}

/// Reads a line into `entry`. Returns whether it is an entry. A heading is stored in `entry` too; an empty line or a
/// comment changes nothing.
bool read_line(std::string_view line, const std::vector<std::string>& headings, ConfigEntry& entry) {
  line = trim(line);
  if (line.empty() || starts_comment(line.front())) return false;
  if (line.front() == '[') {
    const std::size_t end = line.find(']');
    check(end != line.npos, "a heading without its closing ]");
    std::string heading(trim(line.substr(1, end - 1)));
    std::transform(heading.begin(), heading.end(), heading.begin(), [](unsigned char c) { return std::tolower(c); });
    check(std::find(headings.begin(), headings.end(), heading) != headings.end(),
          "unknown heading [{}]; expected one of {}", heading, fmt::join(headings, ", "));
    line = trim(line.substr(end + 1));
    check(line.empty() || starts_comment(line.front()), "cannot read '{}' after the heading", line);
    entry.heading = heading;
    return false;
  }
  const std::size_t equals = line.find('=');
  check(equals != line.npos && equals > 0, "expected key = value, got '{}'", line);
  entry.key = trim(line.substr(0, equals));
  line = trim(line.substr(equals + 1));
  entry.elements = line.starts_with('[') ? take_list(line) : std::vector<std::string>{take_value(line)};
  entry.value = fmt::format("{}", fmt::join(entry.elements, ","));
  line = trim(line);
  check(line.empty() || starts_comment(line.front()), "cannot read '{}' after the value", line);
  return true;
}

}  // namespace

Config read_config(std::istream& file, const std::string& name, const std::vector<std::string>& headings,
                   KeyScope scope) {
  Config config;
  std::string line, heading;
  for (int number = 1; std::getline(file, line); ++number) {
    ConfigEntry entry{.line = number, .heading = heading, .key = {}, .value = {}, .elements = {}};
    try {
      if (!read_line(line, headings, entry)) {
        if (entry.heading != heading) config.headings.push_back(entry.heading);
        heading = entry.heading;
        continue;
      }
      for (const ConfigEntry& earlier : config.entries) {
        const bool same = earlier.key == entry.key && (scope == KeyScope::kFile || earlier.heading == heading);
        check(!same, "'{}' is already in line {}", entry.key, earlier.line);
      }
    } catch (const Error& error) {
      fail("{}:{}: {}", name, number, error.what());
    }
    config.entries.push_back(std::move(entry));
  }
  return config;
}

}  // namespace gradamp
