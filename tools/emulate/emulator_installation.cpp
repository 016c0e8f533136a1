// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/emulator_installation.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPlainHeaders = "gradamp/kernels/emulation/plain";

bool is_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return access(name.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (access((fs::path(folder) / name).c_str(), X_OK) == 0) return true;
  return false;
}

std::vector<std::string> find_compiler() {
  const char* given = std::getenv("CXX");
  std::istringstream words(given != nullptr ? given : "");
  std::vector<std::string> compiler;
  for (std::string word; words >> word;) compiler.push_back(word);
  if (compiler.size() > 1 && is_program(given)) compiler = {given};  // a path with spaces
  if (!compiler.empty()) {
    check(is_program(compiler[0]), "CXX names the compiler {}, which is not there: expected GCC 11, Clang 14 or newer",
          compiler[0]);
    return compiler;
  }
  for (const char* name : {"c++", "g++", "clang++"})
    if (is_program(name)) return {name};
  fail(
      "expected a C++ compiler (GCC 11, Clang 14 or newer), but there is neither c++ nor g++ nor clang++ on PATH: "
      "install one (Debian: apt install g++), or name one in CXX");
}

bool is_clang(const std::vector<std::string>& compiler) {
  std::string command;
  for (const std::string& word : compiler) command += "'" + word + "' ";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen((command + "--version 2>&1").c_str(), "r"), &pclose);
  std::string text;
  char buffer[256];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe.get()) != nullptr) text += buffer;
  return text.find("clang") != std::string::npos;
}

struct Place {
  fs::path headers, library;
};

Place find_place() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  check(!error, "this program's own path, /proc/self/exe, cannot be read: {}", error.message());
  const fs::path prefix = program.parent_path().parent_path();
  const std::string name = fs::path(GRADAMP_EMULATOR_LIBRARY).filename().string();
  const Place places[] = {
      {prefix / GRADAMP_INCLUDE_FOLDER, prefix / GRADAMP_LIBRARY_FOLDER / name},
      {GRADAMP_EMULATOR_HEADERS, GRADAMP_EMULATOR_LIBRARY},
      {GRADAMP_INSTALLED_HEADERS, fs::path(GRADAMP_INSTALLED_LIBRARIES) / name},
  };
  for (const Place& place : places)
    if (fs::exists(place.headers / kPlainHeaders / "plain.h", error) && fs::exists(place.library, error)) return place;
  fail("expected the emulator's headers below {} and its library {}: install gradamp with its headers and libraries",
       places[0].headers.string(), places[0].library.string());
}

}  // namespace

EmulatorInstallation find_emulator() {
  EmulatorInstallation found;
  found.compiler = find_compiler();
  const Place place = find_place();
  const bool clang = is_clang(found.compiler);
  found.header_folder = place.headers;
  const std::string headers = place.headers.string();
  // The same options as gradamp_emulation_options and gradamp_emulate of the build.
  found.compile_options = {"-std=gnu++20",
                           "-DGRADAMP_EMULATION",
                           "-isystem",
                           headers,
                           "-isystem",
                           headers + "/" + kPlainHeaders,
                           "-include",
                           std::string(kPlainHeaders) + "/plain.h",
                           "-Wno-unknown-pragmas",
                           "-fno-strict-aliasing",
                           "-g",
                           "-fstack-clash-protection",
                           "-ffp-contract=off",
                           "-pthread"};
  if (clang)
    found.compile_options.insert(found.compile_options.end(),
                                 {"-gdwarf-4", "-Wno-unknown-attributes", "-Wno-deprecated-volatile"});
  else
    found.compile_options.emplace_back("-Wno-volatile");
  found.race_options = {"-fsanitize=thread"};
  if (clang)
    found.race_options.insert(found.race_options.end(), {"-mllvm", "-tsan-distinguish-volatile=1", "-mllvm",
                                                         "-tsan-instrument-read-before-write=1"});
  else
    found.race_options.emplace_back("--param=tsan-distinguish-volatile=1");
  std::error_code error;
  const std::string fmt = fs::exists(GRADAMP_FMT_LIBRARY, error) ? GRADAMP_FMT_LIBRARY : "-lfmt";
  found.link_options = {place.library.string(), fmt, "-ldl", "-lm", "-pthread"};
  return found;
}

}  // namespace gradamp
