// SPDX-License-Identifier: MIT
// Completion of the command line in bash, zsh and fish: `gradamp completion bash`.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace gradamp {

/// "bash", "zsh" and "fish".
const std::vector<std::string>& completion_shells();

/// A script for `shell` that completes the commands, options and values of the program `app`. The options of settings
/// come from the settings table, like those of --help.
std::string completion_script(const std::string& shell, const CLI::App& app);

}  // namespace gradamp
