// SPDX-License-Identifier: MIT
// Host code cannot touch a GPU's memory. It cannot touch the emulator's either where the processor has protection keys
// (x86-64 since 2017): the device's pages have a key of their own, and each OS thread may use that key only while it
// runs work of the device. Changing that costs some 20 cycles. Elsewhere, and under AddressSanitizer, nothing is
// checked.
#pragma once

#include <cstddef>

namespace gradamp::emulation {

/// Whether host code that touches the device's memory is found.
bool device_access_is_checked();

/// Gives these pages to the device.
void protect_from_host(char* begin, std::size_t bytes);

/// While one lives, its OS thread works for the device. They may be nested.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace gradamp::emulation
