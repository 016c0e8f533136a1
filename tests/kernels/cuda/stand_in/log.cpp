// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/log.h"

#include <cstdio>
#include <cstdlib>

#include "gradamp/tests/kernels/cuda/stand_in/settings.h"

namespace gradamp::stand_in {
namespace {

std::FILE* open_log() {
  if (settings().log.empty()) return nullptr;
  std::FILE* file = std::fopen(settings().log.c_str(), "w");
  if (file == nullptr) {
    std::fprintf(stderr, "stand-in: STAND_IN_LOG: cannot write %s\n", settings().log.c_str());
    std::exit(2);
  }
  return file;
}

}  // namespace

void log_line(const std::string& line) {
  static std::FILE* const file = open_log();  // flushed by exit, even after static destructors
  if (file) std::fprintf(file, "%s\n", line.c_str());
}

void log_violation(const std::string& text) {
  std::fprintf(stderr, "stand-in: %s\n", text.c_str());
  log_line("violation\t" + text);
}

}  // namespace gradamp::stand_in
