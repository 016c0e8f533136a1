// SPDX-License-Identifier: MIT
// --help: an option's name and unit, then what it means, wrapped to the terminal, and its default.
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

/// `text` in lines of at most `columns` characters (longer words apart), all but the first indented.
std::string wrap_text(const std::string& text, int columns, int indent);

}  // namespace gradamp
