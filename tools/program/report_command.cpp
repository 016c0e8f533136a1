// SPDX-License-Identifier: MIT
// `gradamp report`: runs tools/report/report.py with Python.
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include <unistd.h>

#include "gradamp/core/error.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/console.h"

namespace gradamp {
namespace {

/// GRADAMP_PYTHON if it is set, otherwise the python3 on PATH.
std::string choose_python() {
  const char* given = std::getenv("GRADAMP_PYTHON");
  return given != nullptr && *given != '\0' ? given : "python3";
}

/// The path of the report's script: in the folder GRADAMP_SCRIPTS if that variable is set, else in PREFIX/share/gradamp
/// if the program is in PREFIX/bin, else in the installation's folder, else in the sources.
std::filesystem::path find_script() {
  const std::filesystem::path name = "report/report.py";
  if (const char* given = std::getenv("GRADAMP_SCRIPTS")) {
    check(path_exists(given / name), "{} is not there; GRADAMP_SCRIPTS can name the sources' folder tools",
          (given / name).string());
    return given / name;
  }
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  check(!error, "this program's own path, /proc/self/exe, cannot be read: {}", error.message());
  const std::filesystem::path prefix = program.parent_path().parent_path();
  for (const std::filesystem::path& folder :
       {prefix / "share/gradamp", std::filesystem::path(GRADAMP_INSTALLED_SCRIPTS),
        std::filesystem::path(GRADAMP_SCRIPTS)})
    if (path_exists(folder / name)) return folder / name;
  fail("{} is neither in {} nor in {}; GRADAMP_SCRIPTS can name the sources' folder tools", name.string(),
       (prefix / "share/gradamp").string(), GRADAMP_SCRIPTS);
}

}  // namespace

int run_report(const ReportCommand& command) {
  const std::filesystem::path script = find_script();
  std::vector<std::string> words = {choose_python(), script.string()};
  if (!command.destination.empty()) words.push_back("--out=" + command.destination);
  words.push_back("--");
  words.insert(words.end(), command.folders.begin(), command.folders.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  fail("{} cannot be run: {}; reports need Python 3.10 or later (GRADAMP_PYTHON can name it)", words[0],
       std::strerror(errno));
}

}  // namespace gradamp
