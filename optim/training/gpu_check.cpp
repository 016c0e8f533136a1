// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/gpu_check.h"

#include "gradamp/core/error.h"

namespace gradamp {

void CheckedGpus::require(const DeviceFacts& device, Precision precision,
                          const std::function<SelfCheckReport()>& check_device) {
  const std::lock_guard lock(mutex_);
  const std::string subject =
      device.name + '\n' + device.compute_capability + '\n' + device.uuid + '\n' + device.driver;
  auto report = reports_.find(subject);
  if (report == reports_.end()) report = reports_.emplace(subject, check_device()).first;
  check(report->second.passed(precision),
        "{}; train on another device, in a precision that agrees, or with another driver or build",
        describe_disagreement(device, report->second));
}

void check_gpu(const Backend& backend) {
  static CheckedGpus checked;
  const Device device = backend.device();
  if (device.kind != DeviceKind::kCuda) return;
  checked.require(device_facts(device), precision_of(backend), [&] { return self_check(device); });
}

}  // namespace gradamp
