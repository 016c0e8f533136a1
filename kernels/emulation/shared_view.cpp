// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/shared_view.h"

#include <fmt/format.h>

#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/shared_memory.h"

namespace gradamp::emulation {

void SharedView::begin_block(char* memory, std::size_t bytes) {
  memory_ = memory;
  bytes_ = bytes;
  begin_ = kReserved + kDynamicSharedAlignment;
  copy_.clear();
}

std::uint32_t SharedView::address_of(const void* byte) const {
  const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(byte) - reinterpret_cast<std::uintptr_t>(memory_);
  if (offset >= bytes_)
    fail_thread([&] {
      return fmt::format("{} is not in the dynamic shared memory: TMA and wgmma access no other here", byte);
    });
  return begin_ + static_cast<std::uint32_t>(offset);
}

void SharedView::write(std::uint32_t address, const char* bytes, std::size_t count) {
  std::memcpy(memory(address), bytes, count);
  std::memcpy(copy_.data() + (address - begin_), bytes, count);
}

void SharedView::fill_with_nan(std::uint32_t address, std::size_t count) {
  std::memset(memory(address), 0xFF, count);
  std::memset(copy_.data() + (address - begin_), 0xFF, count);
}

void SharedView::fence() {
  use();
  if (bytes_ > 0) std::memcpy(copy_.data(), memory_, bytes_);
}

}  // namespace gradamp::emulation
