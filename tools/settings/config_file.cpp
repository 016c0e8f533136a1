// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/config_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include <fmt/ranges.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"

namespace gradamp {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool starts_comment(char c) { return c == '#' || c == ';'; }

/// A piece of the file for a message.
std::string excerpt(std::string_view text) { return printable(shortened(text.substr(0, text.find('\n')))); }

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

void append_utf8(std::string& text, std::uint32_t code) {
  const auto add = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) return add(code);
  const int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr std::uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
  add(kLead[following] | code >> 6 * following);
  for (int i = following - 1; i >= 0; --i) add(0x80 | (code >> 6 * i & 63));
}

std::string from_utf16(std::string_view bytes, bool big_endian) {
  const auto unit = [&](std::size_t i) {
    const auto first = static_cast<unsigned char>(bytes[i]), second = static_cast<unsigned char>(bytes[i + 1]);
    return static_cast<std::uint32_t>(big_endian ? first << 8 | second : second << 8 | first);
  };
  std::string text;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    std::uint32_t code = unit(i);
    if (code >= 0xd800 && code < 0xdc00 && i + 3 < bytes.size() && unit(i + 2) >= 0xdc00 && unit(i + 2) < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (unit(i + 2) - 0xdc00);
      i += 2;
    }
    append_utf8(text, code);  // a lone surrogate is no valid UTF-8, and is reported as that
  }
  if (bytes.size() % 2 == 1) text += '\xff';
  return text;
}

/// The file's text in UTF-8, without a byte order mark.
std::string decoded(std::string_view bytes) {
  if (bytes.starts_with("\xef\xbb\xbf")) return std::string(bytes.substr(3));
  if (bytes.starts_with("\xff\xfe")) return from_utf16(bytes.substr(2), false);
  if (bytes.starts_with("\xfe\xff")) return from_utf16(bytes.substr(2), true);
  return std::string(bytes);
}

/// Reads a file from its beginning to its end. `line_` is the number of the line at its position.
class ConfigReader {
 public:
  ConfigReader(std::string_view text, const std::vector<std::string>& headings, KeyScope scope)
      : text_(text), headings_(headings), scope_(scope) {}

  int line() const { return line_; }

  Config read() {
    check_encoding();
    while (skip_to_content()) {
      if (text_.front() == '[') {
        read_heading();
      } else {
        read_entry(heading_);
      }
      check_end_of_line(what_was_read_);
    }
    return std::move(config_);
  }

 private:
  /// Error, of the first line that is not UTF-8.
  void check_encoding() {
    if (is_utf8(text_)) return;
    for (std::string_view rest = text_; is_utf8(rest.substr(0, rest.find('\n')));
         rest.remove_prefix(rest.find('\n') + 1))
      ++line_;
    fail("expected text in UTF-8 or UTF-16");
  }

