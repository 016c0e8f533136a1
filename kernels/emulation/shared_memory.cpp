// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/shared_memory.h"

#include <algorithm>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/poison.h"
#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/shared_intrinsics.h"

namespace gradamp::emulation {
namespace {

constexpr std::size_t kRedzone = 64;
constexpr std::size_t kMaxArrays = 512;

static_assert(SharedMemory::kStaticCapacity >=
              DeviceLimits{}.shared_default + kMaxArrays * (kRedzone + kSharedAlignment));

}  // namespace

// The dynamic memory is as close to the guard behind it as its alignment permits.
void SharedMemory::reserve(std::size_t dynamic_bytes, const KernelFacts& kernel) {
  kernel_ = kernel;
  if (!static_pages_) {
    static_pages_ = GuardedPages(kStaticCapacity);
    fill_with_nan(static_pages_.begin(), static_pages_.end());
    poison(static_pages_.begin(), kStaticCapacity);
  }
  if (dynamic_pages_ && dynamic_bytes == dynamic_bytes_) return;
  dynamic_pages_ = GuardedPages(dynamic_bytes);
  dynamic_ = dynamic_pages_.end() - round_up(dynamic_bytes, kDynamicSharedAlignment);
  dynamic_bytes_ = dynamic_bytes;
  fill_with_nan(dynamic_pages_.begin(), dynamic_pages_.end());
  poison(dynamic_pages_.begin(), round_up(dynamic_bytes, kPage));
  unpoison(dynamic_, dynamic_bytes);
}

void SharedMemory::begin_block() {
  char* begin = static_pages_.begin();
  unpoison(begin, static_used_);
  fill_with_nan(begin, begin + static_used_);
  poison(begin, static_used_);
  // Also fills the redzones unless AddressSanitizer forbids it: the last launch may have damaged them.
  const Range range = kAddressSanitizer ? Range{dynamic_, dynamic_ + dynamic_bytes_} : dynamic_with_redzones();
  fill_with_nan(range.begin, range.end);
  static_used_ = 0;
  kernel_.static_shared = 0;
  arrays_.clear();
}

void* SharedMemory::add_array(const char* name, std::size_t bytes, std::size_t alignment,
                              const SourceLocation& location) {
  kernel_.static_shared = round_up(kernel_.static_shared, alignment) + bytes;
  const auto refusal = [&] { return shared_memory_refusal(config().limits, kernel_, dynamic_bytes_); };
  if (refusal())
    fail_thread([&] { return fmt::format("SHARED({}) at {}: {}", name, to_string(location), refusal()->reason); });
  if (arrays_.size() == kMaxArrays)
    fail_thread([] { return fmt::format("more than {} SHARED arrays in a kernel", kMaxArrays); });
  const std::size_t offset = round_up(static_used_, alignment);
  arrays_.push_back({name, offset, bytes, location});
  static_used_ = offset + bytes + kRedzone;
  unpoison(static_pages_.begin() + offset, bytes);
  return static_pages_.begin() + offset;
}

SharedMemory::Range SharedMemory::dynamic_with_redzones() const {
  return {std::max(dynamic_ - kRedzone, dynamic_pages_.begin()), dynamic_pages_.end()};
}

std::string SharedMemory::damage() const {
  if (kAddressSanitizer) return "";
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    const Array& array = arrays_[i];
    const std::size_t next = i + 1 < arrays_.size() ? arrays_[i + 1].offset : static_used_;
    if (!holds_only_nan(static_pages_.begin() + array.offset + array.bytes, static_pages_.begin() + next))
      return fmt::format("something was written just past the end of SHARED({}) at {}, which has {} bytes", array.name,
                         to_string(array.location), array.bytes);
  }
  const Range range = dynamic_with_redzones();
  if (!holds_only_nan(dynamic_ + dynamic_bytes_, range.end))
    return fmt::format("something was written just past the end of the {} bytes of dynamic shared memory",
                       dynamic_bytes_);
  if (!holds_only_nan(range.begin, dynamic_)) return "something was written just before the dynamic shared memory";
  return "";
}

bool SharedMemory::contains(const void* address) const {
  const auto* byte = static_cast<const char*>(address);
  return (byte >= static_pages_.begin() && byte < static_pages_.begin() + static_used_) ||
         (byte >= dynamic_ && byte < dynamic_ + dynamic_bytes_);
}

std::string SharedMemory::describe_overrun(const void* address) const {
  const auto* byte = static_cast<const char*>(address);
  if (static_pages_.covers(address)) return "an address outside the SHARED arrays";
  if (!dynamic_pages_.covers(address)) return "";
  if (byte < dynamic_) return fmt::format("{} bytes before the dynamic shared memory", dynamic_ - byte);
  return fmt::format("{} bytes past the end of the {} bytes of dynamic shared memory",
                     byte - dynamic_ - static_cast<std::ptrdiff_t>(dynamic_bytes_), dynamic_bytes_);
}

}  // namespace gradamp::emulation
