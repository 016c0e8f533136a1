// SPDX-License-Identifier: MIT
// Configuration files in TOML, with two additions: a text need not be quoted (strategy = params_1, threshold =
// 0.7:2.5:0.1), and a comment can begin with ; as in INI. The file is in UTF-8, or in UTF-16 with a byte order mark.
//
// A value is a bare, quoted or many-line text, or a list of them ([a, "b"]), which can have several lines. Numbers,
// dates and true are texts here; the setting reads them. Lines like [training] are headings; in a run's file they only
// help the reader. `training.epochs = 3` and `training = {epochs = 3}` are other ways to write a heading. CLI11's own
// reader is not used, because it skips lines that it does not understand and lets a file override the environment; and
// a library for TOML alone refuses bare texts.
#pragma once

#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace gradamp {

struct ConfigEntry {
  int line = 0;                       // from 1
  std::string heading;                // the heading above it; empty: none
  std::string key;                    // "batch-size"
  std::string value;                  // without quotes; the elements of a list are joined by commas
  std::vector<std::string> elements;  // the elements of a list; otherwise the value alone
};

/// Whether a key may occur once per file or once per heading.
enum class KeyScope { kFile, kHeading };

struct Config {
  std::vector<ConfigEntry> entries;   // in the order of the file
  std::vector<std::string> headings;  // all headings of the file, also those without entries
};

/// Reads a whole file. `name` is the file's name for messages. Error ("NAME:3: ...") if a line has another syntax, a
/// key occurs twice in its scope, or a heading is not in `headings` (lower case there; any case in the file).
Config read_config(std::istream& file, const std::string& name, const std::vector<std::string>& headings,
                   KeyScope scope = KeyScope::kFile);

}  // namespace gradamp
