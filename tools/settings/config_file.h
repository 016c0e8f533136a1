// SPDX-License-Identifier: MIT
// Configuration files: `key = value` lines, as TOML and INI have them in common.
//
// A value is bare text, a "text" or 'text' in quotes, or on one line a list [a, "b"]. Comments begin with # or ;, lines
// like [training] are headings for the reader's eye. CLI11 has a reader of its own, which skips what it does not
// understand and lets a file overrule the environment.
#pragma once

#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace gradamp {

struct ConfigEntry {
  int line = 0;                       // from 1
  std::string heading;                // the one above it; empty: none
  std::string key;                    // "batch-size"
  std::string value;                  // without quotes; a list's elements are joined by commas
  std::vector<std::string> elements;  // of a list; else the value
};

/// Whether a key may come once in the file or once under each heading.
enum class KeyScope { kFile, kHeading };

struct Config {
  std::vector<ConfigEntry> entries;   // in their order
  std::vector<std::string> headings;  // that came, also those with nothing below them
};

/// Reads a whole file. `name` is the file's, for messages: Error ("NAME:3: ...") for a line that is none of the
/// above, a key that comes twice in its scope, and headings other than `headings` (lower case; in the file any case).
Config read_config(std::istream& file, const std::string& name, const std::vector<std::string>& headings,
                   KeyScope scope = KeyScope::kFile);

}  // namespace gradamp
