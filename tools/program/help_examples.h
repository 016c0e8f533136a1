// SPDX-License-Identifier: MIT
// The examples at the end of every --help.
#pragma once

#include <CLI/CLI.hpp>

namespace gradamp {

/// Adds examples to the footers of the program and of all commands below it.
void add_examples(CLI::App& app);

}  // namespace gradamp
