// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/device_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/device_access.h"
#include "gradamp/kernels/emulation/fault_handler.h"
#include "gradamp/kernels/emulation/poison.h"

namespace gradamp::emulation {
namespace {

constexpr std::size_t kAlignment = 256;    // CUDA's
constexpr std::size_t kWidestAccess = 16;  // alignment of an allocation of an odd size
constexpr std::ptrdiff_t kRedzone = 64;    // checked in front of an allocation

using Range = std::pair<const void* const, std::size_t>;  // begin, bytes

bool ends_after(const Range& range, const void* address) {
  return static_cast<const char*>(range.first) + range.second > static_cast<const char*>(address);
}

// The range that contains the address; the ranges do not overlap.
const Range* range_at(const std::map<const void*, std::size_t>& ranges, const void* address) {
  const auto after = ranges.upper_bound(address);
  return after != ranges.begin() && ends_after(*std::prev(after), address) ? &*std::prev(after) : nullptr;
}

}  // namespace

DeviceMemory& DeviceMemory::instance() {
  static auto* memory = new DeviceMemory;  // outlives objects that free memory at exit
  return *memory;
}

void DeviceMemory::Free::operator()(char* memory) const { std::free(memory); }

void* DeviceMemory::allocate(std::size_t bytes, MemoryKind kind) try {
  const std::lock_guard lock(mutex_);
  if (kind == MemoryKind::kDevice && bytes > config().memory_limit - std::min(used_, config().memory_limit))
    return nullptr;
  const DeviceAccess access;
  Allocation allocation{nullptr, bytes, kind, {}, {}};
  if (kAddressSanitizer) {
    void* memory = nullptr;
    if (posix_memalign(&memory, kAlignment, bytes) != 0) return nullptr;
    allocation.heap.reset(static_cast<char*>(memory));
    allocation.begin = allocation.heap.get();
    fill_with_nan(allocation.begin, allocation.begin + bytes);
  } else {
    allocation.pages = GuardedPages(bytes);
    if (kind == MemoryKind::kDevice) {
      watch_for_faults();
      protect_from_host(allocation.pages.begin(), round_up(bytes, kPage));
    }
    fill_with_nan(allocation.pages.begin(), allocation.pages.end());
    // As close to the guard behind it as its alignment permits.
    allocation.begin = allocation.pages.end() - round_up(bytes, bytes % kAlignment == 0 ? kAlignment : kWidestAccess);
  }
  if (kind == MemoryKind::kDevice) used_ += bytes;
  char* const begin = allocation.begin;
  // Freed memory whose addresses are used again.
  auto reused = freed_.lower_bound(begin);
  if (reused != freed_.begin() && ends_after(*std::prev(reused), begin)) --reused;
  while (reused != freed_.end() && reused->first < begin + bytes) reused = freed_.erase(reused);
  allocations_.emplace(begin, std::move(allocation));
  if (access_observer) access_observer->allocated(begin, bytes, kind == MemoryKind::kDevice);
  return begin;
} catch (const std::bad_alloc&) {
  return nullptr;
}

bool DeviceMemory::release(void* memory, MemoryKind kind) {
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(memory);
  if (found == allocations_.end() || found->second.kind != kind) return false;
  if (access_observer) access_observer->freed(memory);
  if (kind == MemoryKind::kDevice) {
    used_ -= found->second.bytes;
    if (found->second.pages) forget_protected(found->second.pages.begin());
  }
  freed_[memory] = found->second.bytes;
  allocations_.erase(found);
  return true;
}

// The allocation with the highest beginning at or before `memory`.
const DeviceMemory::Allocation* DeviceMemory::find(const void* memory) const {
  const auto after = allocations_.upper_bound(memory);
  return after == allocations_.begin() ? nullptr : &std::prev(after)->second;
}

bool DeviceMemory::contains(const void* memory, std::size_t bytes, MemoryKind kind) const {
  const std::lock_guard lock(mutex_);
  const Allocation* found = find(memory);
  if (!found || found->kind != kind) return kind == MemoryKind::kDevice && is_in_variable(memory, bytes);
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(memory) - found->begin);
  if (offset <= found->bytes && bytes <= found->bytes - offset) return true;
  return kind == MemoryKind::kDevice && is_in_variable(memory, bytes);
}

void DeviceMemory::add_variable(const void* memory, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  variables_[memory] = bytes;
}

void DeviceMemory::add_guarded_variable(const std::string& name, const char* memory, std::size_t bytes,
                                        const char* guards_begin, const char* guards_end) {
  const std::lock_guard lock(mutex_);
  variables_[memory] = bytes;
  guarded_variables_[memory] = {name, bytes, guards_begin, guards_end};
}

