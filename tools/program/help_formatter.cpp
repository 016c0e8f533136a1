// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/help_formatter.h"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>

namespace gradamp {
namespace {

constexpr int kNameColumns = 32;
constexpr char kHardSpace = '\x01';  // a space at which a line must not be broken

}  // namespace

std::string wrap_text(const std::string& text, int columns, int indent) {
  std::istringstream words(text);
  std::string wrapped, word;
  std::size_t line = 0;
  const auto width = static_cast<std::size_t>(std::max(columns - indent, 20));
  while (words >> word) {
    if (line > 0 && line + 1 + word.size() > width) {
      wrapped += "\n" + std::string(static_cast<std::size_t>(indent), ' ');
      line = 0;
    }
    if (line > 0) {
      wrapped += ' ';
      ++line;
    }
    wrapped += word;
    line += word.size();
  }
  std::replace(wrapped.begin(), wrapped.end(), kHardSpace, ' ');
  return wrapped;
}

std::string HelpFormatter::entry(const std::string& name, const std::string& text) const {
  std::string line = fmt::format("  {:<{}}", name, kNameColumns - 2);
  if (name.size() > kNameColumns - 4) line = fmt::format("  {}\n{:{}}", name, "", kNameColumns);
  return line + wrap_text(text, columns_, kNameColumns) + "\n";
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
  std::string name = option->get_name(is_positional, !is_positional);
  if (option->get_fnames().size() == 1 && option->get_lnames().size() == 2) {  // --flip, --no-flip
    name = "--[no-]" + option->get_lnames().front();
  } else {
    std::replace(name.begin(), name.end(), ',', ' ');
  }
  if (!is_positional && option->get_type_size() != 0) name += " " + option->get_option_text();
  std::string text = option->get_description();
  if (!option->get_default_str().empty()) text += fmt::format(" [default:{}{}]", kHardSpace, option->get_default_str());
  return entry(name, text);
}

std::string HelpFormatter::make_group(std::string group, bool is_positional,
                                      std::vector<const CLI::Option*> options) const {
  std::string text = fmt::format("\n{}:\n", group);
  for (const CLI::Option* option : options) text += make_option(option, is_positional);
  return text;
}

std::string HelpFormatter::make_help(const CLI::App* command, std::string name, CLI::AppFormatMode mode) const {
  std::string text = CLI::Formatter::make_help(command, name, mode);
  for (std::size_t place; (place = text.find("\n\n\n")) != text.npos;) text.erase(place, 1);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  return entry(command->get_name(), command->get_description());
}

std::string HelpFormatter::make_description(const CLI::App* command) const {
  return wrap_text(command->get_description(), columns_, 0) + "\n";
}

std::string HelpFormatter::make_footer(const CLI::App* command) const {
  // Each line is a paragraph; one that begins with a space is an example and stays as it is.
  std::istringstream lines(command->get_footer());
  std::string text;
  for (std::string line; std::getline(lines, line);)
    text += (text.empty() ? "" : "\n") + (line.starts_with(' ') ? line : wrap_text(line, columns_, 0));
  return text;
}

}  // namespace gradamp
