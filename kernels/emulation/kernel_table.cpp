// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/kernel_table.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "gradamp/kernels/emulation/launch_bounds.h"

namespace gradamp::emulation {
namespace {

struct KernelTable {
  std::mutex mutex;
  std::unordered_map<const void*, KernelFacts> facts;

  KernelFacts& of(const void* kernel) {
    const auto [entry, is_new] = facts.try_emplace(kernel);
    if (is_new) entry->second.max_threads = launch_bounds_of(kernel);
    return entry->second;
  }
};

KernelTable& table() {
  static KernelTable table;
  return table;
}

}  // namespace

KernelFacts facts_of(const void* kernel) {
  const std::lock_guard lock(table().mutex);
  return table().of(kernel);
}

void learn_static_shared(const void* kernel, std::size_t bytes) {
  const std::lock_guard lock(table().mutex);
  std::size_t& known = table().of(kernel).static_shared;
  known = std::max(known, bytes);
}

void allow_dynamic_shared(const void* kernel, std::size_t bytes) {
  const std::lock_guard lock(table().mutex);
  table().of(kernel).allowed_dynamic = bytes;
}

}  // namespace gradamp::emulation
