// SPDX-License-Identifier: MIT
// Memory from the system between two protected ranges, and the NaN bytes that fill uninitialized memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace gradamp::emulation {

// Memory is protected in units of this size: a multiple of the system's page size, which is 4, 16 or 64 KiB on aarch64.
#if defined(__x86_64__)
inline constexpr std::size_t kPage = 4096;
#else
inline constexpr std::size_t kPage = 64 << 10;
#endif

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Zeroed pages between two guards, which use address space only.
class GuardedPages {
 public:
  /// Wide, because an overrun may advance in large strides.
  static constexpr std::size_t kWideGuard = 64 << 10;

  GuardedPages() = default;
  /// `bytes` and `guard_bytes` are rounded up to whole pages. std::bad_alloc if the system has no memory left.
  explicit GuardedPages(std::size_t bytes, std::size_t guard_bytes = kWideGuard);
  ~GuardedPages();
  GuardedPages(GuardedPages&& other) noexcept;
  GuardedPages& operator=(GuardedPages&& other) noexcept;

  char* begin() const { return begin_; }
  char* end() const { return begin_ + bytes_; }
  explicit operator bool() const { return begin_ != nullptr; }
  /// Whether `address` is in the pages or the guards.
  bool covers(const void* address) const;

 private:
  char* begin_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t guard_bytes_ = 0;
};

inline constexpr char kNaNByte = static_cast<char>(0xFF);

inline void fill_with_nan(char* begin, const char* end) {
  std::memset(begin, kNaNByte, static_cast<std::size_t>(end - begin));
}

/// For redzones without a guard, which are filled with NaN and examined when a block or launch ends.
inline bool holds_only_nan(const char* begin, const char* end) {
  return std::all_of(begin, end, [](char byte) { return byte == kNaNByte; });
}

}  // namespace gradamp::emulation
