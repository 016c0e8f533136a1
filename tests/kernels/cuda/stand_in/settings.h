// SPDX-License-Identifier: MIT
// The stand-in's settings, from the environment.
//
//   STAND_IN_DEVICE=NAME            the device to imitate (devices.cpp); default H100
//   STAND_IN_CODE=VARIANT,...       the translation of the kernels that runs (ptx_kernels.h): the first that has the
//                                   kernel; default shipped. "none": launches are checked and not executed
//   STAND_IN_DEFERRED=1             work runs only when the program waits for it
//   STAND_IN_IMAGES=sm_80,...       the program has only these images, as if built for these architectures alone
//   STAND_IN_DEVICES=N              number of devices; default 1
//   STAND_IN_HANG=1                 after the first exchange between ranks the device waits for another rank for ever,
//                                   or until ncclCommAbort
//   STAND_IN_MEMORY=BYTES           size of the device's memory
//   STAND_IN_LOG=FILE               one line per call, launch and violation (log.h)
//   STAND_IN_FAIL_CALL=N            the N-th call of the runtime (from 1) fails with cudaErrorUnknown, once
//   STAND_IN_FAIL_ALLOCATION=N      the N-th allocation of device memory fails, once
//   STAND_IN_FAIL_KERNEL=N          the N-th launch accesses an illegal address: every later call returns that error
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/tests/kernels/cuda/stand_in/devices.h"

namespace gradamp::stand_in {

struct Settings {
  const DeviceProfile* device;
  std::vector<std::string> code;
  bool execute;
  bool deferred;
  int devices;
  bool hang;
  std::optional<std::vector<std::string>> images;  // not set: all images
  std::size_t memory;
  std::string log;                               // empty: none
  long fail_call, fail_allocation, fail_kernel;  // 0: none
};

/// Read once; a message and exit code 2 for an invalid value.
const Settings& settings();

}  // namespace gradamp::stand_in
