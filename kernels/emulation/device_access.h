// SPDX-License-Identifier: MIT
// Host code cannot access a GPU's memory. The emulator enforces this if the processor has protection keys (x86-64 since
// 2017): the device's pages have their own key, and an OS thread may use that key only while it runs work of the
// device. A change of this right takes about 20 cycles. Without keys, and under AddressSanitizer, nothing is checked.
#pragma once

#include <cstddef>

namespace gradamp::emulation {

/// Whether host code that accesses the device's memory is detected.
bool device_access_is_checked();

/// Marks these pages as the device's memory.
void protect_from_host(char* begin, std::size_t bytes);

/// While a DeviceAccess lives, its OS thread may access the device's memory. They can be nested.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace gradamp::emulation
