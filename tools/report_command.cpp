// SPDX-License-Identifier: MIT
// `gradamp report`: hands over to tools/report/report.py, by a Python that has matplotlib.
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include <unistd.h>

#include "core/error.h"
#include "tools/commands.h"
#include "tools/console.h"

namespace gradamp {
namespace {

bool has_matplotlib(const std::string& python) {
  const std::string command = shell_word(python) + " -c 'import matplotlib' >/dev/null 2>&1";
  return std::system(command.c_str()) == 0;
}

/// GRADAMP_PYTHON; else the first on PATH or Debian's that has matplotlib; else the first on PATH, which says what it
/// lacks.
std::string choose_python() {
  if (const char* given = std::getenv("GRADAMP_PYTHON"); given != nullptr && *given != '\0') return given;
  for (const char* python : {"python3", "/usr/bin/python3"})
    if (has_matplotlib(python)) return python;
  return "python3";
}

}  // namespace

int run_report(const ReportCommand& command) {
  const char* given = std::getenv("GRADAMP_SCRIPTS");
  const std::filesystem::path script =
      std::filesystem::path(given != nullptr ? given : GRADAMP_SCRIPTS) / "report/report.py";
  check(std::filesystem::exists(script), "{} is not there; GRADAMP_SCRIPTS can name the sources' folder tools",
        script.string());
  std::vector<std::string> words = {choose_python(), script.string()};
  if (!command.destination.empty()) words.push_back("--out=" + command.destination);
  words.push_back("--");
  words.insert(words.end(), command.folders.begin(), command.folders.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  fail("{} cannot be run: {}; reports need Python 3 with matplotlib (GRADAMP_PYTHON can name it)", words[0],
       std::strerror(errno));
}

}  // namespace gradamp
