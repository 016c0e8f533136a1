// SPDX-License-Identifier: MIT
// Host code cannot access a GPU's memory. The emulator enforces this if the processor has protection keys (x86-64 since
// 2017): the device's pages have their own key, and an OS thread may use that key only while it runs work of the
// device. A change of this right takes about 20 cycles. Without keys the pages themselves are protected while no work
// of the device runs, if config().protect_without_keys is set. Under AddressSanitizer nothing is checked.
#pragma once

#include <cstddef>

namespace gradamp::emulation {

/// Whether host code that accesses the device's memory is detected.
bool device_access_is_checked();

/// Marks these pages as the device's memory. Call it while a DeviceAccess lives.
void protect_from_host(char* begin, std::size_t bytes);
/// Before the pages are given back.
void forget_protected(const char* begin);
/// Whether the pages of this address were marked.
bool is_protected_from_host(const void* address);

/// While a DeviceAccess lives, its OS thread may access the device's memory. They can be nested.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace gradamp::emulation
