// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/guarded_pages.h"

#include <sys/mman.h>

#include <new>
#include <utility>

#include "gradamp/kernels/emulation/poison.h"

namespace gradamp::emulation {

GuardedPages::GuardedPages(std::size_t bytes, std::size_t guard_bytes)
    : bytes_(round_up(bytes, kPage)), guard_bytes_(round_up(guard_bytes, kPage)) {
  const std::size_t everything = guard_bytes_ + bytes_ + guard_bytes_;
  void* memory = mmap(nullptr, everything, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  begin_ = static_cast<char*>(memory) + guard_bytes_;
  if (bytes_ == 0 || mprotect(begin_, bytes_, PROT_READ | PROT_WRITE) == 0) return;
  munmap(memory, everything);
  throw std::bad_alloc();
}

GuardedPages::~GuardedPages() {
  if (!begin_) return;
  unpoison(begin_, bytes_);  // a later mapping at these addresses must not be poisoned
  munmap(begin_ - guard_bytes_, guard_bytes_ + bytes_ + guard_bytes_);
}

GuardedPages::GuardedPages(GuardedPages&& other) noexcept
    : begin_(std::exchange(other.begin_, nullptr)), bytes_(other.bytes_), guard_bytes_(other.guard_bytes_) {}

GuardedPages& GuardedPages::operator=(GuardedPages&& other) noexcept {
  std::swap(begin_, other.begin_);
  std::swap(bytes_, other.bytes_);
  std::swap(guard_bytes_, other.guard_bytes_);
  return *this;
}

bool GuardedPages::covers(const void* address) const {
  const auto* byte = static_cast<const char*>(address);
  return begin_ && byte >= begin_ - guard_bytes_ && byte < end() + guard_bytes_;
}

}  // namespace gradamp::emulation
