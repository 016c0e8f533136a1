// SPDX-License-Identifier: MIT
// The self-check of a GPU (kernels/self_check.h) before a Trainer uses it.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "gradamp/kernels/self_check.h"

namespace gradamp {

/// The GPUs that were checked. Its functions may be called from any thread.
class CheckedGpus {
 public:
  /// Calls `check`, unless it was called for this device and driver before. Error that says what disagreed if
  /// `precision` depends on it.
  void require(const DeviceFacts& device, Precision precision, const std::function<SelfCheckReport()>& check);

 private:
  std::mutex mutex_;
  std::map<std::string, SelfCheckReport> reports_;  // by what the outcome depends on
};

/// Checks the GPU of `backend`, which takes about a second, once per process. Error that says what disagreed if the
/// precision of `backend` depends on it. Does nothing for devices other than cuda. Writes no file. Any thread may call
/// it.
void check_gpu(const Backend& backend);

}  // namespace gradamp
