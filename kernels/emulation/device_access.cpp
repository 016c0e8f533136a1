// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/device_access.h"

#include <sys/mman.h>

#include <map>
#include <mutex>

#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/poison.h"

namespace gradamp::emulation {

namespace {

// The device's pages, and how many DeviceAccess there are in all OS threads: for processors without protection keys.
struct ProtectedPages {
  std::mutex mutex;
  std::map<const char*, std::size_t> ranges;  // begin, bytes
  int accesses = 0;

  static ProtectedPages& instance() {
    static auto* pages = new ProtectedPages;  // outlives objects that free memory at exit
    return *pages;
  }
  void set(int rights) const {
    for (const auto& [begin, bytes] : ranges) mprotect(const_cast<char*>(begin), bytes, rights);
  }
};

bool protects_pages() { return config().protect_without_keys && !kAddressSanitizer; }

void begin_access_without_key() {
  if (!protects_pages()) return;
  ProtectedPages& pages = ProtectedPages::instance();
  const std::lock_guard lock(pages.mutex);
  if (pages.accesses++ == 0) pages.set(PROT_READ | PROT_WRITE);
}

void end_access_without_key() {
  if (!protects_pages()) return;
  ProtectedPages& pages = ProtectedPages::instance();
  const std::lock_guard lock(pages.mutex);
  if (--pages.accesses == 0) pages.set(PROT_NONE);
}

#if defined(__x86_64__) && defined(PKEY_DISABLE_ACCESS)

constinit thread_local int depth = 0;

// Negative if the processor or the system has no protection keys.
int device_key() {
  static const int key = kAddressSanitizer ? -1 : pkey_alloc(0, PKEY_DISABLE_ACCESS);
  return key;
}

#else

int device_key() { return -1; }

#endif

}  // namespace

bool device_access_is_checked() { return device_key() >= 0 || protects_pages(); }

void protect_from_host(char* begin, std::size_t bytes) {
#if defined(PKEY_DISABLE_ACCESS)
  if (device_key() >= 0) pkey_mprotect(begin, bytes, PROT_READ | PROT_WRITE, device_key());
#endif
  if (device_key() >= 0 || !protects_pages()) return;
  ProtectedPages& pages = ProtectedPages::instance();
  const std::lock_guard lock(pages.mutex);
  pages.ranges[begin] = bytes;
}

void forget_protected(const char* begin) {
  ProtectedPages& pages = ProtectedPages::instance();
  const std::lock_guard lock(pages.mutex);
  pages.ranges.erase(begin);
}

bool is_protected_from_host(const void* address) {
  ProtectedPages& pages = ProtectedPages::instance();
  const std::lock_guard lock(pages.mutex);
  const auto* byte = static_cast<const char*>(address);
  const auto after = pages.ranges.upper_bound(byte);
  return after != pages.ranges.begin() && byte < std::prev(after)->first + std::prev(after)->second;
}

DeviceAccess::DeviceAccess() {
#if defined(__x86_64__) && defined(PKEY_DISABLE_ACCESS)
  if (device_key() >= 0) {
    if (depth++ == 0) pkey_set(device_key(), 0);
    return;
  }
#endif
  begin_access_without_key();
}

// Always disables access, instead of restoring the earlier right: a new OS thread inherits its creator's right.
DeviceAccess::~DeviceAccess() {
#if defined(__x86_64__) && defined(PKEY_DISABLE_ACCESS)
  if (device_key() >= 0) {
    if (--depth == 0) pkey_set(device_key(), PKEY_DISABLE_ACCESS);
    return;
  }
#endif
  end_access_without_key();
}

}  // namespace gradamp::emulation
