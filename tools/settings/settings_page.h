// SPDX-License-Identifier: MIT
// tools/settings/README.md: every setting, written from the table.
#pragma once

#include <string>

namespace gradamp {

/// The whole page as Markdown: a table per group, and what the kinds mean.
std::string settings_page();

}  // namespace gradamp
