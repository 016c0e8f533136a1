// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/config.h"

#include <atomic>
#include <cstring>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/counters.h"
#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {
namespace {

constinit std::atomic<std::uint64_t> launches = 0, blocks = 0, waits = 0, graph_launches = 0;

}  // namespace

Config& config() {
  static Config config;
  return config;
}

Statistics statistics() { return {launches, blocks, waits, graph_launches}; }

void count_launch(std::uint64_t blocks_run) {
  ++launches;
  blocks += blocks_run;
}
void count_wait() { ++waits; }
void count_graph_launch() { ++graph_launches; }

std::string to_string(const SourceLocation& location) {
  const char* slash = std::strrchr(location.file, '/');
  return fmt::format("{}:{}", slash ? slash + 1 : location.file, location.line);
}

}  // namespace gradamp::emulation
