// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/device_access.h"

#include <sys/mman.h>

#include "gradamp/kernels/emulation/poison.h"

namespace gradamp::emulation {

#if defined(__x86_64__) && defined(PKEY_DISABLE_ACCESS)

namespace {

constinit thread_local int depth = 0;

// Negative if the processor or the system has no protection keys.
int device_key() {
  static const int key = kAddressSanitizer ? -1 : pkey_alloc(0, PKEY_DISABLE_ACCESS);
  return key;
}

}  // namespace

bool device_access_is_checked() { return device_key() >= 0; }

void protect_from_host(char* begin, std::size_t bytes) {
  if (device_key() >= 0) pkey_mprotect(begin, bytes, PROT_READ | PROT_WRITE, device_key());
}

DeviceAccess::DeviceAccess() {
  if (depth++ == 0 && device_key() >= 0) pkey_set(device_key(), 0);
}

// Always disables access, instead of restoring the earlier right: a new OS thread inherits its creator's right.
DeviceAccess::~DeviceAccess() {
  if (--depth == 0 && device_key() >= 0) pkey_set(device_key(), PKEY_DISABLE_ACCESS);
}

#else

bool device_access_is_checked() { return false; }
void protect_from_host(char*, std::size_t) {}
DeviceAccess::DeviceAccess() = default;
DeviceAccess::~DeviceAccess() = default;

#endif

}  // namespace gradamp::emulation
