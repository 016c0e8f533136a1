// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/tokens.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

namespace gradamp {
namespace {

bool begins_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool continues_name(char c) { return begins_name(c) || std::isdigit(static_cast<unsigned char>(c)) != 0; }

class Scanner {
 public:
  explicit Scanner(std::string_view source) : source_(source) {}

  std::vector<Token> scan() {
    while (at_ < source_.size()) {
      const char c = source_[at_];
      if (std::isspace(static_cast<unsigned char>(c)) != 0) {
        if (c == '\n') line_begins_ = true;
        ++at_;
      } else if (starts("//")) {
        at_ = end_of_line(at_);
      } else if (starts("/*")) {
        const std::size_t end = source_.find("*/", at_ + 2);
        at_ = end == std::string_view::npos ? source_.size() : end + 2;
      } else if (c == '#' && line_begins_) {
        add(TokenKind::kDirective, end_of_directive());
      } else if (is_raw_text()) {
        add(TokenKind::kText, end_of_raw_text());
      } else if (c == '"' || c == '\'') {
        add(TokenKind::kText, end_of_text(at_));
      } else if (begins_name(c)) {
        add(TokenKind::kName, end_while(continues_name));
      } else if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
        // Also 1e-3, 0x1p+4 and 1'000.
        std::size_t end = at_ + 1;
        while (end < source_.size() && (continues_name(source_[end]) || source_[end] == '.' || source_[end] == '\'' ||
                                        ((source_[end] == '+' || source_[end] == '-') &&
                                         std::string_view("eEpP").find(source_[end - 1]) != std::string_view::npos)))
          ++end;
        add(TokenKind::kNumber, end);
      } else {
        add(TokenKind::kPunctuation, at_ + (starts("<<<") ? 3 : starts("::") || starts("->") || starts("<<") ? 2 : 1));
      }
    }
    return std::move(tokens_);
  }

 private:
  bool starts(std::string_view text) const { return source_.substr(at_, text.size()) == text; }
  std::size_t end_of_line(std::size_t from) const {
    const std::size_t end = source_.find('\n', from);
    return end == std::string_view::npos ? source_.size() : end;
  }
  /// Whether a line ends with a backslash. Windows has a carriage return behind it.
  static bool continues(std::string_view line) { return line.ends_with('\\') || line.ends_with("\\\r"); }
  /// With the lines that follow a backslash.
  std::size_t end_of_directive() const {
    std::size_t end = end_of_line(at_);
    while (end < source_.size() && continues(source_.substr(at_, end - at_))) end = end_of_line(end + 1);
    return end;
  }
  bool is_raw_text() const {
    for (const std::string_view prefix : {"R\"", "LR\"", "uR\"", "UR\"", "u8R\""})
      if (starts(prefix)) return true;
    return false;
  }
  std::size_t end_of_raw_text() const {
    const std::size_t quote = source_.find('"', at_), open = source_.find('(', quote);
    if (open == std::string_view::npos) return source_.size();
    const std::string close = ")" + std::string(source_.substr(quote + 1, open - quote - 1)) + "\"";
    const std::size_t end = source_.find(close, open);
    return end == std::string_view::npos ? source_.size() : end + close.size();
  }
  std::size_t end_of_text(std::size_t begin) const {
    std::size_t end = begin + 1;
    while (end < source_.size() && source_[end] != source_[begin] && source_[end] != '\n')
      end += source_[end] == '\\' ? 2 : 1;
    return std::min(source_.size(), end + 1);
  }
  std::size_t end_while(bool (*condition)(char)) const {
    std::size_t end = at_;
    while (end < source_.size() && condition(source_[end])) ++end;
    return end;
  }
  void add(TokenKind kind, std::size_t end) {
    tokens_.push_back({kind, source_.substr(at_, end - at_), at_, end});
    at_ = end;
    line_begins_ = false;
  }

  std::string_view source_;
  std::size_t at_ = 0;
  bool line_begins_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) { return Scanner(source).scan(); }

int line_of(std::string_view source, std::size_t position) {
  return 1 + static_cast<int>(std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
}

}  // namespace gradamp