  void advance(std::size_t bytes) {
    line_ += static_cast<int>(std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(bytes), '\n'));
    text_.remove_prefix(bytes);
  }

  void skip_blanks() { advance(std::min(text_.find_first_not_of(kBlank), text_.size())); }

  void skip_comment() {
    skip_blanks();
    if (!text_.empty() && starts_comment(text_.front())) advance(std::min(text_.find('\n'), text_.size()));
  }

  /// Skips blanks, comments and ends of lines. Returns whether anything is left.
  bool skip_to_content() {
    while (true) {
      skip_comment();
      if (text_.empty()) return false;
      if (text_.front() != '\n') return true;
      advance(1);
    }
  }

  std::string_view rest_of_line() const { return trim(text_.substr(0, text_.find('\n'))); }

  void check_end_of_line(const char* what) {
    skip_blanks();
    const std::string_view rest = rest_of_line();
    check(rest.empty() || starts_comment(rest.front()), "cannot read '{}' after the {}", excerpt(rest), what);
  }

  void read_heading() {
    what_was_read_ = "heading";
    const std::string_view line = rest_of_line();
    const std::size_t end = line.find(']');
    check(end != line.npos, "a heading without its closing ]");
    check(!line.starts_with("[["), "[[{}]] is a list of tables; expected a heading [{}]",
          excerpt(trim(line.substr(2, end - 2))), excerpt(trim(line.substr(2, end - 2))));
    heading_ = known_heading(std::string(trim(line.substr(1, end - 1))));
    add_heading(heading_);
    advance(end + 1);
  }

  void add_heading(const std::string& heading) {
    const std::vector<std::string>& known = config_.headings;
    if (std::find(known.begin(), known.end(), heading) == known.end()) config_.headings.push_back(heading);
  }

  std::string known_heading(const std::string& name) const {
    std::string heading = name;
    if (name.size() > 1 && (name.front() == '"' || name.front() == '\'') && name.back() == name.front())
      heading = name.substr(1, name.size() - 2);
    heading = lower_case(heading);
    check(std::find(headings_.begin(), headings_.end(), heading) != headings_.end(),
          "unknown heading [{}]; expected one of {}{}", excerpt(heading), fmt::join(headings_, ", "),
          heading == "original" || heading == "random" || heading == "amplified"
              ? fmt::format("; is this a sweep's file? `{} sweep FILE` trains it", typed_command())
              : "");
    return heading;
  }

  /// Reads `key = value`, with TOML's `heading.key = value`, `heading = {key = value, ...}` and quoted keys.
  void read_entry(std::string heading, bool in_table = false) {
    const std::string_view line = rest_of_line();
    ConfigEntry entry{.line = line_, .heading = {}, .key = {}, .value = {}, .elements = {}};
    entry.key = take_key(line);
    skip_blanks();
    if (text_.starts_with('.')) {
      check(!in_table && heading.empty(), "'{}': expected a key without a point below a heading", excerpt(line));
      heading = known_heading(entry.key);
      add_heading(heading);
      advance(1);
      skip_blanks();
      entry.key = take_key(line);
      skip_blanks();
    }
    check(text_.starts_with('='), "expected key = value, got '{}'", excerpt(line));
    advance(1);
    skip_blanks();
    if (text_.starts_with('{') && !in_table) return read_table(entry.key);
    what_was_read_ = "value";
    entry.heading = heading;
    entry.elements = text_.starts_with('[') ? take_list() : std::vector<std::string>{take_value(in_table ? ",}" : "")};
    entry.value = fmt::format("{}", fmt::join(entry.elements, ","));
    add(std::move(entry));
  }

  /// Reads `{key = value, ...}`.
  void read_table(const std::string& name) {
    const std::string heading = known_heading(name);
    add_heading(heading);
    advance(1);
    const int begin = line_;
    for (bool more = skip_to_content(); !text_.starts_with('}'); more = skip_to_content()) {
      check_closed(more, begin, "a table without its closing }");
      read_entry(heading, true);
      check_closed(skip_to_content(), begin, "a table without its closing }");
      check(text_.starts_with(',') || text_.starts_with('}'), "expected , or }} in the table, got '{}'",
            excerpt(rest_of_line()));
      if (text_.starts_with(',')) advance(1);
    }
    advance(1);
    what_was_read_ = "value";
  }

  /// Error, of the line in which a list, table or text begins, unless it goes on.
  void check_closed(bool more, int begin, const char* message) {
    if (more) return;
    line_ = begin;
    fail("{}", message);
  }

  void add(ConfigEntry entry) {
    const std::string scope = scope_ == KeyScope::kFile ? "" : entry.heading;
    const auto [earlier, is_new] = lines_.emplace(std::pair(scope, entry.key), entry.line);
    check(is_new, "'{}' is already in line {}", excerpt(entry.key), earlier->second);
    config_.entries.push_back(std::move(entry));
  }

  std::string take_key(std::string_view line) {
    if (text_.starts_with('"') || text_.starts_with('\'')) {
      std::string key = take_quoted();
      check(!key.empty(), "expected key = value, got '{}'", excerpt(line));
      return key;
    }
    const std::size_t end = std::min(text_.find_first_of("=.\n \t\r\"'[]{}#,"), text_.size());
    const std::string key(text_.substr(0, end));
    const bool plain = !key.empty() && printable(key) == key;
    check(plain, "expected key = value, got '{}'", excerpt(line));
    advance(end);
    return key;
  }

  /// Reads a value. A bare one ends before one of `ends`, or before a comment that follows a blank.
  std::string take_value(std::string_view ends = {}) {
    skip_blanks();
    if (text_.starts_with('"') || text_.starts_with('\'')) return take_quoted();
    std::size_t end = 0;
    while (end < text_.size() && text_[end] != '\n') {
      const bool comment = starts_comment(text_[end]) && (end == 0 || kBlank.find(text_[end - 1]) != kBlank.npos);
      if (comment || ends.find(text_[end]) != ends.npos) break;
      ++end;
    }
    const std::string value(trim(text_.substr(0, end)));
    check(!value.empty(), "expected a value (an empty text is \"\")");
    check(printable(value) == value, "expected a value without control characters, got '{}'", excerpt(value));
    advance(end);
    return value;
  }

  std::vector<std::string> take_list() {
    std::vector<std::string> elements;
    const int begin = line_;
    advance(1);
    for (bool more = skip_to_content(); !text_.starts_with(']'); more = skip_to_content()) {
      check_closed(more, begin, "a list without its closing ]");
      check(!text_.starts_with('['), "a list in a list; expected values");
      elements.push_back(take_value(",]"));
      check_closed(skip_to_content(), begin, "a list without its closing ]");
      check(text_.starts_with(',') || text_.starts_with(']'),
            "expected , or ] after '{}' in the list that begins in line {}, got '{}'", excerpt(elements.back()), begin,
            excerpt(rest_of_line()));
      if (text_.starts_with(',')) advance(1);
    }
    advance(1);
    return elements;
  }

  /// Reads "text", 'text', or one of these in three quotes, which may have several lines.
  std::string take_quoted() {
    const char quote = text_.front();
    const std::string three(3, quote);
    const bool many_lines = text_.starts_with(three);
    const std::string closing = many_lines ? three : three.substr(0, 1);
    const int begin = line_;
    advance(closing.size());
    if (many_lines && text_.starts_with("\r\n")) advance(1);
    if (many_lines && text_.starts_with('\n')) advance(1);
    std::string value;
    while (true) {
      const bool goes_on = !text_.empty() && (many_lines || text_.front() != '\n');
      check_closed(goes_on, begin, ("a text without its closing " + closing).c_str());
      if (text_.starts_with(closing)) break;
      if (quote == '"' && text_.front() == '\\') {
        take_escape(value, many_lines);
      } else {
        if (!text_.starts_with("\r\n")) value += text_.front();
        advance(1);
      }
    }
    advance(closing.size());
    for (int i = 0; i < 2 && many_lines && text_.starts_with(quote); ++i) {  // """a"""" ends with a quote
      value += quote;
      advance(1);
    }
    return value;
  }

  /// Reads what a \ begins in a text in " quotes.
  void take_escape(std::string& value, bool many_lines) {
    constexpr std::string_view kNames = "btnfre\"\\", kCharacters = "\b\t\n\f\r\x1b\"\\";
    const char name = text_.size() > 1 ? text_[1] : ' ';
    if (const std::size_t i = kNames.find(name); i != kNames.npos) {
      value += kCharacters[i];
      return advance(2);
    }
    if (name == 'u' || name == 'U' || name == 'x') {
      const std::string_view digits = text_.substr(2, name == 'u' ? 4 : name == 'U' ? 8 : 2);
      std::uint32_t code = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
      const bool whole = error == std::errc() && end == digits.data() + digits.size() &&
                         digits.size() == (name == 'u'   ? 4u
                                           : name == 'U' ? 8u
                                                         : 2u);
      check(whole && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff), "expected a Unicode character, got \\{}{}",
            name, excerpt(digits));
      append_utf8(value, code);
      return advance(2 + digits.size());
    }
    const std::string_view rest = trim(text_.substr(1, text_.find('\n') - 1));
    check(many_lines && rest.empty() && text_.find('\n') != text_.npos,
          "after \\ expected b, t, n, f, r, e, u, U, x, \" or \\ in a text (or write it in ' quotes)");
    advance(std::min(text_.find_first_not_of(" \t\r\n", 1), text_.size()));  // TOML: a \ at the end joins the lines
  }

  std::string_view text_;
  const std::vector<std::string>& headings_;
  const KeyScope scope_;
  int line_ = 1;
  std::string heading_;
  const char* what_was_read_ = "";
  std::map<std::pair<std::string, std::string>, int> lines_;  // of (heading, key)
  Config config_;
};

}  // namespace

Config read_config(std::istream& file, const std::string& name, const std::vector<std::string>& headings,
                   KeyScope scope) {
  std::string bytes;
  std::array<char, 4096> part{};
  while (file.read(part.data(), part.size()) || file.gcount() > 0)
    bytes.append(part.data(), static_cast<std::size_t>(file.gcount()));
  const std::string text = decoded(bytes);
  ConfigReader reader(text, headings, scope);
  try {
    return reader.read();
  } catch (const Error& error) {
    fail("{}:{}: {}", name, reader.line(), error.what());
  }
}

}  // namespace gradamp
