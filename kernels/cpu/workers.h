// SPDX-License-Identifier: MIT
// The resources of a kernel: threads and scratch memory.
#pragma once

#include <cstdint>
#include <memory>

#include "gradamp/core/caching_allocator.h"

namespace gradamp {

/// The number of threads, and the allocator of scratch memory.
struct Workers {
  int threads;
  CachingAllocator& allocator;
};

/// Memory for `floats` floats, not initialized. The destructor releases it.
class Scratch {
 public:
  Scratch(CachingAllocator& allocator, std::int64_t floats);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  float* data() const { return data_; }

 private:
  std::shared_ptr<void> memory_;
  float* data_;
};

}  // namespace gradamp
