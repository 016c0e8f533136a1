// SPDX-License-Identifier: MIT
// Support for tests of the emulator itself.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/poison.h"
#include "gradamp/kernels/emulation/runtime_state.h"
#include "gradamp/tests/kernels/emulation/device_array.h"

namespace gradamp::emulation {

/// Restores the configuration when it is destroyed.
class ConfigScope {
 public:
  ConfigScope() = default;
  ~ConfigScope() { config() = before_; }
  ConfigScope(const ConfigScope&) = delete;
  ConfigScope& operator=(const ConfigScope&) = delete;

 private:
  Config before_ = config();
};

class EmulationTest : public ::testing::Test {
 private:
  ConfigScope scope_;
};

/// The message of the Error that `action` throws, "" if it throws none. If a kernel threw it, the device is then made
/// usable again.
template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    RuntimeState::instance().restore_device();
    return error.what();
  }
  return "";
}

/// Calls `action` in each order of threads and blocks, in shuffled order twice.
template <typename Action>
void in_every_order(Action action) {
  const ConfigScope scope;
  for (const ThreadOrder order : {ThreadOrder::kForward, ThreadOrder::kReverse, ThreadOrder::kShuffled}) {
    config().thread_order = order;
    for (config().seed = 1; config().seed <= (order == ThreadOrder::kShuffled ? 2u : 1u); ++config().seed) {
      SCOPED_TRACE("order " + std::to_string(static_cast<int>(order)) + ", seed " + std::to_string(config().seed));
      action();
    }
  }
}

}  // namespace gradamp::emulation
