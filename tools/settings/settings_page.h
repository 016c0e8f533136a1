// SPDX-License-Identifier: MIT
// Generates tools/settings/README.md, the page of all settings, from the table.
#pragma once

#include <string>

namespace gradamp {

/// The whole page as Markdown: one table per group, and the meaning of the kinds.
std::string settings_page();

}  // namespace gradamp