std::size_t DeviceMemory::room_at(const void* memory) const {
  const std::lock_guard lock(mutex_);
  const auto* byte = static_cast<const char*>(memory);
  if (const Allocation* found = find(memory); found && byte < found->begin + found->bytes)
    return static_cast<std::size_t>(found->begin + found->bytes - byte);
  const Range* variable = range_at(variables_, memory);
  return variable ? static_cast<std::size_t>(static_cast<const char*>(variable->first) + variable->second - byte) : 0;
}

bool DeviceMemory::is_in_variable(const void* memory, std::size_t bytes) const {
  const Range* variable = range_at(variables_, memory);
  if (variable == nullptr) return false;
  const auto offset =
      static_cast<std::size_t>(static_cast<const char*>(memory) - static_cast<const char*>(variable->first));
  return bytes <= variable->second - offset;
}

std::string DeviceMemory::describe_freed(const void* address) const {
  const std::lock_guard lock(mutex_);
  const Range* freed = range_at(freed_, address);
  if (freed == nullptr) return "";
  return fmt::format("{} bytes into an allocation of {} that was freed",
                     static_cast<const char*>(address) - static_cast<const char*>(freed->first), freed->second);
}

const void* DeviceMemory::allocation_of(const void* byte) const {
  const std::lock_guard lock(mutex_);
  const Allocation* found = find(byte);
  const bool inside = found && static_cast<const char*>(byte) < found->begin + found->bytes;
  return inside ? found->begin : nullptr;
}

std::size_t DeviceMemory::free_bytes() const {
  const std::lock_guard lock(mutex_);
  return config().memory_limit - std::min(used_, config().memory_limit);
}

void DeviceMemory::check_surroundings() {
  if (kAddressSanitizer) return;
  const DeviceAccess access;
  const std::lock_guard lock(mutex_);
  for (const auto& [memory, allocation] : allocations_) {
    char* before = allocation.begin - std::min(kRedzone, allocation.begin - allocation.pages.begin());
    char* after = allocation.begin + allocation.bytes;
    const bool damaged_before = !holds_only_nan(before, allocation.begin);
    const bool damaged_after = !holds_only_nan(after, allocation.pages.end());
    if (!damaged_before && !damaged_after) continue;
    fill_with_nan(before, allocation.begin);
    fill_with_nan(after, allocation.pages.end());
    fail("something was written just {} an allocation of {} bytes", damaged_before ? "before" : "past the end of",
         allocation.bytes);
  }
  check_variables();
}

// The bytes around a variable are zero. Behind it, its page ends after less than kWidestAccess bytes.
void DeviceMemory::check_variables() const {
  for (const auto& [memory, variable] : guarded_variables_) {
    const auto is_zero = [](const char* begin, const char* end) {
      return std::all_of(begin, end, [](char byte) { return byte == 0; });
    };
    const char* end = memory + variable.bytes;
    const auto in_page = [](const char* byte) { return reinterpret_cast<std::uintptr_t>(byte) % kPage; };
    const bool damaged_before = !is_zero(memory - std::min<std::size_t>(kRedzone, in_page(memory)), memory);
    const bool damaged_after = !is_zero(end, end + (kPage - in_page(end)) % kPage);
    if (damaged_before || damaged_after)
      fail("something was written just {} {}, which has {} bytes", damaged_before ? "before" : "past the end of",
           variable.name, variable.bytes);
  }
}

std::string DeviceMemory::describe_overrun(const void* address) const {
  const std::lock_guard lock(mutex_);
  const auto* byte = static_cast<const char*>(address);
  for (const auto& [memory, allocation] : allocations_) {
    if (!allocation.pages.covers(address)) continue;
    if (byte < allocation.begin)
      return fmt::format("{} bytes before an allocation of {}", allocation.begin - byte, allocation.bytes);
    return fmt::format("{} bytes past the end of an allocation of {}",
                       byte - allocation.begin - static_cast<std::ptrdiff_t>(allocation.bytes), allocation.bytes);
  }
  for (const auto& [memory, variable] : guarded_variables_) {
    if (byte < variable.guards_begin || byte >= variable.guards_end) continue;
    if (byte < memory)
      return fmt::format("{} bytes before {}, which has {} bytes", memory - byte, variable.name, variable.bytes);
    return fmt::format("{} bytes past the end of {}, which has {} bytes",
                       byte - memory - static_cast<std::ptrdiff_t>(variable.bytes), variable.name, variable.bytes);
  }
  return "";
}

}  // namespace gradamp::emulation
