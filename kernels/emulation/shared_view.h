// SPDX-License-Identifier: MIT
// The dynamic shared memory of a block as the async proxy (TMA and wgmma) accesses it: by 32-bit addresses, and as a
// copy in which ordinary stores appear only after a fence.proxy.async.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace gradamp::emulation {

/// The async proxy sees the running thread's stores, and the mbarriers that it initialized.
void fence_proxy_async();

class SharedView {
 public:
  void begin_block(char* memory, std::size_t bytes);
  /// After it the 32-bit addresses are multiples of 1024 if those of the memory are, which only a kernel that asks for
  /// it may expect.
  void align_to_1024() { begin_ = kReserved; }

  /// The 32-bit address. The thread fails if the byte is not in the dynamic shared memory.
  std::uint32_t address_of(const void* byte) const;
  std::uint32_t begin() const { return begin_; }
  std::uint32_t end() const { return begin_ + static_cast<std::uint32_t>(bytes_); }
  bool contains(std::uint32_t first, std::uint32_t last) const { return first >= begin() && last <= end(); }

  /// What the threads see at a 32-bit address.
  char* memory(std::uint32_t address) const { return memory_ + (address - begin_); }
  /// What the async proxy sees.
  const char* seen(std::uint32_t address) const { return copy_.data() + (address - begin_); }
  /// Whether both see the same 16 bytes.
  bool agrees(std::uint32_t address) const { return std::memcmp(seen(address), memory(address), 16) == 0; }

  /// The async proxy writes.
  void write(std::uint32_t address, const char* bytes, std::size_t count);
  void fill_with_nan(std::uint32_t address, std::size_t count);
  /// Copies what the threads see.
  void fence();
  /// Must come before the async proxy's first access in a block.
  void use() {
    if (copy_.empty()) copy_.assign(bytes_, static_cast<char>(0xFF));
  }

 private:
  static constexpr std::uint32_t kReserved = 1024;  // the system's part of shared memory, at its beginning

  char* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::uint32_t begin_ = 0;
  std::vector<char> copy_;
};

}  // namespace gradamp::emulation
