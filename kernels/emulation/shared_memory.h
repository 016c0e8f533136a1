// SPDX-License-Identifier: MIT
// The shared memory of the block that an OS thread runs. It is initialized with NaN bytes, so that reads of
// uninitialized values are visible. An overrun is detected by a guard page, by redzones that are checked when the block
// ends, and at once under AddressSanitizer.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "gradamp/kernels/emulation/guarded_pages.h"
#include "gradamp/kernels/emulation/launch_rules.h"
#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {

inline constexpr std::size_t kDynamicSharedAlignment = 128;

class SharedMemory {
 public:
  static constexpr std::size_t kStaticCapacity = 128 << 10;  // CUDA's maximum, and a redzone behind each array

  /// Allocates memory for launches of `kernel` with this many dynamic bytes.
  void reserve(std::size_t dynamic_bytes, const KernelFacts& kernel);
  /// Removes the previous block's arrays and fills everything with NaN.
  void begin_block();
  /// A new array of this block. The thread fails if the device would have refused the launch because of it.
  void* add_array(const char* name, std::size_t bytes, std::size_t alignment, const SourceLocation& location);
  /// The memory of the arrays: kStaticCapacity bytes.
  const char* static_memory() const { return static_pages_.begin(); }
  char* dynamic() const { return dynamic_; }
  std::size_t dynamic_bytes() const { return dynamic_bytes_; }
  /// Size of the arrays that the block has declared so far.
  std::size_t static_bytes() const { return kernel_.static_shared; }

  /// Describes a write outside of all arrays; "" if there was none. AddressSanitizer reports such a write itself.
  std::string damage() const;
  bool contains(const void* address) const;
  /// For an address near the dynamic memory: a description of the error; else "".
  std::string describe_overrun(const void* address) const;

 private:
  struct Array {
    const char* name;
    std::size_t offset, bytes;
    SourceLocation location;
  };

  struct Range {
    char *begin, *end;
  };

  Range dynamic_with_redzones() const;

  GuardedPages static_pages_;
  std::size_t static_used_ = 0;  // with redzones
  KernelFacts kernel_;           // static_shared: of this block, by CUDA's rules
  std::vector<Array> arrays_;
  GuardedPages dynamic_pages_;
  char* dynamic_ = nullptr;
  std::size_t dynamic_bytes_ = 0;
};

}  // namespace gradamp::emulation
