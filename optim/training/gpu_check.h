// SPDX-License-Identifier: MIT
// The self-check of a GPU (kernels/self_check.h) before a Trainer uses it.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "gradamp/kernels/self_check.h"

namespace gradamp {

/// Remembers which GPUs were checked, so that each is checked once. Any thread may call its functions.
class CheckedGpus {
 public:
  /// Calls `check` unless it was already called for this device and driver. If a result that `precision` depends on
  /// disagreed, the Error says which.
  void require(const DeviceFacts& device, Precision precision, const std::function<SelfCheckReport()>& check);

 private:
  std::mutex mutex_;
  std::map<std::string, SelfCheckReport> reports_;  // the key contains everything that the outcome depends on
};

/// Checks the GPU of `backend` once per process. A check takes about a second. If a result that the precision of
/// `backend` depends on disagreed, the Error says which. Does nothing for devices other than cuda. Writes no file. Any
/// thread may call it.
void check_gpu(const Backend& backend);

}  // namespace gradamp
