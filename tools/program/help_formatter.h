// SPDX-License-Identifier: MIT
// Formats --help: per option its name and unit, its meaning wrapped to the terminal's width, and its default.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace gradamp {

class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(int columns) : columns_(columns) {}
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_group(std::string group, bool is_positional, std::vector<const CLI::Option*> options) const override;
  std::string make_help(const CLI::App* command, std::string name, CLI::AppFormatMode mode) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_description(const CLI::App* command) const override;
  std::string make_footer(const CLI::App* command) const override;

 private:
  std::string entry(const std::string& name, const std::string& text) const;

  int columns_;
};

/// Wraps `text` to lines of at most `columns` characters, unless a word is longer. Indents all lines except the first.
std::string wrap_text(const std::string& text, int columns, int indent);

}  // namespace gradamp
